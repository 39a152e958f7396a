"""``stprune wandb``: send the records to Weights & Biases, and save views that compare pruners."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

if TYPE_CHECKING:
    from stprune.base.layout import ExperimentLayout
    from stprune.base.settings import TrackingSettings
    from stprune.tracking.sync import SyncReport

app = typer.Typer(help="Weights & Biases, from the records.", rich_markup_mode=None)

Experiment = Annotated[
    Path | None, Argument(help="Folder or name. Default: the only one there is.")
]
ResultsFolder = Annotated[Path, Option(help="Folder of all experiments.")]
Project = Annotated[str | None, Option(help="Default: `tracking.project` of the experiment.")]
Entity = Annotated[str | None, Option(help="Default: `tracking.entity`, else the account's.")]


@app.command()
def sync(
    experiment: Experiment = None,
    results: ResultsFolder = Path("results"),
    project: Project = None,
    entity: Entity = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only say what would be done.")] = False,
    offline: Annotated[
        bool, Option("--offline", help="Write files to send later with `wandb sync`.")
    ] = False,
) -> None:
    """Create or update one W&B run for each record."""
    from stprune.tracking.account import WandbError, signed_in
    from stprune.tracking.finished_runs import recorded_experiment
    from stprune.tracking.offline import write_offline
    from stprune.tracking.project import WandbProject
    from stprune.tracking.sync import sync
    from stprune.tracking.told import permitted_mode

    layout, settings = _place(experiment, results, project, entity)
    mode = permitted_mode("offline" if offline else "online")
    if mode == "disabled":
        raise WandbError("WANDB_MODE=disabled keeps W&B from everything; unset it to sync")
    runs = recorded_experiment(layout)
    if mode == "offline":
        folder = layout.tracking() / "records"
        report = write_offline(runs, folder, settings, dry=dry_run)
        _print_counts(layout, report, dry_run)
        if not dry_run:
            sys.stdout.write(f"send them with: wandb sync {folder}/offline-run-*\n")
        return
    with signed_in() as api:
        online = WandbProject(api, settings.project, settings.entity)
        report = sync(runs, online, dry=dry_run)
    _print_counts(layout, report, dry_run)
    if dry_run:
        return
    for line in report.mismatches:
        sys.stdout.write(f"{line}\n")
    if report.mismatches:
        raise WandbError(
            f"{len(report.mismatches)} of {len(runs)} runs at W&B are not what their records say;"
            " the lines above name them"
        )
    sys.stdout.write(f"{online.path}: every summary at W&B is that of its record\n")


def _print_counts(layout: ExperimentLayout, report: SyncReport, dry: bool) -> None:
    counts = f"{report.count('create')} created, {report.count('update')} updated"
    kept = f"{report.count('leave') + report.count('conflict')} unchanged"
    would = " would be" if dry else ""
    sys.stdout.write(f"{layout.root}: {len(report.actions)} runs:{would} {counts}, {kept}\n")


@app.command()
def view(
    experiment: Experiment = None,
    results: ResultsFolder = Path("results"),
    project: Project = None,
    entity: Entity = None,
    json: Annotated[
        Path | None, Option(help="Only write the views to this file; needs no account.")
    ] = None,
) -> None:
    """Save views that compare pruners by prune ratio."""
    from stprune.base import atomic
    from stprune.tracking.account import signed_in
    from stprune.tracking.finished_runs import recorded_experiment
    from stprune.tracking.project import WandbProject
    from stprune.tracking.view import build_view, places, save_view, view_values

    layout, settings = _place(experiment, results, project, entity)
    wanted = places(recorded_experiment(layout))
    if json is not None:
        name = settings.entity or "entity"
        views = [build_view(place, name, settings.project) for place in wanted]
        atomic.write_json(json, [view_values(view) for view in views])
        return
    with signed_in() as api:
        online = WandbProject(api, settings.project, settings.entity)
        for place in wanted:
            saved = save_view(build_view(place, online.entity, online.project))
            what = "saved" if saved.changed else "unchanged"
            sys.stdout.write(f"{saved.title}: {what}, {saved.url}\n")


def _place(
    experiment: Path | None, results: Path, project: str | None, entity: str | None
) -> tuple[ExperimentLayout, TrackingSettings]:
    """The experiment, and the project that the words or else its configuration name."""
    from stprune.base.layout import ExperimentLayout
    from stprune.base.schema import read_yaml, validate
    from stprune.base.settings import TrackingSettings
    from stprune.workflow.show import experiment_folder

    layout = ExperimentLayout(experiment_folder(experiment, results))
    told: dict[str, object] = {}
    if layout.config.exists():
        values = read_yaml(layout.config)
        told = (values.get("tracking") if isinstance(values, dict) else None) or {}
    settings = validate(TrackingSettings, told, f"{layout.config} at `tracking`")
    words = {"project": project, "entity": entity}
    return layout, settings.model_copy(update={k: v for k, v in words.items() if v is not None})
