"""The archive of kept windows says what was visited, and its figures what the archives hold."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import cells
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from synthetic_kept import EPOCHS, TIMES, jaccard, write_archives
from synthetic_records import PRUNERS, summarised, write_experiment
from toy_runs import key_of

from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import experiment_layout
from stprune.paper.content import most_varied_first
from stprune.paper.figures import FIGURES, build
from stprune.paper.products import applicable
from stprune.records.kept import KeptArchive, read_kept
from stprune.records.run import read_epochs
from stprune.results.kept_windows import calendar_share, overlaps
from stprune.results.summary import load_results
from stprune.training.run import train

NAMES = ("kept_calendar", "kept_overlap")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    layout = write_experiment(tmp_path_factory.mktemp("kept"))
    write_archives(layout)
    return layout


def _key(pruner: str, ratio: float = 0.9, seed: int = 0) -> RunKey:
    return RunKey("synthetic_roads", "stid", pruner, ratio, seed)


def _write(
    layout: ExperimentLayout, key: RunKey, epochs: list[np.ndarray], times: np.ndarray = TIMES
) -> None:
    archive = KeptArchive(times)
    for indices in epochs:
        archive.add(torch.from_numpy(indices), None)
    archive.write(layout.kept(key))


def test_calendar_shows_the_hours_that_were_kept(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path, pruners=PRUNERS[:1], ratios=(0.9,), seeds=(0, 1))
    day = TIMES[:48]
    hours = (day - day[0]).astype(int) // 60 % 24
    everything, mornings = np.arange(len(day)), np.flatnonzero(hours == 8)
    _write(layout, _key("random_dynamic", seed=0), [everything, mornings, mornings], day)
    _write(layout, _key("random_dynamic", seed=1), [everything, mornings, everything], day)
    shown = cells(build("kept_calendar", summarised(layout)).figure.axes[0])
    # Kept 24 times as often as all windows, never in other hours: both ends of the colours.
    assert shown[0].tolist() == [2 if hour == 8 else -2 for hour in range(24)]
    # On other days there are no data.
    assert np.ma.getmaskarray(shown)[1:].all()


def test_overlap_is_the_mean_jaccard_less_that_of_chance(layout: ExperimentLayout) -> None:
    figure = build("kept_overlap", load_results(layout.store)).figure
    last = EPOCHS - 2

    def choice(pruner: str, ratio: float, seed: int) -> np.ndarray:
        return read_kept(layout.kept(_key(pruner, ratio, seed))).kept[last]

    for axes, ratio, chance in zip(figure.axes, (0.5, 0.9), (1 / 3, 0.1 / 1.9), strict=False):
        shown = cells(axes)
        own = jaccard(choice("el2n", ratio, 0), choice("el2n", ratio, 1))
        assert shown[1, 1] == pytest.approx(own - chance)
        pairs = [jaccard(*(choice(p, ratio, s) for p in ("el2n", "st_prune"))) for s in (0, 1)]
        assert shown[1, 4] == shown[4, 1] == pytest.approx(np.mean(pairs) - chance)
        assert np.abs(shown[0]).max() < 0.1
        words = {text.get_text() for text in axes.texts}
        assert f"{own:.2f}" in words


def test_runs_without_an_archive_are_counted_and_without_pruned_epochs_left_out(
    tmp_path: Path,
) -> None:
    layout = write_experiment(tmp_path / "some", pruners=PRUNERS[3:5], ratios=(0.9,))
    write_archives(layout, without=("el2n",))
    results = load_results(layout.store)
    assert all("2 runs" in build(name, results).caption for name in NAMES)
    layout = write_experiment(tmp_path / "full", pruners=PRUNERS[:1], ratios=(0.9,), seeds=(0,))
    _write(layout, _key("random_dynamic"), [np.arange(len(TIMES))] * 3)
    assert set(NAMES).isdisjoint(applicable(FIGURES, summarised(layout)))


def test_the_first_data_sets_hold_as_many_different_data_as_possible() -> None:
    summary = pd.DataFrame({"dataset": ["a", "b", "c", "b"], "data_checksum": ["x", "x", "y", "x"]})
    assert most_varied_first(summary) == ["a", "c", "b"]


# The archive of kept windows says what was visited, and nothing else


def hours(windows: int) -> NDArray[np.datetime64]:
    return np.datetime64("2024-03-01T00:00", "m") + np.arange(windows) * np.timedelta64(60, "m")


@given(
    windows=st.integers(1, 70),
    seed=st.integers(0, 99),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, windows: int, seed: int, shares: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    expected = rng.random((len(shares), windows)) < np.array(shares)[:, None]
    archive = KeptArchive(hours(windows))
    for row in expected:
        archive.add(torch.from_numpy(rng.permutation(np.flatnonzero(row))), None)
    path = tmp_path_factory.mktemp("kept") / "kept.npz"
    archive.write(path)
    np.testing.assert_array_equal(read_kept(path).kept, expected)
    np.testing.assert_array_equal(read_kept(path).times, hours(windows))


def test_quantiles_leave_out_what_is_not_known(tmp_path: Path) -> None:
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


def test_a_run_archives_what_its_epochs_say(all_pruners: ExperimentConfig) -> None:
    key, layout = key_of("st_prune"), experiment_layout(all_pruners)
    train(all_pruners, key, [])
    archive, epochs = read_kept(layout.kept(key)), read_epochs(layout.run_epochs(key))
    assert archive.kept.sum(1).tolist() == epochs["windows"].tolist()
    assert (np.diff(archive.score_quantiles, axis=1) >= 0).all()
    # Windows of 12 + 12 hours from midnight on: the first target of the first is at noon.
    assert archive.times[0] == np.datetime64("2024-01-01T12:00")
    assert (np.diff(archive.times) == np.timedelta64(60, "m")).all()


def test_calendar_by_hand() -> None:
    # Monday at seven twice, Tuesday at seven, Sunday at 23; the first epoch is full.
    moments = ["2024-01-01T07:00", "2024-01-01T07:30", "2024-01-02T07:59", "2024-01-07T23:00"]
    times = np.array(moments, dtype="datetime64[m]")
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
