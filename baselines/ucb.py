"""UCB: keep the windows with the largest upper confidence bound of their error.

Paper: Raju, Daruwalla, Lipasti, "Accelerating deep learning with dynamic data pruning".
Venue: arXiv 2111.12621, 2021. Official code: none known.
Where we differ: regression reading, the reward of a visit is the window's masked MAE; rounds are
epochs; the bonus is in units of the spread of the mean errors, so that one setting suits every data
set; the budget is exact, with the full first epoch and tail of the other methods.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stprune.pruning.base import Selection
from stprune.pruning.dynamic import MeanErrorPruner, ScheduleOptions
from stprune.pruning.static import keep_highest


class UCBOptions(ScheduleOptions):
    """How much to explore, and when to prune."""

    exploration: float = Field(1.0, ge=0, description="c, bonus of rarely visited windows.")


def upper_bounds(
    means: NDArray[np.float32], visits: NDArray[np.float32], rounds: int, exploration: float
) -> NDArray[np.float64]:
    """mean + c s sqrt(ln(rounds + 1) / visits), s the standard deviation of the (n,) means.

    That is UCB1 (Auer et al. 2002) with a scaled bonus; a window without a visit has +inf.
    """
    seen = visits > 0
    bounds = np.full(len(means), np.inf)
    if seen.any():
        known = means[seen].astype(np.float64)
        bonus = np.sqrt(math.log(rounds + 1) / visits[seen].astype(np.float64))
        bounds[seen] = known + exploration * known.std() * bonus
    return bounds


class UCB(MeanErrorPruner):
    """Keeps the K windows with the largest bounds before each pruned epoch, with weight 1."""

    Options = UCBOptions
    draws = False
    options: UCBOptions

    def choose(self, epoch: int, size: int) -> Selection:
        """The windows with the largest bounds; ties to the earlier."""
        means = self.window_state["means"].cpu().numpy()
        visits = self.window_state["visits"].cpu().numpy()
        bounds = upper_bounds(means, visits, epoch, self.options.exploration)
        return keep_highest(bounds, size)
