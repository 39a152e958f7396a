"""What a window's mean error hides: nodes with large errors inside windows of a low mean.

ST-Prune argues for its score that a mean over many calm nodes masks a local error ("averaging
masking"). Here windows are put in four quarters by their mean error, and the node errors inside
each are compared with those of all windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.files import write_json
from stprune.describe.description import MASKING_FACTS, write_tables
from stprune.describe.figures import dress
from stprune.paper.figures import Drawing, paper_style, write_drawing

QUANTILES = (0.9, 0.95, 0.99)
QUARTERS = 4
WIDTH, HEIGHT = 7.0, 2.2
# Light to dark (a single hue) for quarters, which have an order; three that the colour-blind can
# tell apart for quantiles (Okabe and Ito, 2008).
QUARTER_STYLES = (("#9ecae1", "-"), ("#6baed6", "--"), ("#2171b5", "-."), ("#08306b", ":"))
QUANTILE_STYLES = (("#000000", "o", "-"), ("#D55E00", "s", "--"), ("#0072B2", "^", ":"))

Errors = NDArray[np.float64]


@dataclass(frozen=True)
class NodeErrors:
    """Errors of windows at nodes, and which quarter of the windows each belongs to."""

    errors: Errors  # (n, N) mean absolute error over the horizon; NaN without any target
    means: Errors  # (n,) over the nodes that have one
    quarter: NDArray[np.int64]  # (n,), 0 for the quarter of the windows with the lowest means


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


def masking_table(ranked: NodeErrors, quantiles: Sequence[float] = QUANTILES) -> pd.DataFrame:
    """How often a node has a large error, by quarter of the windows.

    Large is above a quantile of the errors of all nodes (`of` is `all nodes`), or of the same
    node (`own node`), which nodes of a larger scale cannot dominate.

    Returns:
        Columns `of`, `quantile`, `quarter` (1 has the lowest means), `windows`, `mean_error`
        (real units), `large_share` (of the node errors inside these windows), `windows_with_any`
        (share of the windows with at least one large node error), `share_of_large` (of all large
        node errors, those inside these windows: 0.25 if the mean said nothing).
    """
    rows = []
    for of, quantile_of in (("all nodes", np.nanquantile), ("own node", _own_quantile)):
        for quantile in quantiles:
            large = ranked.errors > quantile_of(ranked.errors, quantile)
            for quarter in range(QUARTERS):
                inside = ranked.quarter == quarter
                part = large[inside]
                numbers = (
                    float(ranked.means[inside].mean()),
                    float(part.sum() / np.isfinite(ranked.errors[inside]).sum()),
                    float(part.any(1).mean()),
                    float(part.sum() / large.sum()) if large.any() else np.nan,
                )
                rows.append((of, quantile, quarter + 1, int(inside.sum()), *numbers))
    columns = ["of", "quantile", "quarter", "windows", "mean_error"]
    columns += ["large_share", "windows_with_any", "share_of_large"]
    return pd.DataFrame(rows, columns=columns)


def error_percentiles(ranked: NodeErrors) -> pd.DataFrame:
    """Distribution of node errors: columns `quarter`, `percentile`, `error` (real units)."""
    points = np.arange(101)
    parts = []
    for quarter in range(QUARTERS):
        values = np.nanpercentile(ranked.errors[ranked.quarter == quarter], points)
        parts.append({"quarter": quarter + 1, "percentile": points, "error": values})
    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)


def masking_by_node(
    ranked: NodeErrors, node_ids: Sequence[str], quantile: float = 0.95
) -> pd.DataFrame:
    """One row a node; empty where nothing was observed; calm windows are the lowest quarter.

    Returns:
        Columns `node`, `mean_error`, `error_in_calm_windows` (both real units) and
        `large_share_in_calm_windows` (of its errors there, those above ``quantile`` of its own).
    """
    every = pd.DataFrame(ranked.errors)
    calm = every[ranked.quarter == 0]
    large = (calm > _own_quantile(ranked.errors, quantile)).sum()
    return pd.DataFrame(
        {
            "node": list(node_ids),
            "mean_error": every.mean(),
            "error_in_calm_windows": calm.mean(),
            "large_share_in_calm_windows": large / calm.count().replace(0, np.nan),
        }
    )


def _own_quantile(errors: Errors, quantile: float) -> Errors:
    """(N,) quantile of each node; NaN where nothing was observed."""
    there = np.isfinite(errors).any(0)
    result = np.full(errors.shape[1], np.nan)
    result[there] = np.nanquantile(errors[:, there], quantile, axis=0)
    return result


def write_masking(
    errors: Errors, node_ids: Sequence[str], facts: dict[str, Any], directory: Path, *, figure: bool
) -> Path:
    """Write ``masking.*`` of a run into ``directory``.

    Args:
        errors: (n, N), as of :class:`NodeErrors`.
        node_ids: N ids.
        facts: Of the run: `run`, `experiment`, `fingerprint`, `epochs`, `split`, `unit` and
            `every_so_many_th_window` (the k of every k-th window).
        directory: Where to write.
        figure: Whether the figure is drawn too.

    Returns:
        The figure as PNG; without one, the facts.

    Raises:
        DataError: If too few windows of the split have any target.
    """
    ranked = in_quarters(errors)
    tables = {
        "masking": masking_table(ranked),
        "masking_errors": error_percentiles(ranked),
        "masking_by_node": masking_by_node(ranked, node_ids),
    }
    order = ("run", "experiment", "fingerprint", "epochs", "split", "windows")
    facts = facts | {"windows": len(ranked.means), "nodes": ranked.errors.shape[1]}
    facts = {key: facts[key] for key in (*order, "every_so_many_th_window", "nodes", "unit")}
    write_tables(tables, directory)
    write_json(directory / MASKING_FACTS, facts)
    if not figure:
        return directory / MASKING_FACTS
    with paper_style():
        drawing = masking_drawing(tables, facts)
    write_drawing(drawing, lambda kind: directory / f"masking.{kind}")
    return directory / "masking.png"


def masking_drawing(tables: dict[str, pd.DataFrame], facts: dict[str, Any]) -> Drawing:
    """Node errors inside windows of low and of high mean error."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    left, middle, right = figure.subplots(1, 3)
    quarters = tables["masking_errors"].groupby("quarter")
    for (quarter, part), (colour, line) in zip(quarters, QUARTER_STYLES, strict=True):
        shown = part[part["error"] > 0]  # the axis is logarithmic
        look: dict[str, Any] = {"color": colour, "linestyle": line, "label": str(quarter)}
        left.plot(shown["error"], shown["percentile"], **look)
    labels = {"title": "(a) Node errors", "xlabel": f"Error ({facts['unit']})"}
    dress(left, "y", **labels, ylabel="Node errors at most", xscale="log", ylim=(0, 100))
    legend: dict[str, Any] = {"fontsize": 6.5, "title_fontsize": 6.5, "loc": "upper left"}
    left.legend(title="Quarter", **legend)
    own = tables["masking"][tables["masking"]["of"] == "own node"]
    _by_quarter(middle, own, "large_share", "(b) Large errors inside", "Of the node errors")
    _by_quarter(right, own, "windows_with_any", "(c) Hidden by the mean", "Windows with any")
    middle.legend(title="Large: above", **legend)
    calm = own[(own["quarter"] == 1) & (own["quantile"] == 0.95)].iloc[0]
    stride = facts["every_so_many_th_window"]
    taken = "" if stride == 1 else f" (every {stride}th)"
    split = "training" if facts["split"] == "train" else facts["split"]
    caption = (
        f"Run {facts['run']}: errors of {facts['nodes']} nodes in {facts['windows']}"
        f" {split} windows{taken}, in quarters by mean error, 1 the lowest. A node error"
        " is large if it is above the quantile of the errors of that node. Inside quarter 1,"
        f" {100 * calm['large_share']:.2g} % of the node errors are above their 95 % quantile, and"
        f" {100 * calm['windows_with_any']:.3g} % of the windows hold at least one."
    )
    alt = f"Three panels on node errors inside windows of low mean error, run {facts['run']}."
    return Drawing(figure, caption, alt)


def _by_quarter(axes: Axes, table: pd.DataFrame, column: str, title: str, y: str) -> None:
    quantiles = table.groupby("quantile")
    for (quantile, part), (colour, marker, line) in zip(quantiles, QUANTILE_STYLES, strict=True):
        label = f"{100 * float(str(quantile)):g}%"
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": line}
        axes.plot(part["quarter"], 100 * part[column], label=label, **look)
    axes.set_xticks(range(1, QUARTERS + 1))
    dress(axes, "y", title=title, xlabel="Quarter by mean error", ylabel=y, ylim=(0, None))
