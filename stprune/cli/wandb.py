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

app = typer.Typer(help="Weights & Biases, from the records.", rich_markup_mode=None)

Experiment = Annotated[Path | None, Argument(help="Folder or name. Default: the only one.")]
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
    offline: Annotated[bool, Option("--offline", help="Write files for `wandb sync`.")] = False,
) -> None:
    """Create or update one W&B run for each record."""
    from stprune.tracking.run import finished_runs, permitted_mode
    from stprune.tracking.sync import WandbError, signed_in, sync, write_offline

    layout, place = _place(experiment, results, project, entity)
    mode = permitted_mode("offline" if offline else "online")
    if mode == "disabled":
        raise WandbError("WANDB_MODE=disabled forbids every sync; unset it")
    runs = finished_runs(layout)
    if mode == "offline":
        folder = layout.tracking() / "records"
        if not dry_run:
            write_offline(runs, folder, place)
        sys.stdout.write(f"{len(runs)} runs; send them: wandb sync {folder}/offline-run-*\n")
        return
    with signed_in(place.entity) as (api, owner):
        place = place.model_copy(update={"entity": owner})
        actions, lines = sync(runs, api, place, dry=dry_run)
    created, updated = actions["create"], actions["update"]
    sys.stdout.write(
        f"{owner}/{place.project}: {len(runs)} runs:{' would be' if dry_run else ''} {created}"
        f" created, {updated} updated, {len(runs) - created - updated} unchanged\n"
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if lines:
        raise WandbError(f"{len(lines)} of {len(runs)} runs at W&B are not what their records say")


@app.command()
def view(
    experiment: Experiment = None,
    results: ResultsFolder = Path("results"),
    project: Project = None,
    entity: Entity = None,
    json: Annotated[Path | None, Option(help="Only write this file; needs no account.")] = None,
) -> None:
    """Save views that compare pruners by prune ratio."""
    from stprune.base.files import write_json
    from stprune.tracking.run import finished_runs
    from stprune.tracking.sync import signed_in
    from stprune.tracking.view import Place, build_view, save_view, view_values

    layout, settings = _place(experiment, results, project, entity)
    keys = [(run.experiment, run.key.dataset, run.key.backbone) for run in finished_runs(layout)]
    places = [Place(*key) for key in sorted(set(keys))]
    if json is not None:
        owner = settings.entity or "entity"
        views = [build_view(place, owner, settings.project) for place in places]
        write_json(json, [view_values(view) for view in views])
        return
    with signed_in(settings.entity) as (_, owner):
        for place in places:
            view = build_view(place, owner, settings.project)
            saved = "saved" if save_view(view) else "unchanged"
            sys.stdout.write(f"{view.name}: {saved}, {view.url}\n")


def _place(
    experiment: Path | None, results: Path, project: str | None, entity: str | None
) -> tuple[ExperimentLayout, TrackingSettings]:
    """The experiment, and the project that the options or else its configuration name."""
    from stprune.base.layout import ExperimentLayout
    from stprune.base.schema import read_yaml, validate
    from stprune.base.settings import TrackingSettings
    from stprune.workflow.show import experiment_folder

    layout = ExperimentLayout(experiment_folder(experiment, results))
    values = read_yaml(layout.config) if layout.config.exists() else {}
    configured = (values.get("tracking") if isinstance(values, dict) else None) or {}
    options = {"project": project, "entity": entity}
    configured |= {name: value for name, value in options.items() if value is not None}
    return layout, validate(TrackingSettings, configured, f"{layout.config} at `tracking`")
