"""From times as written to one clock that never jumps, by a stated rule for time zones.

A canonical data set has equal steps, and a clock that is set forward and back has none. Times that
all have the same offset from UTC keep their clock. Times of a zone with summer time, whether they
say their offset or not, become the zone's standard time when the card names the zone.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.table.stamps import Place, Stamps


def local_times(
    stamps: Stamps, zone: str | None, sensors: NDArray[np.int64] | None, place: Place
) -> NDArray[np.datetime64]:
    """Times on one clock: (R,) datetime64[s].

    Args:
        stamps: Times as written.
        zone: Name of a time zone, whose standard time is taken; None leaves the clock as it is.
        sensors: (R,) the sensor of each row, or None if every row has all. An hour that the clock
            shows twice is told apart by coming first or second for the same sensor.
        place: Words for a row, to name in messages.

    Raises:
        DataError: If offsets differ and no zone is given, or a time of the zone's clock does not
            exist or might be either of two.
    """
    offset = stamps.offset
    if zone is None:
        if offset is not None and (offset != offset[0]).any():
            row = int(np.argmax(offset != offset[0]))
            raise DataError(
                f"{place(row)} has the offset {_shown(offset[row])} from UTC, those before"
                f" {_shown(offset[0])}; name the zone with `timezone` to have all in its standard"
                " time, or `UTC`"
            )
        return stamps.clock
    if offset is None:
        offset = _offsets_of_clock(stamps.clock, ZoneInfo(zone), sensors, place)
    instants = stamps.clock - offset.astype("timedelta64[s]")
    times: NDArray[np.datetime64] = instants + _standard_offset(ZoneInfo(zone), instants[0])
    return times


def _standard_offset(zone: ZoneInfo, instant: np.datetime64) -> np.timedelta64:
    """The zone's offset from UTC without summer time, as it is at ``instant``."""
    here = _moment(instant).replace(tzinfo=UTC).astimezone(zone)
    standard = (here.utcoffset() or timedelta()) - (here.dst() or timedelta())
    return np.timedelta64(int(standard.total_seconds()), "s")


def _offsets_of_clock(
    clock: NDArray[np.datetime64],
    zone: ZoneInfo,
    sensors: NDArray[np.int64] | None,
    place: Place,
) -> NDArray[np.int64]:
    """(R,) seconds that the zone's clock was ahead of UTC when it showed each time."""
    times, codes = np.unique(clock, return_inverse=True)
    early, late = (np.array([_ahead(time, zone, fold) for time in times]) for fold in (0, 1))
    skipped = np.array([not _exists(time, zone) for time in times])[codes]
    if skipped.any():
        row = int(np.argmax(skipped))
        raise DataError(
            f"{place(row)}: {clock[row]} does not exist in {zone.key}, where the clock is set"
            " forward over it"
        )
    offset = early[codes]
    rows_of: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in np.flatnonzero((early != late)[codes]).tolist():
        rows_of[int(codes[row]), 0 if sensors is None else int(sensors[row])].append(row)
    for rows in rows_of.values():
        if len(rows) != 2:
            raise DataError(
                f"{place(rows[0])}: {clock[rows[0]]} comes twice in {zone.key}, where the clock is"
                f" set back, but the file has it {len(rows)} times; give times with their offset"
            )
        offset[rows[1]] = late[codes[rows[1]]]
    if rows_of:
        _refuse_disorder(clock - offset.astype("timedelta64[s]"), sensors, place)
    return offset


def _refuse_disorder(
    instants: NDArray[np.datetime64], sensors: NDArray[np.int64] | None, place: Place
) -> None:
    """First and second say something only if each sensor's times rise."""
    order = np.arange(len(instants)) if sensors is None else np.argsort(sensors, kind="stable")
    sorted_sensors = np.zeros(len(order)) if sensors is None else sensors[order]
    back = (np.diff(instants[order]) < np.timedelta64(0, "s")) & (np.diff(sorted_sensors) == 0)
    if back.any():
        row = int(order[1:][back][0])
        raise DataError(
            f"{place(row)} goes back in time, so an hour that the clock shows twice cannot be told"
            " apart; sort the file, or give times with their offset"
        )


def _ahead(time: np.datetime64, zone: ZoneInfo, fold: int) -> int:
    ahead = _moment(time).replace(tzinfo=zone, fold=fold).utcoffset()
    return int((ahead or timedelta()).total_seconds())


def _exists(time: np.datetime64, zone: ZoneInfo) -> bool:
    """Whether the zone's clock ever shows ``time``: it must come back from UTC as it was."""
    moment = _moment(time)
    back = moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return back.replace(tzinfo=None) == moment


def _moment(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("datetime64[s]").item()
    return moment


def _shown(seconds: int) -> str:
    return str(timezone(timedelta(seconds=int(seconds))))
