"""What a window's mean error hides: nodes that do badly inside windows that do well.

ST-Prune's argument for its score is that a mean over many calm nodes masks a local error
("averaging masking"). Here windows are put in four quarters by their mean error, and the node
errors inside each are compared with those of all windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError

QUANTILES = (0.9, 0.95, 0.99)
QUARTERS = 4
PERCENTILES = np.arange(0, 101)

Errors = NDArray[np.float64]


@dataclass(frozen=True)
class NodeErrors:
    """Errors of windows at nodes, and which quarter of the windows each belongs to.

    Args:
        errors: (n, N), mean absolute error of a window at a node over its horizon; NaN where
            no target was observed.
        means: (n,) mean over the nodes that are there.
        quarter: (n,) int64, 0 for the quarter of the windows with the lowest means.
    """

    errors: Errors
    means: Errors
    quarter: NDArray[np.int64]


def in_quarters(errors: Errors) -> NodeErrors:
    """Windows with any error, ranked by their mean over nodes and cut into equal quarters.

    Raises:
        DataError: If there are fewer windows than quarters.
    """
    errors = errors[np.isfinite(errors).any(1)]
    if len(errors) < QUARTERS:
        raise DataError(
            f"only {len(errors)} windows have an observed target; at least {QUARTERS} are needed"
        )
    means = np.nanmean(errors, axis=1)
    rank = np.empty(len(means), np.int64)
    rank[means.argsort(kind="stable")] = np.arange(len(means))
    return NodeErrors(errors, means, rank * QUARTERS // len(means))


def masking_table(found: NodeErrors, quantiles: Sequence[float] = QUANTILES) -> pd.DataFrame:
    """How often a node does badly, by quarter of the windows.

    A node error is called large if it is above a quantile: of the errors of all nodes (`of` is
    `all nodes`), or of those of the same node (`own node`), which nodes of a larger scale cannot
    dominate.

    Returns:
        Columns `of`, `quantile`, `quarter` (1 has the lowest means), `windows`, `mean_error`
        (real units), `large_share` (of the node errors inside these windows), `windows_with_any`
        (share of the windows with at least one large node error), `share_of_large` (of all large
        node errors, those inside these windows: 0.25 if the mean said nothing).
    """
    rows = []
    for of in ("all nodes", "own node"):
        for quantile in quantiles:
            own = of == "own node"
            large = found.errors > (_own if own else np.nanquantile)(found.errors, quantile)
            for quarter in range(QUARTERS):
                inside = found.quarter == quarter
                rows.append((of, quantile, quarter + 1, *_quarter(found, large, inside)))
    columns = ["of", "quantile", "quarter", "windows", "mean_error"]
    columns += ["large_share", "windows_with_any", "share_of_large"]
    return pd.DataFrame(rows, columns=columns)


def error_percentiles(found: NodeErrors) -> pd.DataFrame:
    """Distribution of node errors: columns `quarter`, `percentile`, `error` (real units)."""
    parts = []
    for quarter in range(QUARTERS):
        inside = found.errors[found.quarter == quarter]
        values = np.nanpercentile(inside, PERCENTILES)
        part = {"quarter": quarter + 1, "percentile": PERCENTILES, "error": values}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def masking_by_node(
    found: NodeErrors, node_ids: Sequence[str], quantile: float = 0.95
) -> pd.DataFrame:
    """One row a node, in the order of the data set.

    Returns:
        Columns `node`, `mean_error`, `error_in_calm_windows` (both real units; calm windows are
        the lowest quarter) and `large_share_in_calm_windows` (of its errors there, those above
        ``quantile`` of all its own); empty where nothing was observed.
    """
    calm = found.errors[found.quarter == 0]
    large = calm > _own(found.errors, quantile)
    there = np.isfinite(calm).sum(0)
    share = np.where(there > 0, large.sum(0) / np.maximum(there, 1), np.nan)
    return pd.DataFrame(
        {
            "node": list(node_ids),
            "mean_error": _mean_by_node(found.errors),
            "error_in_calm_windows": _mean_by_node(calm),
            "large_share_in_calm_windows": share,
        }
    )


def _quarter(
    found: NodeErrors, large: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> tuple[int, float, float, float, float]:
    count = int(inside.sum())
    part = large[inside]
    there = np.isfinite(found.errors[inside]).sum()
    every = large.sum()
    return (
        count,
        float(found.means[inside].mean()),
        float(part.sum() / there),
        float(part.any(1).mean()),
        float(part.sum() / every) if every else np.nan,
    )


def _own(errors: Errors, quantile: float) -> Errors:
    """(N,) quantile of each node; NaN where nothing was observed."""
    there = np.isfinite(errors).any(0)
    result = np.full(errors.shape[1], np.nan)
    result[there] = np.nanquantile(errors[:, there], quantile, axis=0)
    return result


def _mean_by_node(errors: Errors) -> Errors:
    count = np.isfinite(errors).sum(0)
    return np.where(count > 0, np.nansum(errors, axis=0) / np.maximum(count, 1), np.nan)
