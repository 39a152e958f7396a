"""Time zones of a user's file: one clock that never jumps, or one line that says why not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.table.local_time import local_times
from stprune.data.table.stamps import read_stamps


def row(number: int) -> str:
    return f"row {number}"


def times(
    texts: list[str], zone: str | None, sensors: list[int] | None = None, form: str = "iso"
) -> list[str]:
    codes: NDArray[np.int64] | None = None if sensors is None else np.array(sensors)
    return [str(time) for time in local_times(read_stamps(texts, form, row), zone, codes, row)]


def test_offsets_of_summer_time_become_standard_time() -> None:
    # Berlin sets its clock forward on 31 March 2024, from 2 to 3.
    written = ["2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00", "2024-03-31T04:00+02:00"]
    with pytest.raises(DataError, match=r"row 1 has the offset UTC\+02:00 from UTC, those before"):
        times(written, None)
    assert times(written, "Europe/Berlin") == [f"2024-03-31T0{hour}:00:00" for hour in (1, 2, 3)]
    assert times(written, "UTC") == [f"2024-03-31T0{hour}:00:00" for hour in (0, 1, 2)]


def test_a_file_that_begins_in_summer_gets_standard_time_too() -> None:
    assert times(["2024-07-01T12:00+02:00"], "Europe/Berlin") == ["2024-07-01T11:00:00"]
    assert times(["2024-07-01T12:00"], "Europe/Berlin") == ["2024-07-01T11:00:00"]
    assert times(["1719828000"], "Europe/Berlin", form="seconds") == ["2024-07-01T11:00:00"]


def test_a_clock_without_offsets_is_unfolded() -> None:
    # On 27 October 2024 it is set back from 3 to 2: 02:00 and 02:30 come twice.
    hours = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    written = [f"2024-10-27T{hour}" for hour in hours]
    expected = ["00:30", "01:00", "01:30", "02:00", "02:30", "03:00"]
    assert times(written, "Europe/Berlin") == [f"2024-10-27T{hour}:00" for hour in expected]
    # Of two sensors, each has the hour twice.
    both = [text for text in written for _ in range(2)]
    unfolded = times(both, "Europe/Berlin", [0, 1] * 6)
    assert unfolded == [f"2024-10-27T{hour}:00" for hour in expected for _ in range(2)]


def test_a_clock_that_cannot_be_unfolded() -> None:
    with pytest.raises(DataError, match=r"row 1: 2024-10-27T02:00:00 comes twice .* it 1 times"):
        times(["2024-10-27T01:00", "2024-10-27T02:00", "2024-10-27T03:00"], "Europe/Berlin")
    backwards = ["2024-10-27T03:00", "2024-10-27T02:00", "2024-10-27T02:00", "2024-10-27T01:00"]
    with pytest.raises(DataError, match="row 1 goes back in time"):
        times(backwards, "Europe/Berlin")
    with pytest.raises(DataError, match=r"row 0: 2024-03-31T02:30:00 does not exist in Europe/Ber"):
        times(["2024-03-31T02:30"], "Europe/Berlin")


def test_typed_times_say_their_zone() -> None:
    index = pd.DatetimeIndex(["2024-03-31T00:00", "2024-03-31T01:00"], tz="UTC")
    stamps = read_stamps(index.tz_convert("Europe/Berlin"), "iso", row)
    assert [str(time) for time in stamps.clock] == ["2024-03-31T01:00:00", "2024-03-31T03:00:00"]
    np.testing.assert_array_equal(stamps.offset, [3600, 7200])
    local = local_times(stamps, "Europe/Berlin", None, row)
    assert [str(time) for time in local] == ["2024-03-31T01:00:00", "2024-03-31T02:00:00"]


@pytest.mark.parametrize("text", ["nan", "inf", "1e30", "1_0", "", "12:00"])
def test_numbers_that_are_no_times(text: str) -> None:
    with pytest.raises(DataError, match="row 0: "):
        times([text], None, form="seconds")
