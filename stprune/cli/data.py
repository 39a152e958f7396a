"""``stprune data``: list, fetch, check, prepare, add and describe data sets."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from stprune.base.errors import ConfigError, DataError
from stprune.base.layout import DataLayout

if TYPE_CHECKING:
    from stprune.config.experiment import ExperimentConfig

app = typer.Typer(help="Fetch, check and prepare data sets.", rich_markup_mode=None)

Dataset = Annotated[str, Argument(help="Id of the data set.")]
Folder = Annotated[Path | None, Option(help="Where the data lie. Default: data.")]
Config = Annotated[Path | None, Option(help="Says mirror and data directory.")]
Mirror = Annotated[str | None, Option(help="Directory or base URL, laid out as HOST/PATH.")]
Split = Literal["train", "validation", "test"]


@app.command("list")
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


@app.command()
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


@app.command()
def prepare(
    dataset: Dataset, mirror: Mirror = None, data_directory: Folder = None, config: Config = None
) -> None:
    """Fetch, check and convert a data set."""
    from stprune.data.prepare import prepare

    layout = _layout(data_directory, config)
    folder = prepare(dataset, layout, _mirror(mirror, config))
    sys.stdout.write(f"{folder}\n")


@app.command()
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


@app.command()
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


@app.command()
def describe(
    dataset: Dataset,
    history: Annotated[int | None, Option(help="Input steps. Default: 12, or the run's.")] = None,
    horizon: Annotated[int | None, Option(help="Target steps. Default: 12, or the run's.")] = None,
    channel: Annotated[str | None, Option(help="Quantity. Default: the target.")] = None,
    run: Annotated[Path | None, Option(help="metrics.json of a run with `keep_weights`.")] = None,
    split: Annotated[Split, Option(help="Windows of --run.")] = "train",
    tables_only: Annotated[bool, Option("--tables-only", help="Draw nothing.")] = False,
    output: Annotated[Path | None, Option(help="Default: described/<dataset>.")] = None,
    data_directory: Folder = None,
    config: Config = None,
) -> None:
    """Describe a prepared data set: redundancy, memory, stationarity, as tables and figures."""
    from stprune.base.schema import validate
    from stprune.data.canonical import read_canonical
    from stprune.data.card import load_card
    from stprune.describe.description import DescriptionOptions, describe, write_description
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
    given = {"history": history, "horizon": horizon, "channel": channel}
    given = {name: value for name, value in given.items() if value is not None}
    options = validate(DescriptionOptions, given, "stprune data describe")
    found = describe(dataset, read_canonical(layout.processed(dataset)), options)
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


def _configured(file: Path) -> ExperimentConfig:
    """The configuration with its form checked, not its names, which would load torch."""
    from stprune.base.schema import read_yaml, validate
    from stprune.config.experiment import ExperimentConfig

    return validate(ExperimentConfig, read_yaml(file), str(file))
