"""The time axis of a raw series that has no column of times, from its card."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stprune.data.card import DatasetCard


def regular_times(card: DatasetCard, steps: int) -> NDArray[np.datetime64]:
    """Times of ``steps`` equal steps from the card's start: (steps,) datetime64[s]."""
    step = np.timedelta64(card.step_minutes * 60, "s")
    return np.asarray(np.datetime64(card.start.replace(tzinfo=None), "s") + np.arange(steps) * step)


def daily_times(card: DatasetCard, days: int, slots: int) -> NDArray[np.datetime64]:
    """Times of ``slots`` equal steps a day, each day from the card's time of day.

    Returns:
        (days * slots,) datetime64[s], day after day.
    """
    day = np.arange(days) * np.timedelta64(86_400, "s")
    return np.add(day[:, None], regular_times(card, slots)).ravel()
