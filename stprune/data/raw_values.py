"""What loaders share: regular time axes, mask policies, and means of several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard

Rounding = Literal["none", "nearest"]


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


def observed(
    table: NDArray[np.float64], card: DatasetCard, place: Callable[[tuple[int, ...]], str]
) -> NDArray[np.bool_]:
    """Where the card's mask policy calls a value observed.

    Args:
        table: Any shape, NaN where the file has no value.
        card: Says the policy: nothing, a zero, or NaN is missing.
        place: Words for where an entry of the table stands in which file.

    Returns:
        The shape of ``table``.

    Raises:
        DataError: If there is a NaN although the policy is not ``nan``.
    """
    missing = np.isnan(table)
    if card.mask_policy != "nan" and missing.any():
        position = tuple(int(index) for index in np.argwhere(missing)[0])
        raise DataError(
            f"{place(position)} is NaN, but the mask policy of {card.title} is"
            f" `{card.mask_policy}`, not `nan`"
        )
    return table != 0 if card.mask_policy == "zero" else ~missing


def step_means(
    table: NDArray[np.float64], count: int, rounding: Rounding = "none"
) -> NDArray[np.float64]:
    """The mean of each ``count`` rows that follow each other.

    Missing values do not count: the mean is over those that were observed, and missing only where
    none was.

    Args:
        table: (rows, N), NaN where missing; ``count`` divides the number of rows.
        count: How many rows make one.
        rounding: ``nearest`` for whole numbers, halves to the even one.

    Returns:
        (rows / count, N) float64, NaN where nothing was observed.
    """
    grouped = table.reshape(len(table) // count, count, table.shape[1])
    missing = np.isnan(grouped)
    observed = count - missing.sum(axis=1)
    total = np.where(missing, 0.0, grouped).sum(axis=1)
    means: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, observed, out=means, where=observed > 0)
    return np.round(means) if rounding == "nearest" else means
