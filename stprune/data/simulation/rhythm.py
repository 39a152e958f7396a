"""Rhythms that simulated cities share: humps over the day, and drift that no calendar knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hump(hour: NDArray[np.float64], centre: float, spread: float) -> NDArray[np.float64]:
    """A normal density (1 / h) over hours of the day in [0, 24), with tails round midnight.

    ``spread``, its standard deviation in hours, is well below 12.
    """
    distance = (hour - centre + 12) % 24 - 12
    return np.asarray(
        np.exp(-0.5 * (distance / spread) ** 2) / (spread * np.sqrt(2 * np.pi)), dtype=np.float64
    )


def drift(
    steps: int, knot_steps: int, spread: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Normal knots every ``knot_steps`` steps and straight lines between them: (steps,).

    ``spread`` is the standard deviation of the ``steps // knot_steps + 2`` knots that are drawn.
    """
    knots = rng.normal(0.0, spread, steps // knot_steps + 2)
    return np.interp(np.arange(steps) / knot_steps, np.arange(len(knots)), knots)
