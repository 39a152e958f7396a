"""`stprune wandb`: send the records to Weights & Biases, and save views that compare pruners."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stprune.base.layout import ExperimentLayout
    from stprune.base.settings import TrackingSettings
    from stprune.tracking.sync import SyncReport


def add_wandb_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `stprune wandb` with its commands."""
    group = commands.add_parser("wandb", help="Weights & Biases, from the records")
    parts = group.add_subparsers(required=True, metavar="COMMAND")
    sync = parts.add_parser("sync", help="create or update one W&B run for each record")
    _add_place(sync)
    sync.add_argument("--dry-run", action="store_true", help="only say what would be done")
    sync.add_argument(
        "--offline", action="store_true", help="write files to send later with `wandb sync`"
    )
    sync.set_defaults(command=_sync)
    view = parts.add_parser("view", help="save views that compare pruners by prune ratio")
    _add_place(view)
    view.add_argument(
        "--json", type=Path, metavar="FILE", help="only write them there; needs no account"
    )
    view.set_defaults(command=_view)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment", nargs="?", type=Path, help="folder or name; default: the only one there is"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--project", help="default: `tracking.project` of the experiment")
    parser.add_argument("--entity", help="default: `tracking.entity`, else the account's own")


def _sync(parsed: argparse.Namespace) -> None:
    from stprune.tracking.account import WandbError, signed_in
    from stprune.tracking.finished_runs import recorded_experiment
    from stprune.tracking.offline import write_offline
    from stprune.tracking.project import WandbProject
    from stprune.tracking.sync import sync
    from stprune.tracking.told import permitted_mode

    layout, settings = _place(parsed)
    mode = permitted_mode("offline" if parsed.offline else "online")
    if mode == "disabled":
        raise WandbError("WANDB_MODE=disabled keeps W&B from everything; unset it to sync")
    runs = recorded_experiment(layout)
    if mode == "offline":
        folder = layout.tracking() / "records"
        report = write_offline(runs, folder, settings, dry=parsed.dry_run)
        _print_counts(layout, report, parsed.dry_run)
        if not parsed.dry_run:
            sys.stdout.write(f"send them with: wandb sync {folder}/offline-run-*\n")
        return
    with signed_in() as api:
        project = WandbProject(api, settings.project, settings.entity)
        report = sync(runs, project, dry=parsed.dry_run)
    _print_counts(layout, report, parsed.dry_run)
    if parsed.dry_run:
        return
    for line in report.mismatches:
        sys.stdout.write(f"{line}\n")
    if report.mismatches:
        raise WandbError(
            f"{len(report.mismatches)} of {len(runs)} runs at W&B are not what their records say;"
            " the lines above name them"
        )
    sys.stdout.write(f"{project.path}: every summary at W&B is that of its record\n")


def _print_counts(layout: ExperimentLayout, report: SyncReport, dry: bool) -> None:
    counts = f"{report.count('create')} created, {report.count('update')} updated"
    kept = f"{report.count('leave') + report.count('conflict')} unchanged"
    would = " would be" if dry else ""
    sys.stdout.write(f"{layout.root}: {len(report.actions)} runs:{would} {counts}, {kept}\n")


def _view(parsed: argparse.Namespace) -> None:
    from stprune.base import atomic
    from stprune.tracking.account import signed_in
    from stprune.tracking.finished_runs import recorded_experiment
    from stprune.tracking.project import WandbProject
    from stprune.tracking.view import build_view, places, save_view, view_values

    layout, settings = _place(parsed)
    wanted = places(recorded_experiment(layout))
    if parsed.json is not None:
        entity = settings.entity or "entity"
        views = [build_view(place, entity, settings.project) for place in wanted]
        atomic.write_json(parsed.json, [view_values(view) for view in views])
        return
    with signed_in() as api:
        project = WandbProject(api, settings.project, settings.entity)
        for place in wanted:
            saved = save_view(build_view(place, project.entity, project.project))
            what = "saved" if saved.changed else "unchanged"
            sys.stdout.write(f"{saved.title}: {what}, {saved.url}\n")


def _place(parsed: argparse.Namespace) -> tuple[ExperimentLayout, TrackingSettings]:
    """The experiment, and the project that the words or else its configuration name."""
    from stprune.base.layout import ExperimentLayout
    from stprune.base.schema import read_yaml, validate
    from stprune.base.settings import TrackingSettings
    from stprune.workflow.show import experiment_folder

    layout = ExperimentLayout(experiment_folder(parsed.experiment, parsed.results))
    told: dict[str, object] = {}
    if layout.config.exists():
        values = read_yaml(layout.config)
        told = (values.get("tracking") if isinstance(values, dict) else None) or {}
    settings = validate(TrackingSettings, told, f"{layout.config} at `tracking`")
    words = {"project": parsed.project, "entity": parsed.entity}
    return layout, settings.model_copy(update={k: v for k, v in words.items() if v is not None})
