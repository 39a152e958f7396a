"""Rows with times become the equal steps of a card: duplicates, gaps, times off the steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard
from stprune.data.formats.base import regular_times
from stprune.data.table.options import Options
from stprune.data.table.series import Readings


def on_steps(
    readings: Readings, values: NDArray[np.float64], card: DatasetCard, options: Options
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Put the values of rows, in any order, on the steps of the card.

    Returns:
        (T,) datetime64[s] and (T, N, C) float64, NaN where missing.

    Raises:
        DataError: If a row is a duplicate, off the steps or outside of the card's time, or a step
            has no row, unless the options say what to do.
    """
    times = readings.times
    if times is None:
        return regular_times(card, len(values)), values
    start = pd.Timestamp(card.start.replace(tzinfo=None))
    step = pd.Timedelta(minutes=card.step_minutes)
    axis = pd.DatetimeIndex(regular_times(card, card.steps))
    sensor = np.zeros(len(values), np.int64) if readings.sensor is None else readings.sensor
    keys = pd.MultiIndex.from_arrays([times, sensor])
    number = np.asarray((times - start) // step)
    for wrong, allowed, problem in (
        (keys.duplicated(), options.duplicates != "refuse", "again; see `duplicates`"),
        (start + number * step != times, options.resample == "mean", "off the steps: `resample`"),
        (number < 0, False, "before the first step of the card"),
        (number >= card.steps, card.breaks == "daily", "after the last step of the card"),
    ):
        if wrong.any() and not allowed:
            row = int(np.argmax(wrong))
            raise DataError(f"{readings.place((row,))} is of {times[row]}, {problem}")
    frame = pd.DataFrame(values.reshape(len(values), -1), keys)
    if options.duplicates == "mean":
        frame = frame.groupby(level=[0, 1]).mean()
    elif options.duplicates != "refuse":
        frame = frame[~keys.duplicated(keep=options.duplicates)]
    if options.resample == "mean":
        moments = pd.DatetimeIndex(frame.index.get_level_values(0))
        begins = start + (moments - start) // step * step
        frame = frame.groupby([begins, frame.index.get_level_values(1)]).mean()
    covered = pd.DatetimeIndex(frame.index.get_level_values(0)).unique().sort_values()
    if card.breaks == "daily":
        # Steps left out between days are no gap; the canonical data set checks the rest.
        axis = covered
    if (covered[0], covered[-1]) != (axis[0], axis[-1]):
        raise DataError(
            f"{readings.path} covers {covered[0]} to {covered[-1]}, but the card {axis[0]} to"
            f" {axis[-1]}"
        )
    places = pd.MultiIndex.from_product([axis, range(sensor.max() + 1)])
    absent = np.flatnonzero(~places.isin(frame.index))
    if options.gaps == "refuse" and len(absent):
        time, node = divmod(int(absent[0]), int(sensor.max()) + 1)
        who = "" if readings.sensor is None else f" of sensor `{readings.nodes[node]}`"
        raise DataError(
            f"{readings.path} has no row{who} for {axis[time]}; if its values are missing, say"
            " `gaps: missing`"
        )
    grid = frame.reindex(places).to_numpy().reshape(len(axis), -1, values.shape[2])
    return axis.to_numpy().astype("datetime64[s]"), grid
