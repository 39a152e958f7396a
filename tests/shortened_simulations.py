"""Shipped cards of simulated data sets, made small: the same format and channels in seconds."""

from __future__ import annotations

from pathlib import Path

from stprune.data.card import DatasetCard, dataset_ids, load_card
from stprune.data.simulation.cards import new_city, write_new_card

# Few days that leave windows of 12 steps in and 12 out in every split, by format.
DAYS = {"simulated_freeway": 1, "simulated_charging": 14}
NODES = 6


def simulated_ids() -> list[str]:
    """Ids of all shipped data sets that are simulated."""
    return [dataset for dataset in dataset_ids() if load_card(dataset).format in DAYS]


def fabricate(dataset: str, folder: Path) -> DatasetCard:
    """Write the card of ``dataset`` for a small city and few days; it has no raw files."""
    shipped = load_card(dataset)
    card = new_city(dataset, shipped, nodes=NODES, days=DAYS[shipped.format])
    write_new_card(card, folder / f"{dataset}.yaml")
    return card
