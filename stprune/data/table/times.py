"""Times as a user's file has them, on one clock that never jumps.

A canonical data set has equal steps, but a clock that is set forward and back has not. Times with
one offset from UTC keep their clock; with `timezone`, all become the standard time of that zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_datetime64_any_dtype

from stprune.base.errors import DataError
from stprune.data.table.options import ISO, MILLISECONDS, SECONDS, Options


def read_times(
    path: Path, entries: pd.Series, options: Options, sensor: NDArray[np.int64] | None = None
) -> pd.DatetimeIndex:
    """The time of each row, without a zone, in whole seconds of the years 1900 to 2199.

    Args:
        path: The file, for messages; the index of ``entries`` names its rows.
        entries: (R,) texts, numbers, or datetime64 with or without a zone.
        options: Their `time_format` and `timezone`.
        sensor: (R,) the sensor of each row; None if every row has all.

    Raises:
        DataError: If an entry is no such time, only some have an offset from UTC, offsets differ
            without a `timezone`, or the zone's clock never showed a time or may have twice.
    """

    def refuse(wrong: object, problem: str) -> None:
        if np.any(np.asarray(wrong)):
            row = int(np.argmax(np.asarray(wrong)))
            name = f"{entries.index.name} {entries.index[row]}"
            raise DataError(f"{path}: {name}: the time `{entries.iloc[row]}` {problem}")

    if is_datetime64_any_dtype(entries):
        index = pd.DatetimeIndex(entries)
        clock = index.tz_localize(None)
        aware = np.full(len(index), index.tz is not None)
        ahead = clock - (clock if index.tz is None else index.tz_convert("UTC").tz_localize(None))
    else:
        # A long file repeats each time for every sensor; each is parsed once.
        codes, texts = pd.factorize(entries.astype(object).where(entries.notna(), "").astype(str))
        parsed = [parse_time(str(text).strip(), options.time_format) for text in texts]
        unreadable = np.array([moment is None for moment in parsed])[codes]
        form = "ISO 8601" if options.time_format == ISO else options.time_format
        refuse(unreadable, f"is not of the form `{form}`; say another with `time_format`")
        moments = [moment for moment in parsed if moment is not None]
        clock = pd.DatetimeIndex([moment.replace(tzinfo=None) for moment in moments])[codes]
        aware = np.array([moment.tzinfo is not None for moment in moments])[codes]
        ahead = pd.TimedeltaIndex([moment.utcoffset() or timedelta() for moment in moments])[codes]
    refuse(clock.isna() | (clock != clock.floor("s")), "is no whole second")
    refuse((clock.year < 1900) | (clock.year > 2199), "is not of 1900 to 2199")
    refuse(aware != aware[0], "differs from the first in whether it says its offset from UTC")
    zone = options.timezone
    if zone is None:
        refuse(ahead != ahead[0], "has another offset from UTC than the first; see `timezone`")
        return clock
    instants = clock - ahead if aware[0] else _instants(path, clock, zone, sensor)
    # Not the offset less `dst()`: databases differ in which half of Dublin's year is summer time.
    january, july = (
        datetime(instants.min().year, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() or timedelta()
        for month in (1, 7)
    )
    return instants + pd.Timedelta(min(january, july))


def parse_time(text: str, time_format: str) -> datetime | None:
    """The time that a text says, with its offset from UTC if it says one; None if it says none."""
    try:
        if time_format == ISO:
            return datetime.fromisoformat(text)
        if time_format not in (SECONDS, MILLISECONDS):
            return datetime.strptime(text, time_format)
        # pandas writes a whole number as 1.7e9 or 1700000000.0 if the column had a gap once.
        seconds = float(text.replace("_", "?")) / (1000 if time_format == MILLISECONDS else 1)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None


def _instants(
    path: Path, clock: pd.DatetimeIndex, zone: str, sensor: NDArray[np.int64] | None
) -> pd.DatetimeIndex:
    """In UTC, times that the zone's clock showed; a doubled hour by its order for each sensor."""
    try:
        first = clock.tz_localize(zone, ambiguous=np.ones(len(clock), bool), nonexistent="raise")
        instants = pd.Series(first)
        if clock.tz_localize(zone, ambiguous="NaT").hasnans:
            of = pd.Series(np.zeros(len(clock)) if sensor is None else sensor)
            for rows in of.groupby(of).indices.values():
                instants.iloc[rows] = clock[rows].tz_localize(zone, ambiguous="infer")
                if not instants.iloc[rows].is_monotonic_increasing:
                    raise ValueError("times that do not rise do not tell a doubled hour apart")
    except ValueError as error:
        raise DataError(
            f"{path}: {error} (the clock of {zone}); sort the file, or give times with their offset"
        ) from None
    return pd.DatetimeIndex(instants).tz_convert("UTC").tz_localize(None)
