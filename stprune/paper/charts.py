"""The charts of the report: errors against time at a glance, and single runs to look into."""

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from stprune.base.layout import RunKey
from stprune.paper.content import METHOD, shown_pruners, time_axis
from stprune.paper.draw import Look, looks, order
from stprune.paper.findings import Findings
from stprune.records.store import KEYS, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results, relative_to_full
from stprune.statistics.paired import CONTROLS, MARGIN

CURVES = {"validation_mae": "Validation MAE", "train_loss": "Training loss"}
# Errors of single runs are embedded to so many digits.
DIGITS = 5
# More epochs would make the page too heavy to open; runs beyond are left out, last seeds first.
MOST_EPOCHS = 50_000
TIMES = ("per epoch", "total", "gradient steps")
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
LOSSLESS = "#009E73"
THIS_RUN, FULL_RUN = "this run", "full training, same seed"
# Titles and formats of what is shown of a mark, by field.
NAMED = {"pruner:N": ("Pruner", ""), "prune_ratio:Q": ("Prune ratio", "")}
POINT_TOLD = NAMED | {
    "mean:Q": ("Change in error (%)", "+.2f"),
    "low:Q": ("Interval from", "+.2f"),
    "high:Q": ("to", "+.2f"),
    "time:Q": ("Time (% of full training)", ".1f"),
    "time_low:Q": ("Time from", ".1f"),
    "time_high:Q": ("to", ".1f"),
    "verdict:N": ("Verdict", ""),
}
RUN_TOLD = NAMED | {
    "seed:Q": ("Seed", ""),
    "mae:Q": ("Test MAE", ".4~g"),
    "change:Q": ("Against full training (%)", "+.2f"),
    "epoch_seconds:Q": ("Per epoch (s)", ".3~g"),
    "total_seconds:Q": ("Total (s)", ".4~g"),
    "epochs:Q": ("Epochs", ""),
    "steps:Q": ("Gradient steps", ""),
    "id:N": ("Select to show below", ""),
}

Rows = list[dict[str, Any]]
Spec = dict[str, Any]


def picture(results: Results, found: Findings) -> Spec:
    """Change in error against time of every pruner and prune ratio, as a Vega-Lite specification.

    Empty without full training. Its scale holds the method and the controls; others may leave it.
    """
    if found.points.empty:
        return {}
    shown = looks(shown_pruners(results)[0])
    full = {"pruner": REFERENCE, "prune_ratio": 0.0, "mean": 0.0, "time": 100.0}
    points = found.points[found.points["pruner"].isin(shown)]
    points = pd.concat([points, pd.DataFrame([full])], ignore_index=True)
    scaled = points[points["pruner"].isin((METHOD, *CONTROLS))]
    scaled = points if scaled.empty else scaled
    ends = scaled[["mean", "low", "high"]]
    lowest, highest = min(ends.min().min(), -2 * MARGIN), max(ends.max().max(), 2 * MARGIN)
    room, slowest = 0.07 * (highest - lowest), max(100.0, scaled["time"].max())
    error = alt.Y("mean:Q").title("Change in test error (%)")
    error = error.scale(domain=[lowest - room, highest + room], nice=False)
    _, name, unit = time_axis(results.aggregate)
    time = alt.X("time:Q").title(f"{name} ({unit})")
    time = time.scale(domain=[0, 1.04 * slowest], nice=False)
    colour, shape = _by_pruner(alt.Color, shown), _by_pruner(alt.Shape, shown)
    dash = alt.StrokeDash("line:N", legend=None).scale(
        domain=list(DASHES), range=list(DASHES.values())
    )
    band = alt.Chart(alt.NamedData("band"))
    every = alt.Chart(alt.NamedData("points")).encode(x=time, color=colour)
    ours = every.transform_filter(alt.datum.pruner == label(METHOD))
    words: dict[str, Any] = {"align": "left", "fontSize": 11}
    style: dict[str, Any] = {"filled": True, "size": 80, "stroke": "white", "strokeWidth": 0.6}
    bar = every.mark_rule(clip=True, strokeWidth=1.2, opacity=0.6)
    lossless = band.mark_text(text=f"lossless: ±{MARGIN:g} %", x=5, color="#00513a", **words)
    line = every.mark_line(clip=True, strokeWidth=1.6)
    point = every.mark_point(clip=True, opacity=1, **style)
    layers = [
        band.mark_rect(color=LOSSLESS, opacity=0.15).encode(y="low:Q", y2="high:Q"),
        lossless.encode(y=alt.YDatum(0)),
        bar.encode(y="low:Q", y2="high:Q"),
        bar.encode(x="time_low:Q", x2="time_high:Q", y="mean:Q"),
        line.encode(y=error, strokeDash=dash, order="prune_ratio:Q"),
        point.encode(y=error, shape=shape, tooltip=_tooltip(POINT_TOLD)),
        ours.mark_text(dx=7, dy=-7, **words).encode(y=error, text="prune_ratio:Q"),
    ]
    whole = alt.layer(*layers).properties(width="container", height="container")
    whole = whole.properties(autosize=alt.AutoSizeParams(type="fit", contains="padding"))
    lines = points["pruner"].map({name: look.line for name, look in shown.items()})
    columns = [name.partition(":")[0] for name in POINT_TOLD]
    rows = points.assign(pruner=points["pruner"].map(label))[columns].assign(line=lines)
    spec = _specification(whole.add_params(LEGEND_COLUMNS))
    return spec | {"datasets": {"points": _rows(rows), "band": [{"low": -MARGIN, "high": MARGIN}]}}


def explorer(results: Results) -> Spec:
    """Errors and times of all runs, and the learning curves of the one that is clicked on."""
    data = explorer_data(results)
    first = next((r for r in data["runs"] if r["pruner"] == label(METHOD)), data["runs"][0])
    value = {name: first[name] for name in ("run", "full", "id")}
    selected = alt.selection_point(name="selected", fields=list(value), empty=False, value=[value])
    parts: list[Any] = [_runs(results, selected), *map(_curves, CURVES)]
    whole = alt.vconcat(*parts).resolve_scale(color="independent", shape="independent")
    spec = _specification(whole.add_params(*_choices(data), LEGEND_COLUMNS))
    # Altair names every layer as a view of a selection, of which Vega allows one.
    for param in spec["params"]:
        if "views" in param:
            param["views"] = [view for view in param["views"] if view.startswith("runs")]
    return spec | {"datasets": data}


def explorer_data(results: Results) -> dict[str, Rows]:
    """Rows of the explorer's data sets: ``runs`` and ``epochs``.

    ``run`` is a run's place in the summary, ``full`` that of full training of the same seed (-1 for
    none).
    """
    runs = results.summary.reset_index(drop=True)
    keys = [RunKey(*key) for key in runs[KEYS].itertuples(index=False, name=None)]
    at = {key: number for number, key in enumerate(keys)}
    percent = relative_to_full(runs)
    unit = (" (" + runs["target_unit"] + ")").fillna("")
    run_rows = pd.DataFrame(
        {
            "run": range(len(runs)),
            "id": [key.path for key in keys],
            "full": [at.get(k._replace(pruner=REFERENCE, prune_ratio=0.0), -1) for k in keys],
            "place": runs["dataset"] + " with " + runs["backbone"].map(label) + unit,
            "pruner": runs["pruner"].map(label),
            "mae": runs["test_mae"],
            "steps": runs["gradient_steps"],
            **runs[["prune_ratio", "seed", "epochs", "epoch_seconds", "total_seconds"]],
            "change": percent["test_mae"] - 100,
            "epoch": percent["epoch_seconds"].fillna(runs["epoch_seconds"]),
            "total": percent["total_seconds"].fillna(runs["total_seconds"]),
            "share": percent["gradient_steps"].fillna(runs["gradient_steps"]),
        }
    )
    numbered = results.epochs.merge(runs[KEYS].assign(run=range(len(runs))), on=KEYS)
    numbered = numbered.sort_values(["seed", "run", "epoch"], ignore_index=True)
    ends = numbered.groupby("run", sort=False).size().cumsum()
    curves = numbered[numbered["run"].isin(ends[ends <= MOST_EPOCHS].index)]
    # A run without timing has its own clock.
    seconds = curves["elapsed_seconds"].fillna(curves["own_elapsed_seconds"])
    curves = curves.assign(seconds=seconds)
    return {
        "runs": _rows(run_rows),
        "epochs": _rows(curves[["run", "epoch", "seconds", *CURVES]]),
    }


def _rows(frame: pd.DataFrame) -> Rows:
    """Rows for JSON, with numbers of few digits and None for what is not known."""
    numbers = frame.select_dtypes("float")
    short = {
        str(name): [float(f"{value:.{DIGITS}g}") for value in numbers[name]] for name in numbers
    }
    rows: Rows = json.loads(frame.assign(**short).to_json(orient="records", double_precision=15))
    return rows


# The page sets it by its width.
LEGEND_COLUMNS = alt.param(name="legend_columns", value=1)


def _specification(whole: Any) -> Spec:
    whole = whole.configure(font="system-ui, sans-serif").configure_title(anchor="start")
    whole = whole.configure_view(stroke=None).configure_axis(gridColor="#e4e4e4")
    # The address of the schema is none of the page's.
    return {key: value for key, value in whole.to_dict().items() if key != "$schema"}


def _runs(results: Results, selected: alt.Parameter) -> Any:
    """A point a run; the place and the time are chosen on the page."""
    shown = looks(results.summary["pruner"])
    fields = dict(zip(TIMES, ("epoch", "total", "share"), strict=True))
    chosen = f"datum[{json.dumps(fields)}[time]]"
    runs = (
        alt.Chart(alt.NamedData("runs"))
        .transform_filter(f"datum.place === place && !(near && datum.change > {FAR})")
        .transform_calculate(time_shown=chosen)
        .transform_filter("isValid(datum.mae) && isValid(datum.time_shown)")
    )
    unit = "% of full training" if REFERENCE in shown else "s, number"
    ring: Any = alt.when(selected).then(alt.value(2)).otherwise(alt.value(0))
    error = alt.Y("mae:Q").title("Test MAE").scale(zero=False, nice=True)
    points = runs.mark_point(filled=True, size=50, opacity=0.7, cursor="pointer", stroke="black")
    points = points.encode(
        x=alt.X("time_shown:Q").title(f"Time or steps ({unit})").scale(zero=False, nice=True),
        y=error,
        color=_by_pruner(alt.Color, shown),
        shape=_by_pruner(alt.Shape, shown),
        strokeWidth=ring,
        tooltip=_tooltip(RUN_TOLD),
    )
    full = runs.transform_filter(alt.datum.pruner == label(REFERENCE))
    rule = full.mark_rule(color="#000000", strokeWidth=0.8, strokeDash=[3, 3])
    points = points.add_params(selected).properties(name="runs")
    return alt.layer(rule.encode(y=alt.Y("mean(mae):Q")), points).properties(height=400)


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


def _choices(data: dict[str, Rows]) -> list[alt.Parameter]:
    names = list(dict.fromkeys(run["place"] for run in data["runs"]))
    timed = all(run["epoch"] is not None for run in data["runs"])
    place = alt.binding_select(options=names, name="Data set and backbone ")
    time = alt.binding_radio(options=list(TIMES), name="Time ")
    near = alt.binding_checkbox(name=f"Only up to {FAR} % above full training ")
    return [
        alt.param(name="place", value=names[0], bind=place),
        alt.param(name="time", value=TIMES[0] if timed else TIMES[2], bind=time),
        alt.param(name="near", value=True, bind=near),
    ]


def _by_pruner(channel: Any, shown: Mapping[str, Look]) -> Any:
    """A channel with the pruners' colours or shapes, full training first, and the legend."""
    names = sorted(shown, key=order)
    colours = channel is alt.Color
    drawn = [shown[n].colour if colours else SHAPES[shown[n].marker] for n in names]
    columns = alt.ExprRef("legend_columns")
    style: dict[str, Any] = {"symbolLimit": 0, "symbolSize": 70, "symbolOpacity": 1}
    legend = alt.Legend(orient="bottom", title=None, columns=columns, labelLimit=135, **style)
    scale = alt.Scale(domain=[label(name) for name in names], range=drawn)
    return channel("pruner:N", scale=scale, legend=legend)


def _tooltip(told: dict[str, tuple[str, str]]) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(field, title=title, format=form or alt.Undefined)
        for field, (title, form) in told.items()
    ]
