"""The trade-off of error and time in one number, and which points of it no other beats."""

from __future__ import annotations

import math

import pandas as pd

from paper_figures.rows import absent, budgets, by_budget
from stprune.base.layout import format_ratio
from stprune.paper.tables import Column, Table, format_number
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import LEAST_PAIRS
from stprune.statistics.tradeoff import CAP, tradeoff_areas

TITLE = "Area under the trade-off, and the Pareto front"

CAPTION = (
    "Area: the mean, over all time budgets from none to full training's total time, of the"
    " lowest change in test MAE (% above full training's) that one of the pruner's prune ratios"
    f" reaches within it; {CAP:g} % where none is that fast, and at most {CAP:g} %. Lower is"
    f" better; a pruner that is never faster than full training has {CAP:g} %. 95 %: percentile"
    " interval over resampled seeds, drawn with all their runs; with few seeds it is too narrow"
    " rather than too wide. Front: prune ratios at which no other point, of any pruner and ratio"
    " or full training, is as fast and as good; in brackets, the share of the resamples in which"
    f" that is so, for ratios with 5 % at least. Too few: fewer than {LEAST_PAIRS} seeds for an"
    " interval. n: seeds, the fewest of any ratio. Bold: lowest area of the same data set and"
    " backbone; underlined: second."
)

COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("pruner", "Pruner", named=True),
    Column("seeds", "n", 0),
    Column("area", "Area (%)", 2, ranked=True),
    Column("interval", "95 %"),
    Column("front", "Front"),
)

# Less often than this is not worth naming.
LEAST_SHARE = 0.05


def build(results: Results) -> Table:
    """The table of areas and fronts.

    Returns:
        One row per budget, data set, backbone and pruner; empty where full training was not run.
    """
    areas = tradeoff_areas(results.summary)
    ends = areas[["area_low", "area_high"]].astype("float64").to_numpy()
    notes = [*budgets(results), *absent(results, REFERENCE)]
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=areas.assign(
            interval=pd.Series([_interval(*pair) for pair in ends], dtype="object"),
            front=pd.Series([_front(points) for points in areas["front"]], dtype="object"),
            area=areas["area"].astype("float64"),
            seeds=areas["seeds"].astype("int64"),
        ),
        columns=by_budget(COLUMNS, areas),
        group=("budget", "dataset", "backbone"),
    )


def _interval(low: float, high: float) -> str:
    if math.isnan(low):
        return "too few"
    return f"[{format_number(low, 2)}, {format_number(high, 2)}]"


def _front(points: tuple[tuple[float, bool, float], ...]) -> str | None:
    """Such as ``0.5 (97 %), not 0.9 (12 %)``; nothing where none is or may be on the front."""
    words = []
    for ratio, is_on, share in points:
        if not is_on and not share >= LEAST_SHARE:
            continue
        sure = "" if math.isnan(share) else f" ({100 * share:.0f} %)"
        words.append(f"{'' if is_on else 'not '}{format_ratio(ratio)}{sure}")
    return ", ".join(words) or None
