"""`stprune data ...`: commands on data sets; each imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stprune.commands.data_add import add_add_options
from stprune.commands.data_describe import add_describe_options
from stprune.commands.data_overview import add_overview_options, write_data_overview
from stprune.commands.data_simulate import add_simulate_options

if TYPE_CHECKING:
    from stprune.base.layout import DataLayout
    from stprune.config.experiment import ExperimentConfig


def add_data_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `data` and its actions to the command line."""
    data = commands.add_parser("data", help="fetch, check and prepare data sets")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list data sets, and what of them is here")
    listing.set_defaults(command=_list)
    info = actions.add_parser("info", help="show all that is known of a data set")
    info.add_argument("dataset")
    info.set_defaults(command=_info)
    fetch = actions.add_parser("fetch", help="fetch and check the raw files; resumes")
    fetch.add_argument("datasets", nargs="+", metavar="dataset")
    _mirror_option(fetch)
    fetch.set_defaults(command=_fetch)
    prepare = actions.add_parser("prepare", help="fetch, check and convert a data set")
    prepare.add_argument("dataset")
    _mirror_option(prepare)
    prepare.set_defaults(command=_prepare)
    verify = actions.add_parser("verify", help="check every byte against the hashes on record")
    verify.add_argument("datasets", nargs="*", metavar="dataset", help="default: all that are here")
    verify.set_defaults(command=_verify)
    path = actions.add_parser("path", help="say in which folder the prepared data set is")
    path.add_argument("dataset")
    path.set_defaults(command=_path)
    add = actions.add_parser("add", help="make the card of your own data, after checking it")
    add_add_options(add)
    add.set_defaults(command=_add)
    describe = actions.add_parser("describe", help="redundancy, memory, gaps: tables and figures")
    add_describe_options(describe)
    describe.set_defaults(command=_describe)
    overview = actions.add_parser("overview", help="compare the data sets that were described")
    add_overview_options(overview)
    overview.set_defaults(command=write_data_overview)
    simulate = actions.add_parser("simulate", help="write cards of more simulated cities")
    add_simulate_options(simulate)
    simulate.set_defaults(command=_simulate)
    for action in (listing, info, fetch, prepare, verify, path, add, describe, simulate):
        _place_options(action)


def _mirror_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--mirror", help="directory or base URL, laid out as HOST/PATH")


def _place_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("--data-directory", type=Path, help="default: data")
    action.add_argument("--config", type=Path, help="take mirror and data directory from it")


def _config(path: Path) -> ExperimentConfig:
    """The configuration, its form checked: names in it would load torch, which data can spare."""
    from stprune.base.schema import read_yaml, validate
    from stprune.config.experiment import ExperimentConfig

    return validate(ExperimentConfig, read_yaml(path), str(path))


def _layout(parsed: argparse.Namespace) -> DataLayout:
    """Where data lie: as the options say, else the configuration, else `data`."""
    from stprune.base.layout import DataLayout

    folder = parsed.data_directory
    if folder is None and parsed.config is not None:
        folder = _config(parsed.config).data_directory
    return DataLayout(folder or Path("data"))


def _mirror(parsed: argparse.Namespace) -> str | None:
    """The mirror that the options or the configuration name, if any."""
    named: str | None = parsed.mirror
    if named is None and parsed.config is not None:
        named = _config(parsed.config).mirror
    return named


def _list(parsed: argparse.Namespace) -> None:
    from stprune.data.card import dataset_ids, load_card
    from stprune.data.inventory import source, state

    layout = _layout(parsed)
    rows = [("id", "nodes", "steps", "min", "channels", "source", "here")]
    for name in dataset_ids(layout.root):
        card = load_card(name, layout.root)
        channels = [channel.name for channel in card.channels]
        shown = ", ".join(channels[:3]) + (", ..." if len(channels) > 3 else "")
        size = (str(card.nodes), str(card.steps), str(card.step_minutes))
        rows.append((name, *size, shown, source(card), state(name, card, layout)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= place <= 3 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _info(parsed: argparse.Namespace) -> None:
    from stprune.data.card import load_card
    from stprune.data.inventory import card_text

    layout = _layout(parsed)
    sys.stdout.write(card_text(parsed.dataset, load_card(parsed.dataset, layout.root), layout))


def _fetch(parsed: argparse.Namespace) -> None:
    from stprune.data.card import load_card
    from stprune.data.fetch import fetch

    layout, mirror = _layout(parsed), _mirror(parsed)
    cards = {name: load_card(name, layout.root) for name in parsed.datasets}
    for name, card in cards.items():
        for path in fetch(name, card, layout, mirror, progress=True).values():
            sys.stdout.write(f"{path}\n")
        if not card.files:
            sys.stdout.write(f"{name} is simulated when it is prepared; nothing is to be fetched\n")


def _verify(parsed: argparse.Namespace) -> None:
    from stprune.base.errors import DataError
    from stprune.data.card import dataset_ids, load_card
    from stprune.data.inventory import damages, is_here

    layout = _layout(parsed)
    names = parsed.datasets or dataset_ids(layout.root)
    cards = {name: load_card(name, layout.root) for name in names}
    damaged = []
    for name, card in cards.items():
        if not parsed.datasets and not is_here(name, card, layout):
            continue
        found = damages(name, card, layout)
        sys.stdout.write("".join(f"{line}\n" for line in found) or f"{name}: all is right\n")
        damaged += [name] if found else []
    if damaged:
        raise DataError(f"not all is right with {', '.join(damaged)}; each line above says what")


def _path(parsed: argparse.Namespace) -> None:
    from stprune.base.errors import DataError
    from stprune.data.prepare import is_prepared

    layout = _layout(parsed)
    directory = layout.processed(parsed.dataset)
    if not is_prepared(parsed.dataset, layout, layout.root):
        raise DataError(
            f"there is no data set in {directory} that was made from the present card;"
            f" run `stprune data prepare {parsed.dataset}`"
        )
    sys.stdout.write(f"{directory}\n")


def _prepare(parsed: argparse.Namespace) -> None:
    from stprune.data.prepare import prepare

    layout = _layout(parsed)
    directory = prepare(parsed.dataset, layout, _mirror(parsed), progress=True, cards=layout.root)
    sys.stdout.write(f"{directory}\n")


def _add(parsed: argparse.Namespace) -> None:
    from stprune.commands.data_add import add_data

    add_data(parsed, _layout(parsed))


def _describe(parsed: argparse.Namespace) -> None:
    from stprune.commands.data_describe import describe_data

    describe_data(parsed, _layout(parsed))


def _simulate(parsed: argparse.Namespace) -> None:
    from stprune.commands.data_simulate import write_cards

    write_cards(parsed, _layout(parsed))
