"""Rhythms that simulated cities share: humps over the day, and drift that no calendar knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hump(hour: NDArray[np.float64], centre: float, spread: float) -> NDArray[np.float64]:
    """A normal density over the hours of the day, whose tails go round midnight.

    Args:
        hour: Hours of the day in [0, 24), any shape.
        centre: Hour of its top.
        spread: Standard deviation in hours; well below 12.

    Returns:
        Density in 1 / h, same shape.
    """
    distance = (hour - centre + 12) % 24 - 12
    return np.asarray(
        np.exp(-0.5 * (distance / spread) ** 2) / (spread * np.sqrt(2 * np.pi)), dtype=np.float64
    )


def drift(
    steps: int, knot_steps: int, spread: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Normal knots every ``knot_steps`` steps and straight lines between them: (steps,).

    Args:
        steps: Length of the result.
        knot_steps: Steps from one knot to the next.
        spread: Standard deviation of the knots.
        rng: Source of chance; draws ``steps // knot_steps + 2`` knots.
    """
    knots = rng.normal(0.0, spread, steps // knot_steps + 2)
    return np.interp(np.arange(steps) / knot_steps, np.arange(len(knots)), knots)
