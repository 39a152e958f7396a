"""The archive of kept windows says what was visited, and nothing else."""

from datetime import datetime

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from synthetic_kept import jaccard
from toy_runs import key_of

from stprune.base.errors import RecordError
from stprune.config.grid import experiment_layout
from stprune.records.kept import KeptArchive, read_kept
from stprune.records.run import read_epochs
from stprune.results.kept_windows import calendar_share, overlaps
from stprune.training.run import train


def hours(windows: int) -> NDArray[np.datetime64]:
    return np.datetime64("2024-03-01T00:00", "m") + np.arange(windows) * np.timedelta64(60, "m")


@given(
    windows=st.integers(1, 70),
    seed=st.integers(0, 99),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_round_trip(tmp_path_factory, windows, seed, shares):
    rng = np.random.default_rng(seed)
    expected = rng.random((len(shares), windows)) < np.array(shares)[:, None]
    archive = KeptArchive(hours(windows))
    for row in expected:
        archive.add(torch.from_numpy(rng.permutation(np.flatnonzero(row))), None)
    path = tmp_path_factory.mktemp("kept") / "kept.npz"
    archive.write(path)
    np.testing.assert_array_equal(read_kept(path).kept, expected)
    np.testing.assert_array_equal(read_kept(path).times, hours(windows))


def test_quantiles_leave_out_what_is_not_known(tmp_path):
    archive = KeptArchive(hours(5))
    scores = torch.tensor([0.0, 10.0, float("inf"), float("nan"), 5.0])
    archive.add(torch.tensor([0]), scores)
    archive.add(torch.tensor([1]), None)
    archive.write(tmp_path / "kept.npz")
    quantiles = read_kept(tmp_path / "kept.npz").score_quantiles
    np.testing.assert_allclose(quantiles[0], np.linspace(0, 10, 11))
    assert np.isnan(quantiles[1]).all()
    with pytest.raises(RecordError, match="nowhere"):
        read_kept(tmp_path / "nowhere.npz")


def test_a_run_archives_what_its_epochs_say(all_pruners):
    key, layout = key_of("st_prune"), experiment_layout(all_pruners)
    train(all_pruners, key, [])
    archive, epochs = read_kept(layout.kept(key)), read_epochs(layout.run(key) / "epochs.csv")
    assert archive.kept.sum(1).tolist() == epochs["windows"].tolist()
    assert (np.diff(archive.score_quantiles, axis=1) >= 0).all()
    # Windows of 12 + 12 hours from midnight on: the first target of the first is at noon.
    assert archive.times[0] == np.datetime64("2024-01-01T12:00")
    assert (np.diff(archive.times) == np.timedelta64(60, "m")).all()


def test_calendar_by_hand():
    # Monday at seven twice, Tuesday at seven, Sunday at 23; the first epoch is full.
    moments = ["2024-01-01T07:00", "2024-01-01T07:30", "2024-01-02T07:59", "2024-01-07T23:00"]
    times = np.array(moments, dtype="datetime64[m]")
    kept = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)
    share = calendar_share(kept, times)
    # Shares 1, 1/2, 1/2, 0 over their mean 1/2.
    assert share[0, 7] == pytest.approx(1.5)
    assert share[1, 7] == pytest.approx(1.0)
    assert share[6, 23] == 0.0
    assert np.isnan(share).sum() == 7 * 24 - 3


@given(st.datetimes(datetime(1950, 1, 1), datetime(2050, 1, 1)))
def test_weekday_and_hour_are_those_of_the_calendar(time):
    share = calendar_share(np.array([[True, False]]), np.array([time, time], dtype="datetime64[m]"))
    assert [tuple(at) for at in np.argwhere(~np.isnan(share))] == [(time.weekday(), time.hour)]


@given(st.integers(2, 6), st.integers(1, 200), st.integers(0, 99))
def test_overlaps_are_the_jaccard_of_every_pair(choices, windows, seed):
    rng = np.random.default_rng(seed)
    kept = rng.random((choices, windows)) < rng.random((choices, 1))
    kept[:, 0] = True
    found, _ = overlaps(kept)
    expected = [[jaccard(first, second) for second in kept] for first in kept]
    np.testing.assert_allclose(found, expected)


def test_random_choices_overlap_as_expected():
    rng = np.random.default_rng(1)
    sizes = np.array([500, 1000, 2500, 5000])
    kept = np.stack([rng.permutation(5000) < size for size in sizes])
    found, chance = overlaps(kept)
    apart = ~np.eye(len(sizes), dtype=bool)
    np.testing.assert_allclose(found[apart], chance[apart], atol=0.02)
    # Two random halves: a quarter in both, three quarters in either.
    assert chance[2, 2] == pytest.approx(1 / 3)
    assert chance[3, 3] == 1.0
