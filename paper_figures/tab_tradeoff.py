"""The trade-off of error and time in one number, and which points of it no other beats."""

import pandas as pd

from paper_figures.rows import experiment_table
from stprune.base.layout import format_ratio
from stprune.paper.tables import Column, Table
from stprune.results.labels import timing_notes
from stprune.results.summary import Results
from stprune.statistics.paired import LEAST_PAIRS
from stprune.statistics.tradeoff import CAP, tradeoff_areas

TITLE = "Area under the trade-off, and the Pareto front"

CAPTION = (
    "Area: the mean, over all time budgets from none to full training's total time, of the"
    " lowest change in test MAE (% above full training's) that one of the pruner's prune ratios"
    f" reaches within it; {CAP:g} % where none is that fast, and at most {CAP:g} %. Lower is"
    " better. 95 %: percentile interval over resampled seeds, drawn with all their runs; with few"
    " seeds it is too narrow rather than too wide. Front: prune ratios at which no other point, of"
    " any pruner and ratio or full training, is as fast and as good; in brackets, the share of the"
    f" resamples in which that is so. n: seeds, the fewest of any ratio; fewer than {LEAST_PAIRS}"
    " are not resampled. Bold: lowest of the same data set and backbone; underlined: second."
)

COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("pruner", "Pruner", named=True),
    Column("seeds", "n", 0),
    Column("area", "Area (%)", 2, ranked=True),
    Column("area_low", "95 %", text="[{area_low:.2f}, {area_high:.2f}]"),
    Column("front", "Front"),
)


def build(results: Results) -> Table:
    """One row per budget, data set, backbone and pruner; empty without full training."""
    caption = " ".join([CAPTION, *timing_notes(results.aggregate["timing"], drawn=True)])
    areas = tradeoff_areas(results.summary)
    front = pd.Series([_front(points) for points in areas["front"]], dtype="object")
    frame, group = areas.assign(front=front), ("dataset", "backbone")
    return experiment_table(results, TITLE, caption, frame, COLUMNS, group)


def _front(points: tuple[tuple[float, bool, float], ...]) -> str | None:
    """Such as ``0.5 (97 %), 0.9 (62 %)``; nothing where no ratio is on the front."""
    shares = {ratio: f" ({100 * share:.0f} %)" for ratio, is_on, share in points if is_on}
    words = (f"{format_ratio(ratio)}{share}" for ratio, share in shares.items())
    return ", ".join(words).replace(" (nan %)", "") or None
