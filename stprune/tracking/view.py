"""Saved views at Weights & Biases that compare pruners by prune ratio, one for each place."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from stprune.tracking.run import CLOCK

ERROR, PRUNER, RATIO = "test.mae", "pruner.name", "prune_ratio"
# Title, horizontal and vertical axis of the lines over the course of training.
COURSES = (
    ("Validation MAE against time, s", CLOCK, "validation_mae"),
    ("Validation MAE by epoch", "epoch", "validation_mae"),
    ("Per-epoch time, s", "epoch", "train_seconds"),
    ("Share of windows visited", "epoch", "keep_ratio"),
)


class Place(NamedTuple):
    """Where pruners are compared: errors on different data sets are not comparable."""

    experiment: str
    dataset: str
    backbone: str

    @property
    def title(self) -> str:
        """Title in the list of views."""
        return f"{self.experiment}: {self.backbone} on {self.dataset}"

    @property
    def slug(self) -> str:
        """The view's own part of its address, the same each time: 11 characters."""
        return hashlib.sha256(self.title.encode()).hexdigest()[:11]


def build_view(place: Place, entity: str, project: str) -> Any:
    """The ``wandb_workspaces.Workspace`` of one place, runs grouped by pruner and prune ratio."""
    import wandb_workspaces.reports.v2.interface as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.expr import And

    pruner, ratio, error = wr.Config(PRUNER), wr.Config(RATIO), wr.SummaryMetric(ERROR)
    time, total = map(wr.SummaryMetric, ("cost.epoch_seconds", "cost.total_seconds"))
    shown = (pruner, ratio, time, error)
    columns = [wr.ParallelCoordinatesPlotColumn(metric=metric) for metric in shown]
    title = "Pruner, prune ratio, per-epoch time, test MAE"
    panels: list[Any] = [
        wr.ScatterPlot(title="Test MAE by prune ratio", x=ratio, y=error),
        wr.ScatterPlot(title="Test MAE against per-epoch time, s", x=time, y=error),
        wr.ScatterPlot(title="Test MAE against total time, s", x=total, y=error),
        wr.BarPlot(title="Test MAE, mean over seeds", metrics=[ERROR], orientation="h"),
        wr.ParallelCoordinatesPlot(title=title, columns=columns),
    ]
    lines: list[Any] = [wr.LinePlot(title=title, x=x, y=[y]) for title, x, y in COURSES]
    view = ws.Workspace(
        entity=entity,
        project=project,
        name=place.title,
        sections=[
            ws.Section(name="Pruners by prune ratio", is_open=True, pinned=True, panels=panels),
            ws.Section(name="Over the course of training", is_open=True, panels=lines),
        ],
        settings=ws.WorkspaceSettings(x_axis=CLOCK, smoothing_type="none", max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=And(
                ws.Config("experiment") == place.experiment,
                ws.Config("dataset.name") == place.dataset,
                ws.Config("backbone.name") == place.backbone,
            ),
            groupby=[ws.Config(PRUNER), ws.Config(RATIO)],
            order=[ws.Ordering(ws.Config(RATIO), ascending=True)],
            pinned_columns=[
                f"config:{PRUNER}",
                f"config:{RATIO}",
                "config:seed",
                f"summary:{ERROR}",
            ],
        ),
    )
    # Otherwise the library makes a name up, and every save would be another view.
    view._internal_name = f"nw-{place.slug}-v"
    return view


def save_view(view: Any) -> bool:
    """Save a workspace of :func:`build_view`, unless W&B has it as it is; whether it was saved."""
    import wandb_workspaces.workspaces as ws

    try:
        there = ws.Workspace.from_url(view.url)
    except ValueError as error:
        # The library's answer if the view, or the whole project, does not exist.
        if "not found" not in str(error):
            raise
    else:
        if view_values(there) == view_values(view):
            return False
        view._internal_id = there._internal_id
    view.save()
    return True


def view_values(view: Any) -> dict[str, Any]:
    """What is uploaded of a view, without the ids that the library draws anew each time."""

    def without_ids(values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key not in ("__id__", "id")}

    spec = view._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    return {"name": view.name, "spec": json.loads(spec, object_hook=without_ids)}
