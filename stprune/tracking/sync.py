"""Sends records to Weights & Biases, as often as one likes: what is there already stays."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from stprune.base.errors import StpruneError
from stprune.base.settings import Tracking, TrackingSettings
from stprune.tracking.run import CLOCK, Payload, log_row, open_run

#: What a run needs. ``conflict``: W&B holds the curves of another training of it.
Action = Literal["create", "update", "leave", "conflict"]


class WandbError(StpruneError):
    """W&B, or what it holds, is not as it should be."""


class NoAccountError(WandbError):
    """W&B cannot be asked at all: no key, a wrong one, or no network."""

    exit_code: ClassVar[int] = 2


@contextmanager
def signed_in(entity: str | None) -> Iterator[tuple[Any, str]]:
    """W&B's public API, and the team or user (by default the account's own); nothing is asked.

    Raises a NoAccountError without a valid key or an answer, and a WandbError for whatever goes
    wrong later, in one line without the key.
    """
    import wandb

    # What `wandb.Api` raises where it does not turn it into an `Error`; there is no public name.
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    problem: type[WandbError] = NoAccountError
    wandb.setup(
        wandb.Settings(silent=True, x_graphql_retry_max=3, x_graphql_retry_wait_min_seconds=0.5)
    )
    try:
        if not wandb.login(prompt=False, verify=True):
            raise wandb.errors.AuthenticationError("there is no key; run `wandb login`")
        # Seconds to wait for one answer; W&B's own retries would go on for hours.
        api = wandb.Api(timeout=30)
        owner = entity or api.default_entity
        if not owner:
            raise wandb.errors.AuthenticationError("the account has no team; give --entity")
        problem = WandbError
        yield api, owner
    except (wandb.errors.Error, WandbApiFailedError, OSError) as error:
        message = " ".join(str(error).split())
        for key in (os.environ.get("WANDB_API_KEY"), wandb.setup().settings.api_key):
            message = message.replace(key, "(key)") if key else message
        if problem is NoAccountError:
            message += "; `stprune wandb sync --offline` needs no account"
        raise problem(f"Weights & Biases: {message}") from None
    finally:
        wandb.teardown()


def sync(
    runs: Sequence[Payload], api: Any, place: TrackingSettings, *, dry: bool = False
) -> dict[str, Action]:
    """Create and update what W&B lacks; what each run needed, by its name. ``dry``: only say so.

    A run with the curves of another training is left as it is: W&B's history cannot be rewritten,
    and one training's curves above another one's results would be worse than none.
    """
    remotes = _remote_runs(runs, api, place)
    actions = {run.key.path: _needed(run, remotes.get(run.identity)) for run in runs}
    with tempfile.TemporaryDirectory() as directory:
        for run in runs:
            if not dry and actions[run.key.path] in ("create", "update"):
                _send(run, remotes.get(run.identity), "online", place, Path(directory))
    return actions


def write_offline(runs: Sequence[Payload], folder: Path, place: TrackingSettings) -> None:
    """Write a folder ``offline-run-<time>-<id>`` for each run; what is in ``folder`` goes."""
    import wandb

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, so that it appears by a rename: complete or not at all.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as staging:
        for run in runs:
            _send(run, None, "offline", place, Path(staging))
        # The library writes in the background; this waits until all is on disk.
        wandb.teardown()
        written = [path.parent for path in Path(staging).glob("wandb/offline-run-*/*.wandb")]
        if len(written) != len(runs):
            raise WandbError(f"wandb wrote {len(written)} files of {len(runs)} runs")
        complete = Path(staging, "complete")
        complete.mkdir()
        for path in written:
            path.rename(complete / path.name)
        shutil.rmtree(folder, ignore_errors=True)
        complete.rename(folder)


def _send(
    run: Payload, remote: Any, mode: Tracking, place: TrackingSettings, directory: Path
) -> None:
    """Create or complete one run, and wait until W&B has it."""
    known, tags = (remote.history_line_count or 0, remote.tags or ()) if remote else (0, ())
    # Notes that readers have written are theirs.
    notes = None if remote and remote.notes else run.notes
    opened = open_run(run, mode, place, directory, tags, notes)
    for row in list(run.history.values())[known:]:
        log_row(opened, row)
    # Also the last values of epochs that are at W&B already: these are not logged again.
    opened.summary.update(run.summary)
    opened.finish()


def _remote_runs(runs: Sequence[Payload], api: Any, place: TrackingSettings) -> dict[str, Any]:
    """Those of the runs that W&B has, by id; none if it does not have the project."""
    # Otherwise W&B's library would answer the same question from memory.
    api.flush()
    wanted = {"name": {"$in": [run.identity for run in runs]}}
    try:
        found = api.runs(f"{place.entity}/{place.project}", filters=wanted, lazy=False)
        return {remote.id: remote for remote in found}
    except ValueError as error:
        if "Could not find project" not in str(error):
            raise
        return {}


def _needed(run: Payload, remote: Any) -> Action:
    """What makes W&B's run that of the record."""
    if remote is None:
        return "create"
    if _agrees(run, remote):
        return "leave"
    # W&B leaves no row out if it is asked for as many as there are.
    for row in remote.history(samples=max(1, remote.history_line_count or 0), pandas=False):
        # W&B's own keys begin with an underscore.
        values = {key: value for key, value in row.items() if not key.startswith("_")}
        if run.history.get(row["_step"]) != values:
            return "conflict"
    return "update"


def _agrees(run: Payload, remote: Any) -> bool:
    """Whether a run at W&B is what its record says; what readers have added is theirs."""
    ours: dict[str, Any] = {"config": run.config, "summary": run.summary, "name": run.key.path}
    ours |= {"group": run.group, "epochs": len(run.history), "tags": dict.fromkeys(run.tags, True)}
    theirs = {"config": remote.config, "summary": remote.summary_metrics, "name": remote.name}
    theirs |= {"group": remote.group, "epochs": remote.history_line_count or 0}
    there = dict(_leaves(theirs | {"tags": dict.fromkeys(remote.tags or (), True)}))
    return all(there.get(name) == value for name, value in _leaves(ours))


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys joined by dots, with their values; an empty mapping does not reach W&B."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


ERROR, PRUNER, RATIO = "test.mae", "pruner.name", "prune_ratio"
# What is said of a run relative to full training, each `against_full.<name>_percent`.
AGAINST = ("error", "total", "steps")
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


def build_view(place: Place, entity: str, project: str, glance: str) -> Any:
    """The ``wandb_workspaces.Workspace`` of one place, which opens with ``glance``, Markdown."""
    import wandb_workspaces.reports.v2.interface as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.expr import And

    ratio, error = wr.Config(RATIO), wr.SummaryMetric(ERROR)
    total = wr.SummaryMetric("cost.total_seconds")
    change, *costs = (wr.SummaryMetric(f"against_full.{name}_percent") for name in AGAINST)
    wide = wr.Layout(x=0, y=0, w=12, h=10)
    first: list[Any] = [wr.MarkdownPanel(markdown=glance, layout=wide)]
    first += [
        wr.ScatterPlot(title=f"Change in test MAE against {name}, % of full", x=cost, y=change)
        for name, cost in zip(("total time", "gradient steps"), costs, strict=True)
    ]
    panels: list[Any] = [
        wr.ScatterPlot(title="Test MAE by prune ratio", x=ratio, y=error),
        wr.ScatterPlot(title="Test MAE against total time by the run's clock, s", x=total, y=error),
        wr.BarPlot(title="Test MAE, mean over seeds", metrics=[ERROR], orientation="h"),
    ]
    pinned = [f"config:{PRUNER}", f"config:{RATIO}", "config:seed", f"summary:{ERROR}"]
    lines: list[Any] = [wr.LinePlot(title=title, x=x, y=[y]) for title, x, y in COURSES]
    view = ws.Workspace(
        entity=entity,
        project=project,
        name=place.title,
        sections=[
            ws.Section(name="At a glance", is_open=True, pinned=True, panels=first),
            ws.Section(name="Pruners by prune ratio", is_open=True, panels=panels),
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
            pinned_columns=pinned,
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
        if view_values(there) == view_values(view):
            return False
        view._internal_id = there._internal_id
    except ValueError as error:
        # The library's answer if the view, or the whole project, does not exist.
        if "not found" not in str(error):
            raise
    view.save()
    return True


def view_values(view: Any) -> dict[str, Any]:
    """What is uploaded of a view, without the ids that the library draws anew each time."""

    def without_ids(values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key not in ("__id__", "id")}

    spec = view._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    return {"name": view.name, "spec": json.loads(spec, object_hook=without_ids)}
