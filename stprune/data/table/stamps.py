"""Times of a user's file as they are written: in words, as numbers, or typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.table.options import ISO, MILLISECONDS, SECONDS

FIRST, LAST = np.datetime64("1900-01-01", "s"), np.datetime64("2200-01-01", "s")

Entries = Sequence[Any] | NDArray[Any] | pd.DatetimeIndex
Place = Callable[[int], str]


@dataclass(frozen=True)
class Stamps:
    """Times as written.

    Args:
        clock: (R,) datetime64[s], what the clock showed.
        offset: (R,) int64, seconds that the clock was ahead of UTC; None if no time says.
    """

    clock: NDArray[np.datetime64]
    offset: NDArray[np.int64] | None


def read_stamps(entries: Entries, time_format: str, place: Place) -> Stamps:
    """Read the times of R rows.

    Args:
        entries: Texts, whole numbers, datetime64, or an aware `pandas.DatetimeIndex`.
        time_format: See `Options`; typed times need none.
        place: Words for a row, to name in messages.

    Raises:
        DataError: If an entry is no time, no whole second, or not of 1900 to 2199; or if only
            some have an offset from UTC.
    """
    if isinstance(entries, pd.DatetimeIndex):
        stamps = _aware(entries)
    elif len(entries) and isinstance(entries[0], np.datetime64):
        stamps = _naive(np.asarray(entries), place)
    else:
        stamps = _written(entries, time_format, place)
    wrong = (stamps.clock < FIRST) | (stamps.clock >= LAST)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{place(row)} is of {stamps.clock[row]}, not of the years 1900 to 2199")
    return stamps


def _aware(index: pd.DatetimeIndex) -> Stamps:
    instants = index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")
    clock = index.tz_localize(None).to_numpy().astype("datetime64[s]")
    return Stamps(clock, (clock - instants).astype(np.int64))


def _naive(exact: NDArray[np.datetime64], place: Place) -> Stamps:
    clock = exact.astype("datetime64[s]")
    wrong = np.isnat(exact) | (clock != exact)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{place(row)} has the time {exact[row]}, which is no whole second")
    return Stamps(clock, None)


def _written(entries: Entries, time_format: str, place: Place) -> Stamps:
    # A long file repeats each time for every sensor; each is read once.
    codes, texts = pd.factorize(np.array([str(entry).strip() for entry in entries], dtype=object))
    clock = np.empty(len(texts), "datetime64[s]")
    offset = np.zeros(len(texts), np.int64)
    aware = np.zeros(len(texts), bool)
    for number, text in enumerate(texts):
        try:
            time = _parsed(text, time_format)
        except (ValueError, OverflowError):
            row = int(np.argmax(codes == number))
            raise DataError(f"{place(row)}: {_not_a_time(text, time_format)}") from None
        if time.microsecond:
            row = int(np.argmax(codes == number))
            raise DataError(f"{place(row)} has the time {text}, which is no whole second")
        clock[number] = np.datetime64(time.replace(tzinfo=None), "s")
        ahead = time.utcoffset()
        aware[number] = ahead is not None
        offset[number] = int((ahead or timedelta()).total_seconds())
    if aware.any() and not aware.all():
        row = int(np.argmax(aware[codes] != aware[codes[0]]))
        raise DataError(
            f"{place(row)}: the time `{entries[row]}` differs from those before in whether it says"
            " its offset from UTC"
        )
    return Stamps(clock[codes], offset[codes] if aware.all() else None)


def _parsed(text: str, time_format: str) -> datetime:
    """Raises ValueError or OverflowError if it cannot be read."""
    if time_format == ISO:
        return datetime.fromisoformat(text)
    if time_format in (SECONDS, MILLISECONDS):
        unit = timedelta(seconds=1) if time_format == SECONDS else timedelta(milliseconds=1)
        if "_" in text:
            raise ValueError("not a plain number")
        # Tables that once had a gap hold whole numbers as 1.7e9 or 1700000000.0.
        return datetime(1970, 1, 1, tzinfo=UTC) + float(text) * unit
    return datetime.strptime(text, time_format)


def _not_a_time(text: str, time_format: str) -> str:
    if not text:
        return "there is no time"
    forms = {
        ISO: "no ISO 8601 time such as 2024-01-31T08:00; say its pattern with `time_format`",
        SECONDS: "no number of seconds since 1970",
        MILLISECONDS: "no number of milliseconds since 1970",
    }
    return f"the time `{text}` is {forms.get(time_format, f'not written as `{time_format}`')}"
