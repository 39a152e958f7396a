"""The commands of ``stprune``. Each imports what it needs when it runs, so that help is quick."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from stprune import __version__
from stprune.base.errors import ConfigError, DataError, RecordError
from stprune.base.layout import PAPER, RECORDS, DataLayout, ExperimentLayout, RunKey

if TYPE_CHECKING:
    from stprune.base.settings import TrackingSettings
    from stprune.config.experiment import ExperimentConfig

app = typer.Typer(add_completion=False, rich_markup_mode=None)
data = typer.Typer(help="Fetch, check and prepare data sets.", rich_markup_mode=None)
wandb = typer.Typer(help="Weights & Biases, from the records.", rich_markup_mode=None)
app.add_typer(data, name="data")
app.add_typer(wandb, name="wandb")

ConfigFile = Annotated[Path, Option(help="Configuration of the experiment.")]
Jobs = Annotated[int, Option(help="Processes that draw at the same time.")]
Experiment = Annotated[Path | None, Argument(help="Folder or name. Default: the only one.")]
ResultsFolder = Annotated[Path, Option(help="Folder of all experiments.")]
Project = Annotated[str | None, Option(help="Default: `tracking.project` of the experiment.")]
Entity = Annotated[str | None, Option(help="Default: `tracking.entity`, else the account's.")]
Dataset = Annotated[str, Argument(help="Id of the data set.")]
Folder = Annotated[Path | None, Option(help="Where the data lie. Default: data.")]
Config = Annotated[Path | None, Option(help="Says mirror and data directory.")]
Mirror = Annotated[str | None, Option(help="Directory or base URL, laid out as HOST/PATH.")]
Split = Literal["train", "validation", "test"]
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
def summarise(config: ConfigFile = DEMO) -> None:
    """Collect all runs of an experiment."""
    from stprune.config.grid import experiment_layout, run_keys
    from stprune.results.summarise import summarise
    from stprune.workflow.run_states import refuse_missing

    experiment = _load(config)
    layout, keys = experiment_layout(experiment), run_keys(experiment)
    refuse_missing(layout, keys)
    files = [layout.metrics(key) for key in keys]
    summarise(files, layout, experiment.model_dump(mode="json"))


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
    from stprune.base.files import write_json
    from stprune.base.layout import kept_hashes
    from stprune.workflow.paper import make_paper

    wrong = []
    target = None if check or write_hashes else into
    for name, made in make_paper(parts or (), records, target, jobs):
        sys.stdout.write(f"{name}: {made.in_words}\n")
        if write_hashes:
            write_json(kept_hashes(records / name), made.hashes)
        elif made.differences != []:
            wrong.append(name)
    if check and wrong:
        raise RecordError(f"not what hashes.json says: {', '.join(wrong)} (see --write-hashes)")


@app.command()
def config(config: ConfigFile = DEMO) -> None:
    """Check a configuration and list its runs."""
    from stprune.config.grid import run_keys

    experiment = _load(config)
    keys = run_keys(experiment)
    sys.stdout.write(f"{config}: experiment {experiment.experiment}, {len(keys)} runs\n")
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
) -> "tuple[ExperimentLayout, TrackingSettings]":
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


def _load(config: Path) -> "ExperimentConfig":
    from stprune.config.experiment import load_config

    return load_config(config)


@data.command("list")
def list_datasets(data_directory: Folder = None, config: Config = None) -> None:
    """List the data sets, and what of each is here."""
    from stprune.data.card import dataset_ids, load_card
    from stprune.data.prepare import source, state

    layout = _layout(data_directory, config)
    rows = [("id", "nodes", "steps", "min", "target", "source", "here")]
    for name in dataset_ids(layout.root):
        card = load_card(name, layout.root)
        size = (str(card.nodes), str(card.steps), str(card.step_minutes))
        rows.append((name, *size, card.target, source(card), state(name, card, layout)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    line = "  ".join(f"{{:{width}}}" for width in widths)
    sys.stdout.write("".join(f"{line.format(*row).rstrip()}\n" for row in rows))


@data.command()
def fetch(
    datasets: Annotated[list[str], Argument(help="Ids of data sets.")],
    mirror: Mirror = None,
    data_directory: Folder = None,
    config: Config = None,
) -> None:
    """Fetch and check the raw files."""
    from stprune.data.card import load_card
    from stprune.data.fetch import fetch

    layout = _layout(data_directory, config)
    cards = {name: load_card(name, layout.root) for name in datasets}
    for name, card in cards.items():
        for path in fetch(name, card, layout, _mirror(mirror, config)).values():
            sys.stdout.write(f"{path}\n")
        if not card.files:
            sys.stdout.write(f"{name} is simulated when it is prepared; nothing is to be fetched\n")


@data.command()
def prepare(
    dataset: Dataset, mirror: Mirror = None, data_directory: Folder = None, config: Config = None
) -> None:
    """Fetch, check and convert a data set."""
    from stprune.data.prepare import prepare

    layout = _layout(data_directory, config)
    folder = prepare(dataset, layout, _mirror(mirror, config))
    sys.stdout.write(f"{folder}\n")


@data.command()
def verify(
    datasets: Annotated[list[str] | None, Argument(help="Default: all that are here.")] = None,
    data_directory: Folder = None,
    config: Config = None,
) -> None:
    """Check every byte against the hashes on record."""
    from stprune.data.card import dataset_ids, load_card
    from stprune.data.prepare import damages, state

    layout = _layout(data_directory, config)
    cards = {name: load_card(name, layout.root) for name in datasets or dataset_ids(layout.root)}
    damaged = []
    for name, card in cards.items():
        if not datasets and state(name, card, layout) == "-":
            continue
        lines = damages(name, card, layout)
        sys.stdout.write("".join(f"{line}\n" for line in lines) or f"{name}: all is right\n")
        damaged += [name] if lines else []
    if damaged:
        raise DataError(f"not all is right with {', '.join(damaged)}: see above")


@data.command()
def add(
    dataset: Annotated[str, Argument(help="Id of the new data set.")],
    series: Annotated[Path, Option(help="The series: csv, parquet, npz, npy or HDF.")],
    adjacency: Annotated[Path | None, Option(help="Matrix: csv, npy, npz or HDF.")] = None,
    edges: Annotated[Path | None, Option(help="csv of from,to and perhaps a number.")] = None,
    channel: Annotated[list[str] | None, Option(help="NAME[=UNIT] of a quantity.")] = None,
    option: Annotated[list[str] | None, Option(help="KEY=VALUE, such as gaps=missing.")] = None,
    card: Annotated[list[str] | None, Option(help="KEY=VALUE, such as breaks=daily.")] = None,
    replace: Annotated[bool, Option("--replace", help="Replace a card of this id.")] = False,
    data_directory: Folder = None,
    config: Config = None,
) -> None:
    """Write the card of your own data, after checking them."""
    from stprune.data.add import add

    graph = {"adjacency": adjacency, "edges": edges}
    path, findings = add(
        dataset,
        _layout(data_directory, config),
        series=series,
        graph={role: file for role, file in graph.items() if file is not None},
        channels={word.partition("=")[0]: word.partition("=")[2] for word in channel or ()},
        options=_values(option or []),
        card=_values(card or []),
        replace=replace,
    )
    sys.stdout.write("".join(f"{line}\n" for line in findings))
    sys.stdout.write(f"wrote {path}; now `stprune data prepare {dataset}`\n")


def _values(words: list[str]) -> dict[str, Any]:
    """Nested values from words such as ``graph.weights=gaussian``."""
    from stprune.base.text import parse_yaml

    options: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        place: Any = options
        *parents, last = key.split(".")
        for parent in parents:
            if isinstance(place, dict):
                place = place.setdefault(parent, {})
        if not equals or not key or not isinstance(place, dict):
            raise ConfigError(f"`{word}`: say KEY=VALUE, each key once")
        # Text that is no YAML, such as a format of times that begins with %, stays as it is.
        place[last] = text
        with suppress(ValueError):
            place[last] = parse_yaml(text) if text else ""
    return options


@data.command()
def describe(
    dataset: Dataset,
    history: Annotated[int | None, Option(min=1, help="Default: 12, or the run's.")] = None,
    horizon: Annotated[int | None, Option(min=1, help="Default: 12, or the run's.")] = None,
    channel: Annotated[str | None, Option(help="Quantity. Default: the target.")] = None,
    run: Annotated[Path | None, Option(help="metrics.json of a run with `keep_weights`.")] = None,
    split: Annotated[Split, Option(help="Windows of --run.")] = "train",
    tables_only: Annotated[bool, Option("--tables-only", help="Draw nothing.")] = False,
    output: Annotated[Path | None, Option(help="Default: described/<dataset>.")] = None,
    data_directory: Folder = None,
    config: Config = None,
) -> None:
    """Describe a prepared data set: redundancy, memory, stationarity, as tables and figures."""
    from stprune.data.canonical import read_canonical
    from stprune.data.card import load_card
    from stprune.describe.description import describe, write_description
    from stprune.describe.products import write_figures
    from stprune.describe.statistics import masking_table

    layout = _layout(data_directory, config)
    load_card(dataset, layout.root)
    model = None
    if run is not None:
        from stprune.training.rerun import node_errors, open_recorded_model

        model = open_recorded_model(run, config, data_directory)
        if model.spec.dataset != dataset:
            raise ConfigError(f"{run} is a run on {model.spec.dataset}, not on {dataset}")
        training = model.spec.training
        history, horizon = history or training.history, horizon or training.horizon
    prepared = read_canonical(layout.processed(dataset))
    found = describe(dataset, prepared, history or 12, horizon or 12, channel)
    if model is not None:
        errors, stride = node_errors(model, split)
        found.tables["masking"] = masking_table(errors)
        found.facts["masking"] = {
            "run": model.spec.key.path,
            "experiment": model.spec.experiment,
            "fingerprint": model.spec.fingerprint,
            "epochs": model.spec.training.epochs,
            "split": split,
            "every_kth_window": stride,
            "windows": int(found.tables["masking"]["windows"].sum()),
            "nodes": errors.shape[1],
        }
    directory = output or layout.described(dataset)
    figures = [] if tables_only else write_figures(found, directory)
    write_description(found, directory)
    for name, value in found.facts["key_numbers"].items():
        sys.stdout.write(f"{'-' if value is None else format(value, '.4g'):>10}  {name}\n")
    sys.stdout.write("".join(f"{path}\n" for path in [*figures, directory]))


def _layout(data_directory: Path | None, config: Path | None) -> DataLayout:
    """Where the data lie: as the options say, else the configuration, else `data`."""
    configured = None if config is None else _configured(config).data_directory
    return DataLayout(data_directory or configured or Path("data"))


def _mirror(mirror: str | None, config: Path | None) -> str | None:
    """The mirror that the options or the configuration name, if any."""
    return mirror if mirror is not None or config is None else _configured(config).mirror


def _configured(file: Path) -> "ExperimentConfig":
    """The configuration with its form checked, not its names, which would load torch."""
    from stprune.base.schema import read_yaml, validate
    from stprune.config.experiment import ExperimentConfig

    return validate(ExperimentConfig, read_yaml(file), str(file))
