"""The interactive chart: errors against time, and below it the run that is selected there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from stprune.base.layout import RunKey
from stprune.paper.content import PLACE, place_names, places
from stprune.paper.draw import Line, Look, looks
from stprune.records.store import KEYS, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results

PARTS = ("data", "step", "scoring", "selection", "validation", "checkpoint")
# Errors of single runs are embedded to so many digits.
DIGITS = 5
# More epochs would make the page too heavy to open; runs beyond are left out, last seeds first.
MOST_EPOCHS = 50_000
# How far above full training, in percent, errors are shown where not all are.
LIMITS = (50, 20, 10, 5)
TIMES = ("per epoch", "total")
LETTERS = 12
# A slanted cross and a pentagon, which Vega has no names for.
SLANTED_CROSS = "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
PENTAGON = "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z"
SHAPES = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "D": "diamond"},
    **{"P": "cross", "X": SLANTED_CROSS, "<": "triangle-left", ">": "triangle-right"},
    "p": PENTAGON,
}
DASHES: dict[Line, list[int]] = {"--": [6, 3], "-.": [6, 2, 1, 2], ":": [2, 2]}
THIS_RUN, FULL_RUN = "this run", "full training, same seed"

Spec = dict[str, Any]
Rows = list[dict[str, Any]]


def chart(results: Results) -> Spec:
    """A Vega-Lite specification with its data, the same every time; the page sets the widths.

    A click on the mark of a run selects it: its learning curves and its ledger are shown below.
    """
    data = chart_data(results)
    selected = alt.selection_point(
        name="selected", fields=["run", "full", "id"], empty=False, value=[_first(data["runs"])]
    )
    relative = bool((results.summary["pruner"] == REFERENCE).any())
    parts: list[Any] = [_tradeoff(results, relative, selected), *map(_curves, CURVES), _ledger()]
    whole = alt.vconcat(*parts).resolve_scale(color="independent", shape="independent")
    whole = whole.add_params(*_choices(results, relative))
    whole = whole.configure(font="system-ui, sans-serif").configure_view(stroke=None)
    whole = whole.configure_axis(
        labelFontSize=LETTERS, titleFontSize=LETTERS, gridColor="#e4e4e4"
    ).configure_legend(labelFontSize=LETTERS)
    spec: Spec = whole.configure_title(fontSize=LETTERS, anchor="start").to_dict()
    # Altair names every layer as a view of a selection, of which Vega allows one.
    for param in spec["params"]:
        if "views" in param:
            layer = {"chosen": "means", "selected": "runs"}[param["name"]]
            param["views"] = [view for view in param["views"] if view.startswith(layer)]
    # The address of the schema is none of the page's.
    return {**{key: value for key, value in spec.items() if key != "$schema"}, "datasets": data}


def chart_data(results: Results) -> dict[str, Rows]:
    """Rows of the chart's data sets: ``runs``, ``means`` over seeds, ``epochs`` and ``ledger``.

    Numbers are short, and None where they are not known. ``run`` is a run's place in the summary,
    ``full`` that of full training of the same seed (-1 for none).
    """
    runs = results.summary.reset_index(drop=True)
    keys = [RunKey(*key) for key in runs[KEYS].itertuples(index=False, name=None)]
    at = {key: number for number, key in enumerate(keys)}
    full = runs[runs["pruner"] == REFERENCE].groupby(PLACE)
    of_full = pd.MultiIndex.from_frame(runs[PLACE])

    def percent(column: str) -> pd.Series[Any]:
        mean = full[column].mean().reindex(of_full).to_numpy(dtype=np.float64)
        share: pd.Series[Any] = 100 * runs[column] / mean
        return share

    fields = pd.DataFrame(
        {
            "run": range(len(runs)),
            "id": [key.path for key in keys],
            "full": [at.get(k._replace(pruner=REFERENCE, prune_ratio=0.0), -1) for k in keys],
            "seed": runs["seed"],
            "epochs": runs["epochs"],
            "steps": runs["gradient_steps"],
            "change": percent("test_mae") - 100,
            "epoch": percent("epoch_seconds").fillna(runs["epoch_seconds"]),
            "total": percent("total_seconds").fillna(runs["total_seconds"]),
        }
    )
    means = results.aggregate.reset_index(drop=True)
    mean_fields = pd.DataFrame(
        {
            "seeds": means["seeds"],
            "spread": means["test_mae_sd"],
            "change": means["test_mae_change"],
            "epoch": means["epoch_percent"].fillna(means["epoch_seconds"]),
            "total": means["total_percent"].fillna(means["total_seconds"]),
        }
    )
    numbered = results.epochs.merge(
        runs[KEYS].assign(run=range(len(runs))), on=KEYS, validate="many_to_one"
    ).sort_values(["seed", "run", "epoch"], ignore_index=True)
    ends = numbered.groupby("run", sort=False).size().cumsum()
    curves = numbered[numbered["run"].isin(ends[ends <= MOST_EPOCHS].index)]
    curves = curves.rename(columns={"elapsed_seconds": "seconds"})
    spent = numbered.groupby("run")[[f"{part}_seconds" for part in PARTS]].sum()
    spent = spent.assign(preparation_seconds=runs["preparation_seconds"])
    ledger = spent.reset_index().melt("run", var_name="part", value_name="seconds")
    ledger["part"] = ledger["part"].str.removesuffix("_seconds")
    return {
        "runs": _rows(_shared(runs).join(fields)),
        "means": _rows(_shared(means).join(mean_fields)),
        "epochs": _rows(curves[["run", "epoch", "seconds", *CURVES]]),
        "ledger": _rows(ledger.sort_values(["run", "part"])),
    }


def _shared(frame: pd.DataFrame) -> pd.DataFrame:
    """What the chart shows of runs and of means alike."""
    pairs = frame[PLACE].itertuples(index=False, name=None)
    return pd.DataFrame(
        {
            "place": [place_names([pair]) for pair in pairs],
            "pruner": frame["pruner"].map(label),
            "prune_ratio": frame["prune_ratio"],
            "unit": frame["target_unit"],
            "mae": frame["test_mae"],
            "epoch_seconds": frame["epoch_seconds"],
            "total_seconds": frame["total_seconds"],
        }
    )


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


def _first(runs: Rows) -> dict[str, Any]:
    """The run that is selected when the page opens."""
    run = next((run for run in runs if run["pruner"] == label("st_prune")), runs[0])
    return {name: run[name] for name in ("run", "full", "id")}


def _tradeoff(results: Results, relative: bool, selected: alt.Parameter) -> Any:
    """A point a run, and lines through the means over seeds; a place is chosen on the page."""
    shown = looks(results.summary["pruner"])
    chosen = alt.selection_point(name="chosen", fields=["pruner"], bind="legend")
    runs, means = (_of_place(alt.Chart(alt.NamedData(n)), relative) for n in ("runs", "means"))
    colour = alt.Color("pruner:N", scale=_scale(shown, "colour"), legend=_legend())
    shape = alt.Shape("pruner:N", scale=_scale(shown, "marker"), legend=_legend())
    weak, strong = (
        alt.when(chosen).then(alt.value(most)).otherwise(alt.value(least))
        for most, least in ((0.45, 0.05), (1.0, 0.1))
    )
    ring: Any = alt.when(selected).then(alt.value(2)).otherwise(alt.value(0))
    every = runs.mark_point(filled=True, size=40, cursor="pointer", stroke="black").encode(
        color=colour, shape=shape, opacity=weak, strokeWidth=ring, tooltip=_tooltip("run")
    )
    line = means.mark_line(strokeWidth=1.4).encode(
        color=colour, strokeDash=_dashes(shown), opacity=strong, order="prune_ratio:Q"
    )
    point = means.mark_point(filled=True, size=80, stroke="white", strokeWidth=0.6).encode(
        color=colour, shape=shape, opacity=strong, tooltip=_tooltip("mean")
    )
    error = alt.Y("mae:Q").title("Test MAE").scale(zero=False, nice=True)
    unit = "% of full training" if relative else "s"
    time = alt.X("time_shown:Q").title(f"Time ({unit})").scale(zero=False, nice=True)
    full = means.transform_filter(alt.datum.pruner == label(REFERENCE))
    rule = full.mark_rule(color="#000000", strokeWidth=0.8, strokeDash=[3, 3]).encode(y=error)
    layers = [
        line.encode(x=time, y=error).properties(name="lines"),
        point.encode(x=time, y=error).add_params(chosen).properties(name="means"),
        # On top, so that a click reaches the runs.
        every.encode(x=time, y=error).add_params(selected).properties(name="runs"),
    ]
    title = alt.TitleParams(text=alt.ExprRef("units[place] ? 'Errors in ' + units[place] : ''"))
    return alt.layer(rule, *layers).properties(height=400, title=title)


CURVES = {"validation_mae": "Validation MAE", "train_loss": "Training loss"}


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
            tooltip=[
                alt.Tooltip("whose:N", title="Run"),
                alt.Tooltip("epoch:Q", title="Epoch"),
                alt.Tooltip("seconds:Q", title="Time so far (s)", format=".4~g"),
                alt.Tooltip(f"{field}:Q", title=CURVES[field], format=".4~g"),
            ],
        )
    )


def _ledger() -> Any:
    """Where the time of the selected run went."""
    order = ["preparation", *PARTS]
    return (
        alt.Chart(alt.NamedData("ledger"), name="ledger", height=130)
        .transform_filter("selected.run && datum.run === selected.run[0]")
        .mark_bar(color="#0072b2")
        .encode(
            x=alt.X("seconds:Q").title("Seconds in all epochs"),
            y=alt.Y("part:N", sort=order).title(None),
            tooltip=["part:N", alt.Tooltip("seconds:Q", format=".4~g")],
        )
    )


def _choices(results: Results, relative: bool) -> list[alt.Parameter]:
    pairs = places(results.aggregate)
    names = [place_names([pair]) for pair in pairs]
    units = results.aggregate[[*PLACE, "target_unit"]].dropna()
    known = {
        place_names([(dataset, backbone)]): unit
        for dataset, backbone, unit in units.itertuples(index=False, name=None)
    }
    place = alt.binding_select(options=names, name="Data set and backbone ")
    time = alt.binding_radio(options=list(TIMES), name="Time ")
    words = ["all", *(f"up to {limit} % above full training" for limit in LIMITS)]
    limit = alt.binding_select(options=[None, *LIMITS], labels=words, name="Errors ")
    choices = [
        alt.param(name="place", value=names[0], bind=place),
        alt.param(name="time", value=TIMES[0], bind=time),
        alt.param(name="units", value=known),
        # The page sets it by its width.
        alt.param(name="legend_columns", value=1),
    ]
    if not relative:
        return choices
    # A few that lose much would make all others look alike.
    far = results.aggregate["test_mae_change"].max() > LIMITS[0]
    return [*choices, alt.param(name="limit", value=LIMITS[0] if far else None, bind=limit)]


def _of_place(chart: alt.Chart, relative: bool) -> alt.Chart:
    """What of the data is shown, and at which time."""
    chart = chart.transform_filter("datum.place === place")
    if relative:
        near = "limit === null || datum.change === null || datum.change <= limit"
        chart = chart.transform_filter(near)
    return chart.transform_calculate(
        time_shown=f"time === '{TIMES[1]}' ? datum.total : datum.epoch"
    ).transform_filter("isValid(datum.mae) && isValid(datum.time_shown)")


def _legend() -> alt.Legend:
    columns = alt.ExprRef("legend_columns")
    return alt.Legend(
        orient="bottom", title=None, columns=columns, symbolLimit=0, symbolSize=70, labelLimit=135
    )


def _tooltip(of: Literal["run", "mean"]) -> list[alt.Tooltip]:
    titles = {"pruner:N": "Pruner", "prune_ratio:Q": "Prune ratio"}
    titles |= {"seed:Q": "Seed"} if of == "run" else {"seeds:Q": "Mean over seeds"}
    numbers = {
        "mae": ("Test MAE", ".4~g"),
        "change": ("Against full training (%)", "+.2f"),
        "epoch_seconds": ("Per epoch (s)", ".3~g"),
        "total_seconds": ("Total (s)", ".4~g"),
    }
    numbers |= {} if of == "run" else {"spread": ("Standard deviation of the MAE", ".3~g")}
    last = {"epochs:Q": "Epochs", "steps:Q": "Gradient steps", "id:N": "Select to show below"}
    return [
        *(alt.Tooltip(field, title=title) for field, title in titles.items()),
        *(alt.Tooltip(f"{n}:Q", title=title, format=form) for n, (title, form) in numbers.items()),
        *(alt.Tooltip(field, title=title) for field, title in last.items() if of == "run"),
    ]


def _scale(shown: dict[str, Look], part: Literal["colour", "marker"]) -> alt.Scale:
    """Domain and range of the pruners' colours or markers, full training first."""
    names: Iterable[str] = sorted(shown, key=lambda n: (n != REFERENCE, label(n).lower()))
    drawn = [shown[n].colour if part == "colour" else SHAPES[shown[n].marker] for n in names]
    return alt.Scale(domain=[label(name) for name in names], range=drawn)


def _dashes(shown: dict[str, Look]) -> Any:
    """How the lines are broken; a scale of its own would break the legend's marks too."""
    solid = alt.value([1, 0])
    dashes: Any = alt
    for line, dash in DASHES.items():
        names = [label(name) for name, look in shown.items() if look.line == line]
        if names:
            of_line = alt.FieldOneOfPredicate(field="pruner", oneOf=names)
            dashes = dashes.when(of_line).then(alt.value(dash))
    return solid if dashes is alt else dashes.otherwise(solid)
