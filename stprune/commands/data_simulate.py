"""`stprune data simulate`: cards of more simulated cities, to be prepared like any data set."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stprune.base.layout import DataLayout
    from stprune.data.card import DatasetCard


def add_simulate_options(simulate: argparse.ArgumentParser) -> None:
    """Which city, how large, and how many of them."""
    simulate.add_argument("dataset", help="simulated data set to be like, such as sim_freeway")
    simulate.add_argument("--nodes", type=int, help="nodes (default: as many)")
    simulate.add_argument("--days", type=int, help="days (default: as many)")
    simulate.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help="one city each (default: the same)"
    )
    simulate.add_argument("--id", help="id of the new data set (default: tells size and seed)")


def write_cards(parsed: argparse.Namespace, layout: DataLayout) -> None:
    """Write a card for each seed and say where; cities are simulated when they are prepared.

    Raises:
        StpruneError: One line, before anything is written, for what cannot be made.
    """
    from stprune.base.errors import ConfigError
    from stprune.data.card import load_card
    from stprune.data.simulation.new_card import new_city, write_new_cards

    seeds = parsed.seeds or [None]
    if parsed.id is not None and len(seeds) > 1:
        raise ConfigError(f"--id {parsed.id} names one city, but --seeds asks for {len(seeds)}")
    if parsed.id is not None and not re.fullmatch(r"[a-z][a-z0-9_]*", parsed.id):
        raise ConfigError(f"--id {parsed.id}: ids are small letters, digits and _, a letter first")
    like = load_card(parsed.dataset, layout.root)
    cards = [new_city(parsed.dataset, like, parsed.nodes, parsed.days, seed) for seed in seeds]
    paths = [layout.root / f"{parsed.id or _new_id(parsed.dataset, card)}.yaml" for card in cards]
    write_new_cards(dict(zip(paths, cards, strict=True)))
    sys.stdout.writelines(f"{path}\n" for path in paths)


def _new_id(dataset: str, card: DatasetCard) -> str:
    return f"{dataset}_{card.nodes}n_{card.options['days']}d_s{card.options['seed']}"
