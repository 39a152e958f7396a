"""Rows with times become the equal steps of a card: duplicates, gaps, times off the steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard
from stprune.data.raw_values import regular_times
from stprune.data.table.options import Duplicates, Options
from stprune.data.table.readings import Readings

SECOND = np.timedelta64(1, "s")


@dataclass(frozen=True)
class Stepped:
    """A file's values on the steps of the card.

    Args:
        times: (T,) datetime64[s].
        nodes: N ids, in file order.
        values: (T, N, C) float64, NaN where missing.
    """

    times: NDArray[np.datetime64]
    nodes: list[str]
    values: NDArray[np.float64]


def on_steps(
    readings: Readings, values: NDArray[np.float64], card: DatasetCard, options: Options
) -> Stepped:
    """Put rows, in any order, on the steps of the card.

    Args:
        readings: What the file says.
        values: The values of the readings, NaN where missing.
        card: Says start, step, number of steps, and whether nights are left out.
        options: The rules for duplicates, gaps and times off the steps.

    Raises:
        DataError: If a row is a duplicate, off the steps or outside of the card's time, or a step
            has no row, unless the options say what to do.
    """
    if readings.times is None:
        times = regular_times(card, len(values))
        return Stepped(times, readings.nodes, values)
    sensors = 1 if readings.sensor is None else len(readings.nodes)
    sensor = np.zeros(len(values), np.int64) if readings.sensor is None else readings.sensor
    moments, moment = np.unique(readings.times, return_inverse=True)
    keys, values, rows = _merged(
        moment * sensors + sensor, values, np.arange(len(values)), options.duplicates, readings
    )
    step = _steps(moments[keys // sensors], rows, card, options, readings)
    if options.resample == "mean":
        keys, values, rows = _merged(
            step * sensors + keys % sensors, values, rows, "mean", readings
        )
        step = keys // sensors
    numbers, position = _axis(step, card, options, readings)
    grid = np.full((len(numbers), sensors, *values.shape[1:]), np.nan)
    there = np.zeros((len(numbers), sensors), bool)
    grid[position, keys % sensors] = values
    there[position, keys % sensors] = True
    times = regular_times(card, 1)[0] + numbers * (card.step_minutes * 60) * SECOND
    if options.gaps == "refuse" and not there.all():
        at, node = (int(index) for index in np.argwhere(~there)[0])
        of = "" if readings.sensor is None else f" of sensor {readings.nodes[node]}"
        raise DataError(
            f"{readings.path} has no row{of} for {times[at]}; say"
            " `gaps: missing` if its values are missing"
        )
    return Stepped(times, readings.nodes, grid.reshape(len(numbers), -1, values.shape[-1]))


def _merged(
    keys: NDArray[np.int64],
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    rule: Duplicates,
    readings: Readings,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """One row of values for each key, in order of the keys, and the number of its first row."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
    first = order[starts]
    if len(starts) == len(keys):
        return keys[order], values[order], rows[order]
    if rule == "refuse":
        again = int(np.min(np.setdiff1d(order, first)))
        before = int(first[np.searchsorted(keys[first], keys[again])])
        row = int(rows[again])
        raise DataError(
            f"{readings.row(row)} repeats the time {readings.time(row)} of"
            f" {readings.row(int(rows[before])).removeprefix(f'{readings.path}: ')}"
            f"{readings.of_sensor(row, 'for')}; say which counts with `duplicates`"
        )
    if rule != "mean":
        last = order[np.append(starts[1:], len(order)) - 1]
        return keys[first], values[first if rule == "first" else last], rows[first]
    count = np.add.reduceat(~np.isnan(values[order]), starts, axis=0, dtype=np.int64)
    total = np.add.reduceat(np.nan_to_num(values[order], nan=0.0), starts, axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return keys[first], mean, rows[first]


def _steps(
    times: NDArray[np.datetime64],
    rows: NDArray[np.int64],
    card: DatasetCard,
    options: Options,
    readings: Readings,
) -> NDArray[np.int64]:
    """Which step each time is of; only times within the card's."""
    start, length = regular_times(card, 1)[0], card.step_minutes * 60
    seconds = (times - start).astype(np.int64)
    wrong = seconds % length != 0
    if options.resample == "none" and wrong.any():
        at = int(np.argmax(np.where(wrong, -rows, -np.inf)))
        raise DataError(
            f"{readings.row(int(rows[at]))} is of {times[at]}, which is on no step of"
            f" {card.step_minutes} min from {start}; say `resample: mean` to average within steps"
        )
    step: NDArray[np.int64] = seconds // length
    outside = (step < 0) | ((step >= card.steps) if card.breaks == "none" else False)
    if outside.any():
        at = int(np.argmax(np.where(outside, -rows, -np.inf)))
        raise DataError(
            f"{readings.row(int(rows[at]))} is of {times[at]}, outside of the card's {card.steps}"
            f" steps of {card.step_minutes} min from {start}"
        )
    return step


def _axis(
    step: NDArray[np.int64], card: DatasetCard, options: Options, readings: Readings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The (T,) numbers of all steps of the series, and where each of ``step`` is among them."""
    if card.breaks == "daily":
        # What is left out between days is no gap; the canonical data set checks the rest.
        return np.unique(step, return_inverse=True)
    if int(step.max()) != card.steps - 1 or int(step.min()):
        first, last = (
            regular_times(card, 1)[0] + int(number) * (card.step_minutes * 60) * SECOND
            for number in (step.min(), step.max())
        )
        raise DataError(
            f"{readings.path} covers {first} to {last}, but the card says {card.steps} steps of"
            f" {card.step_minutes} min from {card.start}"
        )
    return np.arange(card.steps), step
