"""What simulated cities share: a card that fits, rhythms of the day, drift beside them."""

from datetime import time

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import ConfigError
from stprune.data.card import DatasetCard


def check_card(
    card: DatasetCard, nodes: int, steps: int, channels: list[str], step_minutes: int
) -> None:
    """Raise ConfigError if a card says something else than its options make, or no midnight."""
    for key, said, made in (
        ("nodes", card.nodes, nodes),
        ("steps", card.steps, steps),
        ("channels", card.channel_names, channels),
        ("step_minutes", card.step_minutes, step_minutes),
        ("time of start", card.start.time(), time(0)),
    ):
        if said != made:
            raise ConfigError(f"options of {card.title}: {key} must be {made}, not {said}")


def hump(hour: NDArray[np.float64], centre: float, spread: float) -> NDArray[np.float64]:
    """A normal density (1 / h) over the hours of a day; ``spread`` is well below 12 hours."""
    distance = (hour - centre + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (distance / spread) ** 2) / (spread * np.sqrt(2 * np.pi)))


def drift(
    steps: int, knot_steps: int, spread: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Normal knots every ``knot_steps`` steps and straight lines between them: (steps,).

    ``spread`` is the standard deviation of the ``steps // knot_steps + 2`` knots that are drawn.
    """
    knots = rng.normal(0.0, spread, steps // knot_steps + 2)
    return np.interp(np.arange(steps) / knot_steps, np.arange(len(knots)), knots)
