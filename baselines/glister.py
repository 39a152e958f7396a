"""GLISTER: keep the windows whose gradients lower the loss on the validation windows most.

Paper: Killamsetty et al., "GLISTER: generalization based data subset selection for efficient and
robust learning". Venue: AAAI 2021. Official code: github.com/dssresearch/GLISTER.
Where we differ: regression reading, the loss is a window's masked MAE, its gradient that of the
last layer, randomly projected; windows are chosen once, over all of the series; after each round
the validation gradient is moved by its empirical Fisher matrix times the step that was taken, not
computed anew. The validation split that picks the best epoch is also the one matched.
"""

import numpy as np
from pydantic import Field

from stprune.pruning.base import Probe, Selection
from stprune.pruning.static import GradientOptions, StaticPruner, scoring_seed, stacked


class GlisterOptions(GradientOptions):
    """How windows are embedded, and how greedy the choice is."""

    rounds: int = Field(20, ge=1, description="Rounds of the greedy choice, of K / rounds each.")
    step: float = Field(1.0, ge=0, description="Step along the chosen gradients.")


class Glister(StaticPruner):
    """Keeps K windows that lower the validation loss, with weight 1."""

    Options = GlisterOptions
    draws = False
    options: GlisterOptions

    def choose(self, probe: Probe) -> Selection:
        """Take, in rounds, the windows most along the validation gradient, and step along them.

        Gradients, (n, P) and (V, P) of one scoring model, are divided by the root mean square norm
        of the training gradients. With v the mean validation gradient and F the mean outer product
        of validation gradients, a round takes the windows with the largest g.v, at least one and
        the earlier of equals; then v loses step x F times their mean.
        """
        options, windows = self.options, self.context.windows
        seed = scoring_seed(self.context.seed)
        gradients = probe.gradients(options.scoring_epochs, seed, options.width)
        training = stacked(gradients.training, windows)
        validation = np.concatenate([part.cpu().numpy() for part in gradients.validation])
        norm = np.sqrt(np.square(training, dtype=np.float64).sum(1).mean()) or 1.0
        seen = validation.astype(np.float64) / norm
        fisher = seen.T @ seen / len(seen)
        direction = seen.mean(0)
        is_kept = np.zeros(windows, dtype=bool)
        left = self.size
        for remaining in range(options.rounds, 0, -1):
            gains = training @ direction.astype(np.float32)
            gains[is_kept] = -np.inf
            taken = np.argsort(-gains, kind="stable")[: -(-left // remaining)]
            if not len(taken):
                break
            is_kept[taken] = True
            left -= len(taken)
            mean = training[taken].mean(0, dtype=np.float64) / norm
            direction = direction - options.step * fisher @ mean
        return Selection(np.flatnonzero(is_kept), np.ones(self.size, dtype=np.float32))
