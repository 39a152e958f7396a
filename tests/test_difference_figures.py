"""Figures of paired differences show the numbers worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from numpy.typing import NDArray
from synthetic_records import cost, epochs, record, scores, write_run

from paper_figures.difference_axis import difference_axis
from paper_figures.fig_scores import mean_deciles
from paper_figures.harm import harm_by_group, harm_by_step
from paper_figures.one_option import Variant, variants
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.applicable import applicable
from stprune.paper.figures import FIGURES, build
from stprune.paper.looks import LOOKS
from stprune.results.summarise import summarise
from stprune.results.summary import Results, load_results

OPTIONS = {"annealing": "tail", "hard_share": 0.5}


def _results(
    root: Path,
    runs: list[tuple[str, str, float, int, float]],
    options: dict[str, tuple[str, dict[str, Any]]] | None = None,
) -> Results:
    """Data set, pruner, prune ratio, seed and test MAE of each run; options by entry."""
    layout, files = ExperimentLayout(root), []
    for dataset, pruner, ratio, seed, mae in runs:
        name, own = (options or {}).get(pruner, (pruner, {}))
        config = {"pruner": {"name": pruner, "id": name, "options": own}}
        groups = {"incident": 2 * mae, "least_stationary": None, "worst_node": 9.0}
        key = RunKey(dataset, "stid", pruner, ratio, seed)
        run = record(key, test=scores(mae), test_groups=groups, config=config, cost=cost())
        files.append(write_run(layout, run, epochs(8)))
    summarise(files, layout)
    return load_results(layout.store)


def _lines(axes: Axes) -> list[NDArray[np.float64]]:
    return [np.asarray(line.get_xydata(), dtype=np.float64) for line in axes.lines]


def _points(axes: Axes, colour: str) -> list[tuple[float, float]]:
    """Markers of a colour that stand alone."""
    drawn = zip(axes.lines, _lines(axes), strict=True)
    alone = [line for own, line in drawn if own.get_color() == colour and len(line) == 1]
    return [(float(line[0, 0]), float(line[0, 1])) for line in alone]


def test_the_forest_shows_mean_differences_best_entry_on_top(tmp_path: Path) -> None:
    runs = [("a", "random_dynamic", 0.5, seed, 2.0) for seed in (0, 1)]
    runs += [("a", "worse", 0.5, 0, 2.2), ("a", "worse", 0.5, 1, 2.1)]
    runs += [("a", "better", 0.5, 0, 1.8), ("a", "better", 0.5, 1, 1.9)]
    drawing = build("ablation", _results(tmp_path, runs))
    axes = drawing.figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Better", "Worse"]
    points = _points(axes, LOOKS["random_dynamic"].colour)
    assert [x for x, _ in points] == [pytest.approx(-7.5), pytest.approx(7.5)]
    # The first row is above the second: rows count downwards.
    assert points[0][1] < points[1][1]
    assert "2 seeds, 2 pairs a point" in drawing.caption


def test_an_entry_far_off_does_not_flatten_the_others() -> None:
    means = [1.0, -1.0, 0.5, 0.5, 80.0]
    frame = pd.DataFrame({"mean": means, "low": np.nan, "high": np.nan})
    axis = difference_axis(frame)
    assert axis.beyond
    # Three times the median of 1, and a margin.
    assert axis.high == pytest.approx(3 + 0.06 * 4)
    assert axis.low == pytest.approx(-1 - 0.06 * 4)
    assert not axis.holds(80.0)
    assert not difference_axis(frame[:4]).beyond


ENTRIES = {
    "st_prune": ("st_prune", OPTIONS),
    "share_0": ("st_prune", {**OPTIONS, "hard_share": 0.0}),
    "share_1": ("st_prune", {**OPTIONS, "hard_share": 1.0}),
    "two_changes": ("st_prune", {"annealing": "none", "hard_share": 1.0}),
    "of_another": ("infobatch", {**OPTIONS, "hard_share": 1.0}),
}


def test_sensitivity_is_to_one_option_at_a_time(tmp_path: Path) -> None:
    maes = {"st_prune": 2.0, "share_0": 2.2, "share_1": 1.9, "two_changes": 9.0, "of_another": 9.0}
    runs = [("a", name, 0.5, seed, mae) for name, mae in maes.items() for seed in (0, 1)]
    results = _results(tmp_path, runs, ENTRIES)
    assert variants(results) == [
        Variant("st_prune", "hard_share", "share_0", 0.0, 0.5),
        Variant("st_prune", "hard_share", "share_1", 1.0, 0.5),
    ]
    (axes,) = build("sensitivity", results).figure.axes
    assert axes.get_xlabel() == "hard_share"
    (curve,) = [line for line in _lines(axes) if len(line) == 3]
    np.testing.assert_allclose(curve, [[0.0, 10.0], [0.5, 0.0], [1.0, -5.0]], atol=1e-9)


def test_sensitivity_to_names_has_no_line(tmp_path: Path) -> None:
    entries = {
        "st_prune": ("st_prune", OPTIONS),
        "no_tail": ("st_prune", {**OPTIONS, "annealing": "none"}),
    }
    runs = [("a", "st_prune", 0.5, 0, 2.0), ("a", "no_tail", 0.5, 0, 2.2)]
    (axes,) = build("sensitivity", _results(tmp_path, runs, entries)).figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["tail", "none"]
    points = [line.ravel().tolist() for line in _lines(axes) if len(line) == 1]
    # The changed entry, then the mark of the usual value.
    assert points == [pytest.approx([1.0, 10.0]), [0.0, 0.0]]


def test_harm_counts_each_place_once_and_spreads_over_seeds(tmp_path: Path) -> None:
    runs = [("a", "full", 0.0, seed, 2.0) for seed in (0, 1)]
    runs += [("b", "full", 0.0, seed, 4.0) for seed in (0, 1)]
    # Seed 0: 10 % and 30 % worse; seed 1: 0 % and 20 %.
    runs += [("a", "x", 0.5, 0, 2.2), ("a", "x", 0.5, 1, 2.0)]
    runs += [("b", "x", 0.5, 0, 5.2), ("b", "x", 0.5, 1, 4.8)]
    results = _results(tmp_path, runs)
    by_group = harm_by_group(results).set_index("part")
    # Nothing was observed in the least stationary tenth; the worst node is always as bad.
    assert set(by_group.index) == {"all", "incident", "worst_node"}
    assert by_group.loc["incident", "mean"] == pytest.approx((20 + 10) / 2)
    assert by_group.loc["incident", "sd"] == pytest.approx(np.std([20, 10], ddof=1))
    assert by_group.loc["worst_node", "mean"] == 0
    assert by_group.loc["all", "places"] == 2
    by_step = harm_by_step(results)
    assert by_step["part"].tolist() == [1, 2]
    assert by_step["mean"].tolist() == pytest.approx([15.0, 15.0])


def test_harm_says_where_places_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [(name, "full", 0.0, 0, 2.0) for name in ("a", "b")]
    results = _results(tmp_path, [*runs, ("a", "x", 0.5, 0, 2.2), ("b", "x", 0.5, 0, 3.0)])
    assert "fewer places" not in build("harm", results).caption
    steps = results.horizons
    shorter = steps[(steps["dataset"] == "a") | (steps["step"] == 1)]
    monkeypatch.setattr(Results, "horizons", property(lambda _: shorter))
    assert "After step 1 fewer places have steps" in build("harm", results).caption


def test_score_bands_are_means_over_seeds_as_long_as_all_of_them_train() -> None:
    rows = [(seed, epoch) for seed in (0, 1) for epoch in range(2 + seed)]
    frame = pd.DataFrame(rows, columns=["seed", "epoch"]).assign(
        dataset="a", backbone="b", pruner="x", prune_ratio=0.5
    )
    for number in (1, 3, 5, 7, 9):
        frame[f"decile_{number}"] = number + 10.0 * frame["seed"]
    means = mean_deciles(frame)
    assert means["epoch"].tolist() == [0, 1]
    assert means["decile_1"].tolist() == [6.0, 6.0]
    assert means["decile_9"].tolist() == [14.0, 14.0]


def test_figures_say_whether_they_have_something_to_show(tmp_path: Path) -> None:
    entries = {
        "random_dynamic": ("random_dynamic", {}),
        "st_prune": ("st_prune", OPTIONS),
        "no_tail": ("st_prune", {**OPTIONS, "annealing": "none"}),
    }
    runs = [("a", name, 0.5, 0, 2.0) for name in entries]
    runs.append(("a", "full", 0.0, 0, 2.0))
    shown = {"ablation", "harm", "method", "sensitivity"}
    assert shown <= set(applicable(FIGURES, _results(tmp_path / "all", runs, entries)))
    alone = _results(tmp_path / "alone", [("a", "el2n", 0.5, 0, 2.0)])
    assert shown.isdisjoint(applicable(FIGURES, alone))
