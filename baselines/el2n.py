"""EL2N: keep the windows with the largest error norm early in training.

Paper: Paul, Ganguli, Dziugaite, "Deep learning on a data diet: finding important examples
early in training". Venue: NeurIPS 2021. Official code: github.com/mansheej/data_diet.
Where we differ: the error vector is that of the forecast (all horizon steps and nodes, real
units) instead of softmax minus one-hot; it is a masked root mean square, so that windows with
missing targets are comparable. Training the scoring models is charged to the run.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from stprune.base.schema import StrictModel
from stprune.pruning.base import Probe, Pruner, PruningContext, Selection, budget


class EL2NOptions(StrictModel):
    """How the scores are made."""

    scoring_epochs: int = Field(2, ge=1, description="Epochs each scoring model is trained.")
    scoring_seeds: int = Field(1, ge=1, description="Scoring models to average over.")


def error_norm(errors: Tensor, mask: Tensor) -> Tensor:
    """Masked root mean square of each window's errors.

    Args:
        errors: (B, H, N) float, absolute errors, 0 where masked.
        mask: (B, H, N) bool.

    Returns:
        (B,) float.
    """
    return (errors.square().sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)).sqrt()


class EL2N(Pruner):
    """Keeps the K windows with the largest mean error norm, in every epoch."""

    Options = EL2NOptions
    draws: ClassVar[bool] = False
    options: EL2NOptions

    def __init__(self, context: PruningContext, options: EL2NOptions) -> None:
        super().__init__(context, options)
        self.window_state["scores"] = torch.zeros(context.windows, device=context.device)

    def prepare(self, probe: Probe) -> None:
        """Train the scoring models and add up their error norms."""
        scores = self.window_state["scores"]
        for seed in range(self.options.scoring_seeds):
            # Far from the run's own seeds, so that scoring and training models differ.
            scoring_seed = 1_000_003 * (seed + 1) + self.context.seed
            for indices, errors, mask in probe.train(self.options.scoring_epochs, scoring_seed):
                scores[indices] += error_norm(errors, mask)

    def select(self, epoch: int) -> Selection:
        """The highest scores with weight 1; ties go to the earlier window."""
        scores = self.window_state["scores"].cpu().numpy()
        size = budget(self.context.windows, self.context.keep_ratio)
        kept = np.sort(np.argsort(-scores, kind="stable")[:size]).astype(np.int64)
        return Selection(kept, np.ones(size, dtype=np.float32))
