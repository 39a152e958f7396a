"""Test error against time as an interactive chart; the page fills in the data."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt

from stprune.paper.content import places
from stprune.paper.draw import Line, Look, looks
from stprune.paper.report.vega_spec import Spec, finished
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results

# How far above full training, in percent, errors are shown where not all are.
LIMITS = (50, 20, 10, 5)
TIMES = ("per epoch", "total")
HEIGHT = 420
# A slanted cross and a pentagon, which Vega has no names for.
SLANTED_CROSS = "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
PENTAGON = "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z"
SHAPES = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "D": "diamond"},
    **{"P": "cross", "X": SLANTED_CROSS, "<": "triangle-left", ">": "triangle-right"},
    "p": PENTAGON,
}
DASHES: dict[Line, list[int]] = {"--": [6, 3], "-.": [6, 2, 1, 2], ":": [2, 2]}


def tradeoff_chart(results: Results) -> Spec:
    """A point a run, and lines through the means over seeds; a place is chosen on the page.

    The page has to name two data sets, ``runs`` and ``means``, with the fields ``place``,
    ``pruner`` (readable), ``prune_ratio``, ``mae``, ``change`` (% against full training, or null),
    ``epoch`` and ``total`` (the times to show), and those of the tooltips.
    """
    relative = bool((results.summary["pruner"] == REFERENCE).any())
    shown = looks(results.summary["pruner"])
    # Its name is fixed: Altair would number it, differently in every chart.
    chosen = alt.selection_point(name="chosen", fields=["pruner"], bind="legend")
    runs, means = (
        _of_place(alt.Chart(alt.NamedData(name)), relative) for name in ("runs", "means")
    )
    colour = alt.Color("pruner:N", scale=_scale(shown, "colour"), legend=_legend())
    shape = alt.Shape("pruner:N", scale=_scale(shown, "marker"), legend=_legend())
    weak, strong = (_faded(chosen, *pair) for pair in ((0.45, 0.05), (1.0, 0.1)))
    every = runs.mark_point(filled=True, size=28, cursor="pointer").encode(
        color=colour, shape=shape, opacity=weak, tooltip=_run_tooltip()
    )
    line = means.mark_line(strokeWidth=1.4).encode(
        color=colour, strokeDash=_dashes(shown), opacity=strong, order="prune_ratio:Q"
    )
    point = means.mark_point(filled=True, size=80, stroke="white", strokeWidth=0.6).encode(
        color=colour, shape=shape, opacity=strong, tooltip=_mean_tooltip()
    )
    full = means.transform_filter(alt.datum.pruner == label(REFERENCE))
    rule = full.mark_rule(color="#000000", strokeWidth=0.8, strokeDash=[3, 3]).encode(y=_error())
    axes = {"x": _time(relative), "y": _error()}
    layers = [line.encode(**axes), every.encode(**axes), point.encode(**axes).add_params(chosen)]
    chart = alt.layer(rule, *layers).add_params(*_choices(results, relative))
    return finished(chart.properties(width="container", height=HEIGHT, title=_title()))


def place_name(dataset: str, backbone: str) -> str:
    """A data set and a backbone as the page names them."""
    return f"{dataset}, {label(backbone)}"


def _choices(results: Results, relative: bool) -> list[alt.Parameter]:
    names = [place_name(*place) for place in places(results.aggregate)]
    units = results.aggregate[["dataset", "backbone", "target_unit"]].dropna()
    known = {place_name(*row[:2]): row[2] for row in units.itertuples(index=False, name=None)}
    place = alt.binding_select(options=names, name="Data set and backbone ")
    time = alt.binding_radio(options=list(TIMES), name="Time ")
    words = ["all", *(f"up to {limit} % above full training" for limit in LIMITS)]
    limit = alt.binding_select(options=[None, *LIMITS], labels=words, name="Errors ")
    choices = [
        alt.param(name="place", value=names[0], bind=place),
        alt.param(name="time", value=TIMES[0], bind=time),
        alt.param(name="units", value=known),
        # The page knows its width, and sets it: the room below the chart depends on it.
        alt.param(name="legend_columns", value=1),
    ]
    if not relative:
        return choices
    # Some lose so much that nothing else could be told apart.
    far = results.aggregate["test_mae_change"].max() > LIMITS[0]
    return [*choices, alt.param(name="limit", value=LIMITS[0] if far else None, bind=limit)]


def _of_place(chart: alt.Chart, relative: bool) -> alt.Chart:
    """What of the data is shown, and at which time."""
    chart = chart.transform_filter("datum.place === place")
    if relative:
        # A run without an error, or without full training beside it, is not far from anything.
        near = "limit === null || datum.change === null || datum.change <= limit"
        chart = chart.transform_filter(near)
    return chart.transform_calculate(
        time_shown=f"time === '{TIMES[1]}' ? datum.total : datum.epoch"
    ).transform_filter("isValid(datum.mae) && isValid(datum.time_shown)")


def _title() -> alt.TitleParams:
    """Only the unit, which differs between places; an axis cannot say what is chosen."""
    text = alt.ExprRef("units[place] ? 'Errors in ' + units[place] : ''")
    return alt.TitleParams(text=text, limit=alt.ExprRef("width"), anchor="start")


def _legend() -> alt.Legend:
    return alt.Legend(
        orient="bottom",
        title=None,
        columns=alt.ExprRef("legend_columns"),
        symbolLimit=0,
        symbolSize=70,
        labelLimit=135,
    )


def _faded(chosen: alt.Parameter, opacity: float, other: float) -> Any:
    return alt.when(chosen).then(alt.value(opacity)).otherwise(alt.value(other))


def _time(relative: bool) -> alt.X:
    unit = "% of full training" if relative else "s"
    return alt.X("time_shown:Q").title(f"Time ({unit})").scale(zero=False, nice=True)


def _error() -> alt.Y:
    return alt.Y("mae:Q").title("Test MAE").scale(zero=False, nice=True)


def _run_tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("pruner:N", title="Pruner"),
        alt.Tooltip("prune_ratio:Q", title="Prune ratio"),
        alt.Tooltip("seed:Q", title="Seed"),
        *_measured(),
        alt.Tooltip("epochs:Q", title="Epochs"),
        alt.Tooltip("gradient_steps:Q", title="Gradient steps"),
        alt.Tooltip("budget:N", title="Budget"),
        alt.Tooltip("fingerprint:N", title="Configuration"),
        alt.Tooltip("id:N", title="Select to open"),
    ]


def _mean_tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("pruner:N", title="Pruner"),
        alt.Tooltip("prune_ratio:Q", title="Prune ratio"),
        alt.Tooltip("seeds:Q", title="Mean over seeds"),
        *_measured(),
        alt.Tooltip("spread:Q", title="Standard deviation of the MAE", format=".3~g"),
    ]


def _measured() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("mae:Q", title="Test MAE", format=".4~g"),
        alt.Tooltip("unit:N", title="Unit"),
        alt.Tooltip("change:Q", title="Against full training (%)", format="+.2f"),
        alt.Tooltip("epoch_seconds:Q", title="Per epoch (s)", format=".3~g"),
        alt.Tooltip("total_seconds:Q", title="Total (s)", format=".4~g"),
    ]


def _scale(shown: dict[str, Look], part: Literal["colour", "marker"]) -> alt.Scale:
    """Domain and range of the pruners' colours or markers, full training first."""
    names = sorted(shown, key=lambda name: (name != REFERENCE, label(name).lower()))
    drawn = {
        "colour": [shown[name].colour for name in names],
        "marker": [SHAPES[shown[name].marker] for name in names],
    }
    return alt.Scale(domain=[label(name) for name in names], range=drawn[part])


def _dashes(shown: dict[str, Look]) -> Any:
    """How the lines are broken, without a scale of its own: the legend's marks would break too."""
    solid = alt.value([1, 0])
    dashes: Any = alt
    for line, dash in DASHES.items():
        names = [label(name) for name, look in shown.items() if look.line == line]
        if names:
            of_line = alt.FieldOneOfPredicate(field="pruner", oneOf=names)
            dashes = dashes.when(of_line).then(alt.value(dash))
    return solid if dashes is alt else dashes.otherwise(solid)
