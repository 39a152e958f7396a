"""GLISTER: keep the windows whose gradients lower the loss on the validation windows most.

Paper: Killamsetty et al., "GLISTER: generalization based data subset selection for efficient and
robust learning". Venue: AAAI 2021. Official code: github.com/dssresearch/GLISTER.
Where we differ: regression reading, the loss is a window's masked MAE, its gradient that of the
last layer, randomly projected; windows are chosen once, over all of the series at a time; after
each round of the greedy choice the validation gradient is moved by its empirical Fisher matrix
times the step that was taken, instead of being computed anew at the moved weights, so that any
network can be used. The validation split that picks the best epoch is also the one matched.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stprune.pruning.base import Probe, Selection
from stprune.pruning.static import GradientOptions, StaticPruner, scoring_seed, stacked


class GlisterOptions(GradientOptions):
    """How windows are embedded, and how greedy the choice is."""

    rounds: int = Field(20, ge=1, description="Rounds of the greedy choice, of K / rounds each.")
    step: float = Field(1.0, ge=0, description="Step along the chosen gradients.")


def lower_validation_loss(
    training: NDArray[np.float32],
    validation: NDArray[np.float32],
    size: int,
    *,
    rounds: int,
    step: float,
) -> NDArray[np.int64]:
    """Choose in rounds the rows most along the validation gradient, and step along them.

    Both sets, (n, P) and (V, P), are divided by the root mean square norm of the training
    gradients. With v the mean validation gradient and F the mean outer product of validation
    gradients, a round takes the rows with the largest g.v, at least one and the earlier of equals;
    then v loses step x F times their mean. Returns K distinct rows in ascending order.
    """
    norm = np.sqrt(np.square(training, dtype=np.float64).sum(1).mean()) or 1.0
    seen = validation.astype(np.float64) / norm
    fisher = seen.T @ seen / len(seen)
    direction = seen.mean(0)
    is_kept = np.zeros(len(training), dtype=bool)
    left = size
    for remaining in range(rounds, 0, -1):
        gains = training @ direction.astype(np.float32)
        gains[is_kept] = -np.inf
        taken = np.argsort(-gains, kind="stable")[: -(-left // remaining)]
        if not len(taken):
            break
        is_kept[taken] = True
        left -= len(taken)
        mean = training[taken].mean(0, dtype=np.float64) / norm
        direction = direction - step * fisher @ mean
    return np.flatnonzero(is_kept)


class Glister(StaticPruner):
    """Keeps K windows that lower the validation loss, with weight 1."""

    Options = GlisterOptions
    draws: ClassVar[bool] = False
    options: GlisterOptions

    def choose(self, probe: Probe) -> Selection:
        """Gradients of both splits from one scoring model, then the greedy rounds."""
        options = self.options
        seed = scoring_seed(self.context.seed)
        gradients = probe.gradients(options.scoring_epochs, seed, options.width)
        training = stacked(gradients.training, self.context.windows)
        validation = np.concatenate([part.cpu().numpy() for part in gradients.validation])
        kept = lower_validation_loss(
            training, validation, self.size, rounds=options.rounds, step=options.step
        )
        return Selection(kept, np.ones(self.size, dtype=np.float32))
