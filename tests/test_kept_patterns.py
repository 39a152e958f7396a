"""What archives say about hours and about agreement, by hand and by another way."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stprune.records.kept import jaccard
from stprune.results.kept_windows import calendar_share, overlaps, pruned_epochs


def _days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[m]")


def test_calendar_by_hand() -> None:
    # Monday at seven twice, Tuesday at seven, Sunday at 23; the first epoch is full.
    times = _days("2024-01-01T07:00", "2024-01-01T07:30", "2024-01-02T07:59", "2024-01-07T23:00")
    kept = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)
    share = calendar_share(kept, times)
    assert share is not None
    # Shares 1, 1/2, 1/2, 0 over their mean 1/2.
    assert share[0, 7] == pytest.approx(1.5)
    assert share[1, 7] == pytest.approx(1.0)
    assert share[6, 23] == 0.0
    assert np.isnan(share).sum() == 7 * 24 - 3


@given(st.datetimes(datetime(1950, 1, 1), datetime(2050, 1, 1)))
def test_weekday_and_hour_are_those_of_the_calendar(time: datetime) -> None:
    share = calendar_share(np.array([[True, False]]), np.array([time, time], dtype="datetime64[m]"))
    assert share is not None
    assert [tuple(at) for at in np.argwhere(~np.isnan(share))] == [(time.weekday(), time.hour)]


def test_choosing_everything_or_at_random_is_one_everywhere() -> None:
    times = np.datetime64("2024-01-01", "m") + 60 * np.arange(168 * 50).astype("timedelta64[m]")
    assert calendar_share(np.ones((3, len(times)), dtype=bool), times) is None
    share = calendar_share(np.random.default_rng(0).random((40, len(times))) < 0.2, times)
    np.testing.assert_allclose(share, 1, atol=0.25)


def test_pruned_epochs_are_those_that_left_something_out() -> None:
    assert pruned_epochs(np.array([[1, 1], [1, 0], [1, 1], [0, 0]], dtype=bool)).tolist() == [1, 3]


@given(st.integers(2, 6), st.integers(1, 200), st.integers(0, 99))
def test_overlaps_are_the_jaccard_of_every_pair(choices: int, windows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept = rng.random((choices, windows)) < rng.random((choices, 1))
    kept[:, 0] = True
    found, _ = overlaps(kept)
    expected = [[jaccard(first, second) for second in kept] for first in kept]
    np.testing.assert_allclose(found, expected)


def test_random_choices_overlap_as_expected() -> None:
    rng = np.random.default_rng(1)
    sizes = np.array([500, 1000, 2500, 5000])
    kept = np.stack([rng.permutation(5000) < size for size in sizes])
    found, chance = overlaps(kept)
    apart = ~np.eye(len(sizes), dtype=bool)
    np.testing.assert_allclose(found[apart], chance[apart], atol=0.02)
    # Two random halves: a quarter in both, three quarters in either.
    assert chance[2, 2] == pytest.approx(1 / 3)
    assert chance[3, 3] == 1.0
