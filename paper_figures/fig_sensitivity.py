"""What changing one option of a pruner changes: its error against the option's value."""

import math

import pandas as pd
from matplotlib.axes import Axes

from stprune.paper import content, draw
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import compare_all

TITLE = "Sensitivity to each option"
COLUMNS = 4
# How far the prune ratios of a value lie apart, as a share of the room between two values.
SPREAD = 0.3
PANEL = ["pruner", "option", "budget"]


def applies(results: Results) -> bool:
    """Whether an entry changes one option of a pruner that was run too."""
    return not compared_variants(results).empty


def build(results: Results) -> draw.Drawing:
    """One panel per option (and budget), one colour per prune ratio."""
    compared = compared_variants(results)
    ratios = sorted(compared["prune_ratio"].unique())
    shown = dict(zip(content.ratio_names(ratios), draw.OTHER_LOOKS, strict=False))
    parts = dict(list(compared.groupby(PANEL)))
    columns = min(COLUMNS, len(parts))
    figure, grid = draw.panels(
        ["Difference in test MAE (%)"] * math.ceil(len(parts) / columns),
        [""] * columns,
        1.75,
        legend=[*draw.entries(shown), *draw.significance()],
        sharey=True,
    )
    grid[0, 0].set_ylim(draw.difference_limits(compared[["mean", "low", "high"]].to_numpy()))
    for axes in grid.flat[len(parts) :]:
        axes.remove()
    for ((pruner, option, budget), part), axes in zip(parts.items(), grid.flat, strict=False):
        _panel(axes, part, dict(zip(ratios, shown.values(), strict=True)))
        axes.set_title(f"{label(str(pruner))}\nequal {label(str(budget)).lower()}")
        axes.set_xlabel(str(option))
    pairs = content.count_in_words(compared["cells"], "pair")
    caption = (
        "Mean difference in test MAE between entries that differ in one option only, over paired"
        " runs; below 0 is better than the unchanged entry, whose value is marked on the line at 0"
        f" ({content.seed_count(results.aggregate)}, {pairs} a point, 95 % bootstrap intervals)."
        f" {draw.MARKS}"
    )
    return draw.Drawing(figure, caption)


def variants(results: Results) -> pd.DataFrame:
    """Every entry that differs in one option from the entry named as its pruner.

    ``pruner`` is the id, which is also the name of the entry that ``entry`` is compared with. Its
    ``value`` of ``option`` and the ``usual`` one are those of the records, defaults included.
    """
    found = results.configs("pruner").items()
    configs = {name: config.get("pruner", {}) for name, config in found}
    rows = []
    for entry, config in configs.items():
        pruner, options = config.get("id", entry), config.get("options", {})
        usual = configs.get(pruner, {}).get("options", {})
        changed = [name for name in usual if options.get(name) != usual[name]]
        if len(changed) == 1 and set(options) == set(usual):
            rows.append((pruner, changed[0], entry, options[changed[0]], usual[changed[0]]))
    names = ["pruner", "option", "entry", "value", "usual"]
    return pd.DataFrame(rows, columns=names, dtype=object).sort_values(names[:3], ignore_index=True)


def compared_variants(results: Results) -> pd.DataFrame:
    """`variants` with `compare_all` of each pruner's changed entries, a family each."""
    found = variants(results)
    tables = [found.assign(budget="", prune_ratio=math.nan)[:0]]
    for pruner, changes in found.groupby("pruner"):
        runs = results.summary[results.summary["pruner"].isin([pruner, *changes["entry"]])]
        table = compare_all(runs, [str(pruner)]).rename(columns={"pruner": "entry"})
        tables.append(changes.merge(table.dropna(subset="prune_ratio"), on="entry"))
    return pd.concat(tables)


def _panel(axes: Axes, part: pd.DataFrame, shown: dict[float, draw.Look]) -> None:
    usual = part["usual"].iloc[0]
    # Each value once: numbers by size, words as they come.
    values = list({f"{value}": value for value in (usual, *part["value"])}.values())
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    axes.axhline(0, color="black", linewidth=0.7, zorder=1)
    for aside, (ratio, look) in zip(draw.asides(len(shown), SPREAD), shown.items(), strict=True):
        points = part[part["prune_ratio"] == ratio]
        at = [values.index(value) + aside for value in points["value"]]
        draw.differences(axes, at, points, look, upright=True)
    axes.plot([values.index(usual)], [0], marker="|", color="black", markersize=9, zorder=4)
    axes.set_xticks(range(len(values)), [f"{value}".replace("_", "\n") for value in values])
    axes.set_xlim(-0.5, len(values) - 0.5)
