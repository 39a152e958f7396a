"""`stprune data ...`: commands on data sets; each imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stprune.layout import DataLayout


def add_data_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `data` and its actions to the command line."""
    data = commands.add_parser("data", help="fetch, check and prepare data sets")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list data sets")
    listing.set_defaults(command=_list)
    prepare = actions.add_parser("prepare", help="fetch, check and convert a data set")
    prepare.add_argument("dataset")
    _mirror_option(prepare)
    prepare.set_defaults(command=_prepare)
    for action in (listing, prepare):
        _place_options(action)


def _mirror_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--mirror", help="directory or base URL, laid out as HOST/PATH")


def _place_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("--data-directory", type=Path, help="default: data")
    action.add_argument("--config", type=Path, help="take mirror and data directory from it")


def _layout(parsed: argparse.Namespace) -> DataLayout:
    """Where data lie: as the options say, else the configuration, else `data`."""
    from stprune.config import load_config
    from stprune.layout import DataLayout

    folder = parsed.data_directory
    if folder is None and parsed.config is not None:
        folder = load_config(parsed.config).data_directory
    return DataLayout(folder or Path("data"))


def _mirror(parsed: argparse.Namespace) -> str | None:
    """The mirror that the options or the configuration name, if any."""
    from stprune.config import load_config

    named: str | None = parsed.mirror
    if named is None and parsed.config is not None:
        named = load_config(parsed.config).mirror
    return named


def _list(parsed: argparse.Namespace) -> None:
    from stprune.data.card import dataset_ids, load_card

    cards = _layout(parsed).root
    for name in dataset_ids(cards):
        card = load_card(name, cards)
        size = f"{card.steps} steps of {card.step_minutes} min, {card.nodes} nodes"
        sys.stdout.write(f"{name:20} {size:40} {card.title}\n")


def _prepare(parsed: argparse.Namespace) -> None:
    from stprune.data.prepare import prepare

    layout = _layout(parsed)
    directory = prepare(parsed.dataset, layout, _mirror(parsed), progress=True, cards=layout.root)
    sys.stdout.write(f"{directory}\n")
