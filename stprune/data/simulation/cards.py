"""Cards of simulated cities: whether they say what their options make, and new ones."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import yaml

from stprune.base.errors import ConfigError
from stprune.base.files import write_text
from stprune.base.schema import validate
from stprune.data.card import FORMATS, DatasetCard

# Options that say how large a city is.
SIZES = ("zones", "nodes", "corridors", "segments")


def check_card(
    card: DatasetCard, nodes: int, steps: int, channels: list[str], step_minutes: int
) -> None:
    """Raise ConfigError if a card says something else than its options make, or no midnight."""
    names = [channel.name for channel in card.channels]
    for key, said, made in (
        ("nodes", card.nodes, nodes),
        ("steps", card.steps, steps),
        ("channels", names, channels),
        ("step_minutes", card.step_minutes, step_minutes),
        ("time of start", card.start.time(), time(0)),
    ):
        if said != made:
            raise ConfigError(f"options of {card.title}: {key} must be {made}, not {said}")


def new_city(
    dataset: str,
    card: DatasetCard,
    nodes: int | None = None,
    days: int | None = None,
    seed: int | None = None,
) -> DatasetCard:
    """The card of a city that is simulated like that of ``dataset``, with events as frequent.

    By default it has as many nodes and days. Another seed is another city, also of another size.

    Raises:
        ConfigError: If ``card`` is not simulated, or cannot be made of this size.
    """
    module = FORMATS.module(card.format)
    if not hasattr(module, "RATES"):
        raise ConfigError(f"{dataset} is not simulated: no other city can be made like it")
    options = validate(module.Options, card.options, f"options of {dataset}")
    chosen = {"days": days, "seed": seed}
    changes = {name: value for name, value in chosen.items() if value is not None}
    given = options.model_dump(exclude_none=True)
    if nodes is not None and nodes != options.size:
        given = {name: value for name, value in given.items() if name not in SIZES}
        share = nodes / options.size
        changes |= {rate: round(given[rate] * share, 2) for rate in module.RATES}
        changes[module.SIZE] = nodes
    options = validate(module.Options, given | changes, f"a city like {dataset}")
    size = f"{options.size} nodes, {options.days} days, seed {options.seed}"
    return card.model_copy(
        update={
            "title": f"{card.title}: {size}",
            "description": (
                f"A made-up city ({size}) that is simulated like `{dataset}`, whose card says how."
            ),
            "options": options.model_dump(exclude_none=True),
            "nodes": options.size,
            "steps": options.steps,
        }
    )


def write_new_card(card: DatasetCard, path: Path) -> None:
    """Write a card unless it is there already; a ConfigError if another one is."""
    values = card.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    if not path.exists():
        write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path} holds another card; rename or delete it")
