"""The interactive chart: errors against time, and below it the run that is selected there."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from stprune.base.layout import RunKey
from stprune.paper.content import PLACE
from stprune.paper.draw import looks
from stprune.records.store import KEYS, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results

CURVES = {"validation_mae": "Validation MAE", "train_loss": "Training loss"}
# Errors of single runs are embedded to so many digits.
DIGITS = 5
# More epochs would make the page too heavy to open; runs beyond are left out, last seeds first.
MOST_EPOCHS = 50_000
TIMES = ("per epoch", "total")
# Percent above full training; a few that lose more would make all others look alike.
FAR = 20
SHAPES = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "D": "diamond"},
    **{"P": "cross", "<": "triangle-left", ">": "triangle-right"},
    # A slanted cross and a pentagon, which Vega has no names for.
    "X": "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z",
    "p": "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",
}
DASHES = {"-": [1, 0], "--": [6, 3], "-.": [6, 2, 1, 2], ":": [2, 2]}
THIS_RUN, FULL_RUN = "this run", "full training, same seed"

Rows = list[dict[str, Any]]


def chart(results: Results) -> dict[str, Any]:
    """A Vega-Lite specification with its data, the same every time; the page sets the widths.

    A click on the mark of a run selects it: its learning curves are shown below.
    """
    data = chart_data(results)
    first = next((r for r in data["runs"] if r["pruner"] == label("st_prune")), data["runs"][0])
    value = {name: first[name] for name in ("run", "full", "id")}
    selected = alt.selection_point(name="selected", fields=list(value), empty=False, value=[value])
    parts: list[Any] = [_tradeoff(results, selected), *map(_curves, CURVES)]
    whole = alt.vconcat(*parts).resolve_scale(color="independent", shape="independent")
    whole = whole.add_params(*_choices(results)).configure(font="system-ui, sans-serif")
    whole = whole.configure_view(stroke=None).configure_axis(gridColor="#e4e4e4")
    spec: dict[str, Any] = whole.configure_title(anchor="start").to_dict()
    # Altair names every layer as a view of a selection, of which Vega allows one.
    for param in spec["params"]:
        if "views" in param:
            layer = {"chosen": "means", "selected": "runs"}[param["name"]]
            param["views"] = [view for view in param["views"] if view.startswith(layer)]
    # The address of the schema is none of the page's.
    return {**{key: value for key, value in spec.items() if key != "$schema"}, "datasets": data}


def chart_data(results: Results) -> dict[str, Rows]:
    """Rows of the chart's data sets: ``runs``, ``means`` over seeds, and ``epochs``.

    Numbers are short, and None where they are not known. ``run`` is a run's place in the summary,
    ``full`` that of full training of the same seed (-1 for none).
    """
    runs = results.summary.reset_index(drop=True)
    keys = [RunKey(*key) for key in runs[KEYS].itertuples(index=False, name=None)]
    at = {key: number for number, key in enumerate(keys)}
    full = runs[runs["pruner"] == REFERENCE].groupby(PLACE)
    means_of_full = full[["test_mae", "epoch_seconds", "total_seconds"]].mean()
    of_full = means_of_full.reindex(pd.MultiIndex.from_frame(runs[PLACE])).reset_index(drop=True)
    percent = 100 * runs[of_full.columns] / of_full
    run_rows = _shared(results, runs).assign(
        run=range(len(runs)),
        id=[key.path for key in keys],
        full=[at.get(k._replace(pruner=REFERENCE, prune_ratio=0.0), -1) for k in keys],
        seed=runs["seed"],
        epochs=runs["epochs"],
        steps=runs["gradient_steps"],
        change=percent["test_mae"] - 100,
        epoch=percent["epoch_seconds"].fillna(runs["epoch_seconds"]),
        total=percent["total_seconds"].fillna(runs["total_seconds"]),
    )
    means = results.aggregate.reset_index(drop=True)
    mean_rows = _shared(results, means).assign(
        seeds=means["seeds"],
        spread=means["test_mae_sd"],
        change=means["test_mae_change"],
        epoch=means["epoch_percent"].fillna(means["epoch_seconds"]),
        total=means["total_percent"].fillna(means["total_seconds"]),
    )
    numbered = results.epochs.merge(runs[KEYS].assign(run=range(len(runs))), on=KEYS)
    numbered = numbered.sort_values(["seed", "run", "epoch"], ignore_index=True)
    ends = numbered.groupby("run", sort=False).size().cumsum()
    curves = numbered[numbered["run"].isin(ends[ends <= MOST_EPOCHS].index)]
    curves = curves.rename(columns={"elapsed_seconds": "seconds"})
    return {
        "runs": _rows(run_rows),
        "means": _rows(mean_rows),
        "epochs": _rows(curves[["run", "epoch", "seconds", *CURVES]]),
    }


def _shared(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """What the chart shows of runs and of means alike."""
    lines = {name: look.line for name, look in looks(results.summary["pruner"]).items()}
    return pd.DataFrame(
        {
            "place": _places(frame),
            "pruner": frame["pruner"].map(label),
            "line": frame["pruner"].map(lines),
            "prune_ratio": frame["prune_ratio"],
            "mae": frame["test_mae"],
            "epoch_seconds": frame["epoch_seconds"],
            "total_seconds": frame["total_seconds"],
        }
    )


def _places(frame: pd.DataFrame) -> pd.Series[str]:
    """Data set, backbone and unit of the errors of each row."""
    unit = (" (" + frame["target_unit"] + ")").fillna("")
    return frame["dataset"] + " with " + frame["backbone"].map(label) + unit


def _rows(frame: pd.DataFrame) -> Rows:
    columns = {name: [_short(value) for value in frame[name]] for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _short(value: Any) -> Any:
    """A number of few digits that JSON has, a text, or None for what is not known."""
    if value is None or isinstance(value, str):
        return value
    if not math.isfinite(value):
        return None
    rounded = float(f"{float(value):.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def _tradeoff(results: Results, selected: alt.Parameter) -> Any:
    """A point a run, and lines through the means over seeds; a place is chosen on the page."""
    shown = looks(results.summary["pruner"])
    chosen = alt.selection_point(name="chosen", fields=["pruner"], bind="legend")
    runs, means = (_of_place(alt.Chart(alt.NamedData(name))) for name in ("runs", "means"))
    colour = _by_pruner(alt.Color, {name: look.colour for name, look in shown.items()})
    shape = _by_pruner(alt.Shape, {name: SHAPES[look.marker] for name, look in shown.items()})
    dash = alt.StrokeDash("line:N", legend=None).scale(
        domain=list(DASHES), range=list(DASHES.values())
    )
    weak, strong = (
        alt.when(chosen).then(alt.value(most)).otherwise(alt.value(least))
        for most, least in ((0.45, 0.05), (1.0, 0.1))
    )
    ring: Any = alt.when(selected).then(alt.value(2)).otherwise(alt.value(0))
    every = runs.mark_point(filled=True, size=40, cursor="pointer", stroke="black").encode(
        color=colour, shape=shape, opacity=weak, strokeWidth=ring, tooltip=_tooltip(RUN_TOLD)
    )
    line = means.mark_line(strokeWidth=1.4).encode(
        color=colour, strokeDash=dash, opacity=strong, order="prune_ratio:Q"
    )
    point = means.mark_point(filled=True, size=80, stroke="white", strokeWidth=0.6).encode(
        color=colour, shape=shape, opacity=strong, tooltip=_tooltip(MEAN_TOLD)
    )
    error = alt.Y("mae:Q").title("Test MAE").scale(zero=False, nice=True)
    unit = "% of full training" if REFERENCE in shown else "s"
    time = alt.X("time_shown:Q").title(f"Time ({unit})").scale(zero=False, nice=True)
    full = means.transform_filter(alt.datum.pruner == label(REFERENCE))
    rule = full.mark_rule(color="#000000", strokeWidth=0.8, strokeDash=[3, 3]).encode(y=error)
    layers = [
        line.encode(x=time, y=error).properties(name="lines"),
        point.encode(x=time, y=error).add_params(chosen).properties(name="means"),
        # On top, so that a click reaches the runs.
        every.encode(x=time, y=error).add_params(selected).properties(name="runs"),
    ]
    return alt.layer(rule, *layers).properties(height=400)


def _curves(field: str) -> Any:
    """A quantity over the time of the selected run, full training of the same seed beside it."""
    whose = f"datum.run === selected.run[0] ? '{THIS_RUN}' : '{FULL_RUN}'"
    both = "selected.run && (datum.run === selected.run[0] || datum.run === selected.full[0])"
    colour = (
        alt.Color("whose:N")
        .scale(domain=[THIS_RUN, FULL_RUN], range=["#D55E00", "#000000"])
        .legend(orient="bottom", title=None, labelLimit=0)
    )
    title = alt.TitleParams(
        text=alt.ExprRef("selected.id ? 'Run ' + selected.id[0] : 'No run is selected'"),
        limit=alt.ExprRef("width"),
    )
    told = {"whose:N": ("Run", ""), "epoch:Q": ("Epoch", "")}
    told |= {"seconds:Q": ("Time so far (s)", ".4~g"), f"{field}:Q": (CURVES[field], ".4~g")}
    return (
        alt.Chart(alt.NamedData("epochs"), name=field, title=title, height=170)
        .transform_filter(f"{both} && isValid(datum.{field})")
        .transform_calculate(whose=whose)
        .mark_line(point=alt.OverlayMarkDef(size=22), strokeWidth=1.4)
        .encode(
            x=alt.X("seconds:Q").title("Time so far (s)"),
            y=alt.Y(f"{field}:Q").title(CURVES[field]).scale(zero=False),
            color=colour,
            order="epoch:Q",
            tooltip=_tooltip(told),
        )
    )


def _choices(results: Results) -> list[alt.Parameter]:
    names = _places(results.aggregate).unique().tolist()
    place = alt.binding_select(options=names, name="Data set and backbone ")
    time = alt.binding_radio(options=list(TIMES), name="Time ")
    near = alt.binding_checkbox(name=f"Only up to {FAR} % above full training ")
    return [
        alt.param(name="place", value=names[0], bind=place),
        alt.param(name="time", value=TIMES[0], bind=time),
        alt.param(name="near", value=True, bind=near),
        # The page sets it by its width.
        alt.param(name="legend_columns", value=1),
    ]


def _of_place(chart: alt.Chart) -> alt.Chart:
    """What of the data is shown, and at which time."""
    shown = f"time === '{TIMES[1]}' ? datum.total : datum.epoch"
    return (
        chart.transform_filter(f"datum.place === place && !(near && datum.change > {FAR})")
        .transform_calculate(time_shown=shown)
        .transform_filter("isValid(datum.mae) && isValid(datum.time_shown)")
    )


def _by_pruner(channel: Any, drawn: dict[str, str]) -> Any:
    """A channel with the pruners' colours or shapes, full training first, and the legend."""
    names = sorted(drawn, key=lambda name: (name != REFERENCE, label(name).lower()))
    columns = alt.ExprRef("legend_columns")
    style: dict[str, Any] = {"symbolLimit": 0, "symbolSize": 70, "labelLimit": 135}
    legend = alt.Legend(orient="bottom", title=None, columns=columns, **style)
    scale = alt.Scale(domain=[label(name) for name in names], range=[drawn[n] for n in names])
    return channel("pruner:N", scale=scale, legend=legend)


# Titles and formats of what is shown of a mark, by field.
TOLD = {
    "mae:Q": ("Test MAE", ".4~g"),
    "change:Q": ("Against full training (%)", "+.2f"),
    "epoch_seconds:Q": ("Per epoch (s)", ".3~g"),
    "total_seconds:Q": ("Total (s)", ".4~g"),
}
NAMED = {"pruner:N": ("Pruner", ""), "prune_ratio:Q": ("Prune ratio", "")}
RUN_TOLD = NAMED | {"seed:Q": ("Seed", "")} | TOLD
RUN_TOLD |= {"epochs:Q": ("Epochs", ""), "steps:Q": ("Gradient steps", "")}
RUN_TOLD |= {"id:N": ("Select to show below", "")}
MEAN_TOLD = NAMED | {"seeds:Q": ("Mean over seeds", "")} | TOLD
MEAN_TOLD |= {"spread:Q": ("Standard deviation of the MAE", ".3~g")}


def _tooltip(told: dict[str, tuple[str, str]]) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(field, title=title, format=form or alt.Undefined)
        for field, (title, form) in told.items()
    ]
