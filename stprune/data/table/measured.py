"""Which numbers of a user's file are measurements, by the rules that the card states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard
from stprune.data.raw_values import observed
from stprune.data.table.options import Options
from stprune.data.table.readings import Readings

LARGEST = 1e15
"""Beyond it the square of an error, which training takes in float32, is no number any more."""


def measured(
    readings: Readings, card: DatasetCard, channels: list[str], options: Options
) -> NDArray[np.float64]:
    """The values of a file with NaN wherever the rules call one missing.

    Args:
        readings: What the file says.
        card: Its mask policy says what else is missing.
        channels: Names of the last axis of the readings.
        options: Say which numbers stand for missing ones, and which channels may be negative.

    Raises:
        DataError: If a number is too large, negative where none may be, or NaN where the mask
            policy knows none; with its row and column.
    """
    values = readings.values
    if options.missing_numbers:
        values = np.where(np.isin(values, options.missing_numbers), np.nan, values)
    _refuse(np.abs(values) > LARGEST, values, readings, f"is beyond {LARGEST:g} in size")
    below = np.array([name not in options.allow_negative for name in channels])
    _refuse(
        (values < 0) & below,
        values,
        readings,
        "is negative; name its channel in `allow_negative`, or the number in `missing_numbers`",
    )
    return np.where(observed(values, card, readings.place), values, np.nan)


def _refuse(
    wrong: NDArray[np.bool_], values: NDArray[np.float64], readings: Readings, problem: str
) -> None:
    if wrong.any():
        at = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DataError(f"{readings.place(at)}: {values[at]:g} {problem}")
