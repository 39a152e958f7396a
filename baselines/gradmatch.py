"""GradMatch: keep weighted windows whose gradients add up to those of all.

Paper: Killamsetty et al., "GRAD-MATCH: gradient matching based data subset selection for
efficient deep model training". Venue: ICML 2021. Official code: github.com/decile-team/cords.
Where we differ: regression reading, a window's gradient is that of its masked MAE at the last
layer, randomly projected; windows are matched once, within blocks of consecutive windows; they
are picked with the residual of plain ridge regression, and non-negative weights are solved for
at the end; a window without weight is kept with a small one, as the budget is exact (the released
code fills up with random windows of weight 1); weights are rescaled to mean 1 by default.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import nnls

from stprune.pruning.static import BlockPruner, Picked, WeightedBlockOptions


class GradMatchOptions(WeightedBlockOptions):
    """How windows are embedded, matched and weighted."""

    regularisation: float = Field(1.0, gt=0, description="Penalty on squared weights.")
    least_weight: float = Field(0.01, gt=0, le=1, description="Least weight over the mean.")


def pick_atoms(rows: NDArray[np.float64], size: int, penalty: float) -> NDArray[np.int64]:
    """Orthogonal matching pursuit of the sum of all rows, by ridge regression; in that order.

    The residual of the ridge solution over the chosen G is (I + G G^T / penalty)^-1 of the
    target, so a rank-one update a step is enough.
    """
    target = rows.sum(0)
    inverse = np.eye(rows.shape[1])
    closed = np.zeros(len(rows))
    chosen = np.empty(size, dtype=np.int64)
    for step in range(size):
        best = int(np.argmax(rows @ (inverse @ target) + closed))
        chosen[step] = best
        closed[best] = -np.inf
        turned = inverse @ rows[best]
        inverse -= np.outer(turned, turned) / (penalty + rows[best] @ turned)
    return chosen


class GradMatch(BlockPruner):
    """Keeps K windows, weighted to match the gradient of their blocks."""

    Options = GradMatchOptions
    options: GradMatchOptions

    def pick(self, rows: NDArray[np.float64], size: int) -> Picked:
        """Rows and positive weights whose weighted sum is near the sum of all rows."""
        penalty = self.options.regularisation * float(np.square(rows).sum(1).mean())
        if penalty == 0:
            # Without any gradient, any windows match as well as any others.
            return np.arange(size), np.ones(size)
        chosen = pick_atoms(rows, size, penalty)
        # A ridge penalty is as many more equations: each weight times root(penalty) near 0.
        system = np.vstack([rows[chosen].T, np.sqrt(penalty) * np.eye(size)])
        weights, _ = nnls(system, np.concatenate([rows.sum(0), np.zeros(size)]))
        least = self.options.least_weight * weights.mean()
        return chosen, np.maximum(weights, least) if least > 0 else np.ones(size)
