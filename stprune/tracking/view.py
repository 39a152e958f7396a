"""Saved views at Weights & Biases that compare pruners by prune ratio, one for each place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stprune.tracking.finished_runs import RecordedRun
from stprune.tracking.told import CLOCK

ERROR, EPOCH_TIME, TOTAL_TIME = "test.mae", "cost.epoch_seconds", "cost.total_seconds"
PRUNER, RATIO = "pruner.name", "prune_ratio"
# Beside each run's name in the list of runs.
COLUMNS = (f"config:{PRUNER}", f"config:{RATIO}", "config:seed", f"summary:{ERROR}")


@dataclass(frozen=True, order=True)
class Place:
    """Where pruners are compared: their errors on another data set are no matter of theirs.

    Args:
        experiment: Name of the experiment.
        dataset: Name in its configuration.
        backbone: Name in its configuration.
    """

    experiment: str
    dataset: str
    backbone: str

    @property
    def title(self) -> str:
        """Shown in the list of views."""
        return f"{self.experiment}: {self.backbone} on {self.dataset}"

    @property
    def slug(self) -> str:
        """The view's own part of its address, the same each time: 11 characters."""
        return hashlib.sha256(self.title.encode()).hexdigest()[:11]


def places(runs: Iterable[RecordedRun]) -> list[Place]:
    """Where the runs were trained, each once."""
    return sorted(
        {Place(run.record.experiment, run.record.dataset, run.record.backbone) for run in runs}
    )


def build_view(place: Place, entity: str, project: str) -> Any:
    """The workspace of one place.

    Runs are grouped by pruner and prune ratio, so that a mark is the mean over seeds.

    Returns:
        A ``wandb_workspaces`` ``Workspace``, not saved.
    """
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.expr import And

    view = ws.Workspace(
        entity=entity,
        project=project,
        name=place.title,
        sections=[_comparison(), _course()],
        settings=ws.WorkspaceSettings(x_axis=CLOCK, smoothing_type="none", max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=And(
                ws.Config("experiment") == place.experiment,
                ws.Config("dataset.name") == place.dataset,
                ws.Config("backbone.name") == place.backbone,
            ),
            groupby=[ws.Config(PRUNER), ws.Config(RATIO)],
            order=[ws.Ordering(ws.Config(RATIO), ascending=True)],
            pinned_columns=list(COLUMNS),
        ),
    )
    # Without it, the library makes a name up, and every save would be another view.
    view._internal_name = f"nw-{place.slug}-v"
    return view


@dataclass(frozen=True)
class SavedView:
    """A view at W&B.

    Args:
        title: Shown.
        url: Its address.
        changed: Whether it had to be saved.
    """

    title: str
    url: str
    changed: bool


def save_view(view: Any) -> SavedView:
    """Save a workspace of :func:`build_view`, unless it is there as it would be."""
    found = _found(view.url)
    changed = found is None or view_values(found) != view_values(view)
    if changed:
        if found is not None:
            view._internal_id = found._internal_id
        view.save()
    return SavedView(view.name, view.url, changed)


def view_values(view: Any) -> dict[str, Any]:
    """What is uploaded of a view, without the ids that the library draws anew each time."""
    spec = view._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    return {"name": view.name, "spec": _without_ids(json.loads(spec))}


def _comparison() -> Any:
    import wandb_workspaces.reports.v2.interface as wr
    import wandb_workspaces.workspaces as ws

    error, ratio = wr.SummaryMetric(ERROR), wr.Config(RATIO)
    return ws.Section(
        name="Pruners by prune ratio",
        is_open=True,
        pinned=True,
        panels=[
            wr.ScatterPlot(title="Test MAE by prune ratio", x=ratio, y=error),
            wr.ScatterPlot(
                title="Test MAE against per-epoch time, s",
                x=wr.SummaryMetric(EPOCH_TIME),
                y=error,
            ),
            wr.ScatterPlot(
                title="Test MAE against total time, s", x=wr.SummaryMetric(TOTAL_TIME), y=error
            ),
            wr.BarPlot(title="Test MAE, mean over seeds", metrics=[ERROR], orientation="h"),
            wr.ParallelCoordinatesPlot(
                title="Pruner, prune ratio, per-epoch time, test MAE",
                columns=[
                    wr.ParallelCoordinatesPlotColumn(metric=metric)
                    for metric in (wr.Config(PRUNER), ratio, wr.SummaryMetric(EPOCH_TIME), error)
                ],
            ),
        ],
    )


def _course() -> Any:
    import wandb_workspaces.reports.v2.interface as wr
    import wandb_workspaces.workspaces as ws

    return ws.Section(
        name="Over the course of training",
        is_open=True,
        panels=[
            wr.LinePlot(title="Validation MAE against time, s", x=CLOCK, y=["validation_mae"]),
            wr.LinePlot(title="Validation MAE by epoch", x="epoch", y=["validation_mae"]),
            wr.LinePlot(title="Per-epoch time, s", x="epoch", y=["train_seconds"]),
            wr.LinePlot(title="Share of windows visited", x="epoch", y=["keep_ratio"]),
        ],
    )


def _found(url: str) -> Any:
    import wandb_workspaces.workspaces as ws

    try:
        return ws.Workspace.from_url(url)
    except ValueError as error:
        # So says the library of a view, or of a whole project, that is not there.
        if "not found" not in str(error):
            raise
        return None


def _without_ids(values: Any) -> Any:
    if isinstance(values, dict):
        kept = {key: value for key, value in values.items() if key not in ("__id__", "id")}
        return {key: _without_ids(value) for key, value in kept.items()}
    return [_without_ids(value) for value in values] if isinstance(values, list) else values
