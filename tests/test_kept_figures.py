"""The figures of kept windows show what the archives hold, and say what they leave out."""

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import cells
from synthetic_kept import EPOCHS, TIMES, jaccard, write_archives
from synthetic_records import PRUNERS, summarised, write_experiment

from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.content import most_varied_first
from stprune.paper.figures import build
from stprune.paper.products import applicable
from stprune.records.kept import KeptArchive, read_kept
from stprune.results.summary import load_results

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


def test_calendar_shows_the_hours_that_were_kept(tmp_path):
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


def test_overlap_is_the_mean_jaccard_less_that_of_chance(layout):
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


def test_runs_without_an_archive_are_counted_and_without_pruned_epochs_left_out(tmp_path):
    layout = write_experiment(tmp_path / "some", pruners=PRUNERS[3:5], ratios=(0.9,))
    write_archives(layout, without=("el2n",))
    results = load_results(layout.store)
    assert all("2 runs" in build(name, results).caption for name in NAMES)
    layout = write_experiment(tmp_path / "full", pruners=PRUNERS[:1], ratios=(0.9,), seeds=(0,))
    _write(layout, _key("random_dynamic"), [np.arange(len(TIMES))] * 3)
    assert set(NAMES).isdisjoint(applicable("figures", summarised(layout)))


def test_the_first_data_sets_hold_as_many_different_data_as_possible():
    summary = pd.DataFrame({"dataset": ["a", "b", "c", "b"], "data_checksum": ["x", "x", "y", "x"]})
    assert most_varied_first(summary) == ["a", "c", "b"]
