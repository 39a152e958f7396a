"""The commands of ``stprune``: runs, results, records, W&B; data sets are beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from stprune import __version__
from stprune.base.errors import RecordError
from stprune.base.layout import PAPER, RECORDS, DataLayout, ExperimentLayout, RunKey
from stprune.cli import data

if TYPE_CHECKING:
    from stprune.base.settings import TrackingSettings
    from stprune.config.experiment import ExperimentConfig

app = typer.Typer(add_completion=False, rich_markup_mode=None)
wandb = typer.Typer(help="Weights & Biases, from the records.", rich_markup_mode=None)
app.add_typer(data.app, name="data")
app.add_typer(wandb, name="wandb")

ConfigFile = Annotated[Path, Option(help="Configuration of the experiment.")]
Jobs = Annotated[int, Option(help="Processes that draw at the same time.")]
Experiment = Annotated[Path | None, Argument(help="Folder or name. Default: the only one.")]
ResultsFolder = Annotated[Path, Option(help="Folder of all experiments.")]
Project = Annotated[str | None, Option(help="Default: `tracking.project` of the experiment.")]
Entity = Annotated[str | None, Option(help="Default: `tracking.entity`, else the account's.")]
DEMO = Path("config/demo.yaml")
RESULTS = Path("results")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"stprune {__version__}\n")
        raise typer.Exit


@app.callback()
def stprune(
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Benchmark dynamic sample pruning for forecasting."""


@app.command()
def train(
    dataset: Annotated[str, Option(help="Entry of `datasets` in the configuration.")],
    backbone: Annotated[str, Option(help="Entry of `backbones`.")],
    pruner: Annotated[str, Option(help="Entry of `pruners`.")],
    prune_ratio: Annotated[float, Option(help="Share of windows left out, in [0, 1).")] = 0.0,
    seed: int = 0,
    config: ConfigFile = DEMO,
) -> None:
    """Train one run of an experiment."""
    from stprune.workflow.train import train_once

    train_once(_load(config), RunKey(dataset, backbone, pruner, prune_ratio, seed))


@app.command()
def train_block(
    block: Annotated[str, Argument(help="Such as sim_freeway/stid/s0.")], config: ConfigFile = DEMO
) -> None:
    """Train the runs of one job of the workflow."""
    from stprune.workflow import train

    train.train_block(config, block)


@app.command("time")
def time_place(
    place: Annotated[str, Argument(help="Data set and backbone, such as sim_freeway/stid.")],
    config: ConfigFile = DEMO,
) -> None:
    """Time an epoch of every pruner of an experiment."""
    from stprune.training.timing import time_epochs

    dataset, _, backbone = place.partition("/")
    record = time_epochs(_load(config), dataset, backbone)
    sys.stdout.write(f"{place}: {record.verdict}, {record.rounds} rounds\n")


@app.command()
def summarise(
    config: ConfigFile = DEMO,
    partial: Annotated[bool, Option("--partial", help="Leave out incomplete seeds.")] = False,
) -> None:
    """Collect all runs of an experiment."""
    from stprune.config.grid import experiment_layout, run_keys
    from stprune.results.summarise import complete_seeds, summarise
    from stprune.workflow.run_states import refuse_missing

    experiment = _load(config)
    layout, keys = experiment_layout(experiment), run_keys(experiment)
    values = experiment.model_dump(mode="json")
    if partial:
        keys, left_out = complete_seeds(layout, keys)
        values["seeds"] = [seed for seed in experiment.seeds if seed not in left_out]
        if left_out:
            sys.stdout.write(f"left out, for they are not complete: seeds {left_out}\n")
    else:
        refuse_missing(layout, keys)
    summarise([layout.metrics(key) for key in keys], layout, values)


@app.command()
def results(config: ConfigFile = DEMO) -> None:
    """Print where the table, the plot and the report are."""
    from stprune.config.grid import experiment_layout

    for path in experiment_layout(_load(config)).headline:
        if not path.exists():
            raise RecordError(f"there is no {path} yet; run the workflow first")
        sys.stdout.write(f"{path}\n")


@app.command()
def plan(config: ConfigFile = DEMO) -> None:
    """Estimate what an experiment will take, before it starts."""
    from stprune.workflow.estimate import make_plan, plan_text

    sys.stdout.write(plan_text(make_plan(_load(config))))


@app.command()
def show(experiment: Experiment = None, results: ResultsFolder = RESULTS) -> None:
    """Show results, progress and failures."""
    from rich.console import Console

    from stprune.workflow.show import show

    show(experiment, results, Console(highlight=False))


@app.command()
def rerun(
    metrics: Annotated[Path, Argument(help="metrics.json of the run.")],
    into: Annotated[Path | None, Option(help="Folder. Default: a temporary one.")] = None,
    data_directory: Annotated[Path, Option(help="Where the data lie.")] = Path("data"),
) -> None:
    """Make a run again from its record alone, and report the difference."""
    import tempfile

    from stprune.records.run import read_record
    from stprune.training.rerun import config_of_record, rerun
    from stprune.workflow.train import Progress

    record = read_record(metrics)
    folder = into or Path(tempfile.mkdtemp(prefix="stprune-rerun-"))
    experiment = config_of_record(record, str(metrics), data_directory, folder)
    difference = rerun(metrics, record, experiment, [Progress()])
    sys.stdout.write(f"{metrics}\nmade again in {folder}\n{difference.text()}")
    if not difference.bit_equal:
        raise RecordError(f"{metrics}: the run gives other numbers when it is made again")


@app.command()
def products(
    folder: Annotated[Path, Argument(help="Results, such as results/demo.")],
    into: Annotated[Path | None, Option(help="Folder to write to. Default: the same.")] = None,
    jobs: Jobs = 1,
) -> None:
    """Write all tables, figures and the report of an experiment, fresh or kept."""
    from stprune.paper.products import make_products

    store = ExperimentLayout(folder).store
    made = make_products(store if store.exists() else folder, into or folder, jobs)
    sys.stdout.write(f"{into or folder}: {made.in_words}\n")


@app.command()
def paper(
    parts: Annotated[list[str] | None, Argument(help="Names, or `data`. Default: all.")] = None,
    records: Annotated[Path, Option(help="Folder of kept experiments.")] = RECORDS,
    into: Annotated[Path, Option(help="Folder to write to.")] = RESULTS / PAPER,
    check: Annotated[bool, Option("--check", help="Only compare; exit 1 if not equal.")] = False,
    write_hashes: Annotated[bool, Option("--write-hashes", help="Only hashes.json.")] = False,
    jobs: Jobs = 1,
) -> None:
    """Write all tables, figures and reports of kept experiments."""
    from stprune.paper.fingerprints import write_hashes as note
    from stprune.workflow.paper import make_paper

    wrong = []
    target = None if check or write_hashes else into
    for name, made in make_paper(parts or (), records, target, jobs):
        sys.stdout.write(f"{name}: {made.in_words}\n")
        if write_hashes:
            note(made.hashes, records / name)
        elif made.differences != []:
            wrong.append(name)
    if check and wrong:
        raise RecordError(f"not what hashes.json says: {', '.join(wrong)} (see --write-hashes)")


@app.command()
def config(config: ConfigFile = DEMO) -> None:
    """Check a configuration and list its runs."""
    from stprune.config.grid import run_keys, run_spec

    experiment = _load(config)
    keys = run_keys(experiment)
    sys.stdout.write(f"{config}: experiment {experiment.experiment}, {len(keys)} runs\n")
    for dataset in experiment.datasets:
        runs = [key for key in keys if key.dataset == dataset]
        training = run_spec(experiment, runs[0]).training
        length = f"{training.epochs} epochs of full training"
        sys.stdout.write(f"{dataset}: {len(runs)} runs, {length}, budget {training.budget}\n")
    sys.stdout.write("".join(f"  {key.path}\n" for key in keys))


@app.command()
def claims(
    file: Annotated[Path, Option(help="The claims.")] = Path("claims.yaml"),
    weights: Annotated[bool, Option("--weights", help="Evaluate published weights.")] = False,
    results: ResultsFolder = RESULTS,
) -> None:
    """Compare published numbers with the records, or published weights with their logs."""
    from stprune.workflow.claims import check_claims, check_weights, claims_text, load_claims

    stated = load_claims(file)
    if weights:
        checked = check_weights(stated.published_weights, DataLayout(Path("data")))
    else:
        checked = check_claims(stated, results)
    sys.stdout.write(claims_text(checked))


@app.command("list")
def list_components() -> None:
    """List pruners, backbones, data sets, figures and tables."""
    from stprune.backbones.base import BACKBONES
    from stprune.data.card import dataset_ids
    from stprune.paper.figures import FIGURES
    from stprune.paper.tables import TABLES
    from stprune.pruning.base import PRUNERS

    groups = {"data sets": dataset_ids(), "backbones": BACKBONES.ids(), "pruners": PRUNERS.ids()}
    groups |= {"figures": FIGURES.ids(), "tables": TABLES.ids()}
    for title, names in groups.items():
        sys.stdout.write(f"{title + ':':12}{', '.join(names)}\n")


@wandb.command()
def sync(
    experiment: Experiment = None,
    results: ResultsFolder = RESULTS,
    project: Project = None,
    entity: Entity = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only say what would be done.")] = False,
    offline: Annotated[bool, Option("--offline", help="Write files for `wandb sync`.")] = False,
) -> None:
    """Create or update one W&B run for each record."""
    from dataclasses import replace

    from stprune.paper.findings import findings_of
    from stprune.results.summarise import summary_so_far
    from stprune.tracking.run import finished_runs, permitted_mode, record_files
    from stprune.tracking.sync import WandbError, signed_in, sync, write_offline

    layout, place = _place(experiment, results, project, entity)
    mode = permitted_mode("offline" if offline else "online")
    if mode == "disabled":
        raise WandbError("WANDB_MODE=disabled forbids every sync; unset it")
    runs = finished_runs(layout)
    said = findings_of(summary_so_far(layout, record_files(layout)), layout.store)
    runs = [replace(run, notes=said.headline) for run in runs]
    if mode == "offline":
        folder = layout.tracking / "records"
        if not dry_run:
            write_offline(runs, folder, place)
        sys.stdout.write(f"{len(runs)} runs; send them: wandb sync {folder}/offline-run-*\n")
        return
    with signed_in(place.entity) as (api, owner):
        place = place.model_copy(update={"entity": owner})
        actions = sync(runs, api, place, dry=dry_run)
    created, updated = (list(actions.values()).count(action) for action in ("create", "update"))
    sys.stdout.write(
        f"{owner}/{place.project}: {len(runs)} runs:{' would be' if dry_run else ''} {created}"
        f" created, {updated} updated, {len(runs) - created - updated} unchanged\n"
    )
    if others := [name for name, action in actions.items() if action == "conflict"]:
        what = "W&B keeps the curves of another training, so sync into another --project"
        raise WandbError(f"{what}: {', '.join(others)}")


@wandb.command()
def view(
    experiment: Experiment = None,
    results: ResultsFolder = RESULTS,
    project: Project = None,
    entity: Entity = None,
    json: Annotated[Path | None, Option(help="Only write this file; needs no account.")] = None,
) -> None:
    """Save views that compare pruners by prune ratio."""
    from stprune.base.files import write_json
    from stprune.paper.findings import findings_of
    from stprune.results.summarise import summary_so_far
    from stprune.tracking.run import record_files
    from stprune.tracking.sync import Place, build_view, save_view, signed_in, view_values

    layout, settings = _place(experiment, results, project, entity)
    summary = summary_so_far(layout, record_files(layout))
    places = {
        Place(*map(str, key)): findings_of(runs, layout.store).markdown
        for key, runs in summary.groupby(list(Place._fields))
    }
    if json is not None:
        owner = settings.entity or "entity"
        views = [build_view(place, owner, settings.project, said) for place, said in places.items()]
        write_json(json, [view_values(view) for view in views])
        return
    with signed_in(settings.entity) as (_, owner):
        for place, said in places.items():
            view = build_view(place, owner, settings.project, said)
            saved = "saved" if save_view(view) else "unchanged"
            sys.stdout.write(f"{view.name}: {saved}, {view.url}\n")


def _place(
    experiment: Path | None, results: Path, project: str | None, entity: str | None
) -> tuple[ExperimentLayout, TrackingSettings]:
    """The experiment, and the project that the options or else its configuration name."""
    from stprune.base.schema import read_yaml, validate
    from stprune.base.settings import TrackingSettings
    from stprune.workflow.show import experiment_folder

    layout = ExperimentLayout(experiment_folder(experiment, results))
    values = read_yaml(layout.config) if layout.config.exists() else {}
    configured = (values.get("tracking") if isinstance(values, dict) else None) or {}
    options = {"project": project, "entity": entity}
    configured |= {name: value for name, value in options.items() if value is not None}
    return layout, validate(TrackingSettings, configured, f"{layout.config} at `tracking`")


def _load(config: Path) -> ExperimentConfig:
    from stprune.config.experiment import load_config

    return load_config(config)
