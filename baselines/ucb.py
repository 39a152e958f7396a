"""UCB: keep the windows with the largest upper confidence bound of their error.

Paper: Raju, Daruwalla, Lipasti, "Accelerating deep learning with dynamic data pruning".
Venue: arXiv 2111.12621, 2021. Official code: none known.
Where we differ: regression reading, the reward of a visit is the window's masked MAE instead of
a classification score; rounds are epochs, since a window is visited at most once in each; the
bonus is in units of the spread of the mean errors, so that one setting suits every data set; the
budget is exact, drawn anew each epoch, with the full first epoch and tail of the other methods.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from stprune.metrics import window_mae
from stprune.pruners.base import (
    Annealing,
    Pruner,
    PruningContext,
    Selection,
    annealed_budget,
    everything,
)
from stprune.schema import StrictModel


class UCBOptions(StrictModel):
    """How much to explore, and when to prune."""

    exploration: float = Field(
        1.0, ge=0, description="c, weight of the bonus for windows that were rarely visited."
    )
    annealing: Annealing = Field("tail", description="Return to full data at the end.")
    delta: float = Field(0.875, gt=0, le=1, description="Share of the epochs before the tail.")


def upper_bounds(
    means: NDArray[np.float32], visits: NDArray[np.float32], rounds: int, exploration: float
) -> NDArray[np.float64]:
    """mean + c s sqrt(ln(rounds + 1) / visits), s the standard deviation of the means.

    The rule is UCB1's (Auer et al. 2002), with the bonus scaled to the errors.

    Args:
        means: (n,) mean error of each window over its visits.
        visits: (n,) times each window was visited; one without a visit scores +inf.
        rounds: Epochs done.
        exploration: c.

    Returns:
        (n,) bounds in the unit of ``means``.
    """
    seen = visits > 0
    bounds = np.full(len(means), np.inf)
    if seen.any():
        known = means[seen].astype(np.float64)
        bonus = np.sqrt(math.log(rounds + 1) / visits[seen].astype(np.float64))
        bounds[seen] = known + exploration * known.std() * bonus
    return bounds


class UCB(Pruner):
    """Keeps the K windows with the largest bounds before each pruned epoch, with weight 1."""

    Options = UCBOptions
    options: UCBOptions

    def __init__(self, context: PruningContext, options: UCBOptions) -> None:
        super().__init__(context, options)
        for name in ("means", "visits"):
            self.window_state[name] = torch.zeros(context.windows, device=context.device)

    def select(self, epoch: int) -> Selection:
        """All windows in the first epoch and the tail, else by bound; ties to the earlier."""
        context, options = self.context, self.options
        if epoch == 0:
            return everything(context.windows)
        size = annealed_budget(context, epoch, options.annealing, options.delta)
        if size == context.windows:
            return everything(context.windows)
        means = self.window_state["means"].cpu().numpy()
        visits = self.window_state["visits"].cpu().numpy()
        bounds = upper_bounds(means, visits, epoch, options.exploration)
        kept = np.sort(np.argsort(-bounds, kind="stable")[:size]).astype(np.int64)
        return Selection(kept, np.ones(size, dtype=np.float32))

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Add each window's masked MAE to its running mean."""
        means, visits = self.window_state["means"], self.window_state["visits"]
        visits[indices] += 1
        means[indices] += (window_mae(errors, mask) - means[indices]) / visits[indices]
