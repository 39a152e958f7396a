"""Shipped cards of simulated data sets, made small: the same format and channels in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stprune.data.card import DatasetCard, dataset_ids, load_card

# By format: options that replace the card's (None takes one away), nodes, and steps a day.
SMALL: dict[str, tuple[dict[str, Any], int, int]] = {
    "simulated_freeway": ({"nodes": None, "corridors": 1, "segments": 3}, 6, 288),
    "simulated_charging": ({"zones": 6, "mean_chargers": 6}, 6, 24),
}
# The shortest that leaves windows of 12 steps in and 12 out in every split.
DAYS = {"simulated_freeway": 1, "simulated_charging": 14}


def simulated_ids() -> list[str]:
    """Ids of all shipped data sets that are simulated."""
    return [dataset for dataset in dataset_ids() if load_card(dataset).format in SMALL]


def fabricate(dataset: str, folder: Path, days: int | None = None) -> DatasetCard:
    """The shipped card of ``dataset`` for a small place and few days, written to ``folder``.

    Args:
        dataset: Id of a simulated data set.
        folder: Gets ``<dataset>.yaml``, which goes before the shipped card; there are no raw
            files to be made.
        days: Days to simulate; few by default.

    Returns:
        The small card.
    """
    shipped = load_card(dataset)
    options, nodes, steps_per_day = SMALL[shipped.format]
    days = days or DAYS[shipped.format]
    merged = {**shipped.options, **options, "days": days}
    changes = {
        "options": {name: value for name, value in merged.items() if value is not None},
        "nodes": nodes,
        "steps": days * steps_per_day,
    }
    card = DatasetCard.model_validate(shipped.model_dump() | changes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{dataset}.yaml").write_text(card.model_dump_json(), encoding="utf-8")
    return card
