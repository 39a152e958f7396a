"""The figures show the numbers worked by hand: tradeoff, regimes, differences, curves, overhead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import alone, bars, cells, lines
from made_up_summary import noisy_summary
from scipy import stats
from synthetic_records import cost, epochs, results_of, run_of, write_experiment

from paper_figures.fig_convergence import mean_curves
from paper_figures.fig_harm import harm
from paper_figures.fig_overhead import epoch_parts
from paper_figures.fig_scale import scale_points
from paper_figures.fig_sensitivity import variants
from stprune.paper.content import MOST_PLACES, shown_pruners
from stprune.paper.draw import LOOKS
from stprune.paper.figures import FIGURES, build
from stprune.paper.products import applicable
from stprune.records.run import RunRecord
from stprune.results.summary import Results, aggregate, load_results, mean_over_places
from stprune.statistics.paired import CONTROLS
from stprune.statistics.ranks import rankings

OPTIONS = {"annealing": "tail", "hard_share": 0.5}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("numbers")
    return load_results(write_experiment(root, backbones=("gwnet", "stid"), seeds=(0, 1, 2)).store)


def _with(results: Results, summary: pd.DataFrame) -> Results:
    return replace(results, summary=summary, aggregate=aggregate(summary))


def test_tradeoff_shows_the_aggregate_with_both_controls(results: Results) -> None:
    axes = build("tradeoff", results).figure.axes
    first = results.aggregate[results.aggregate["backbone"] == "gwnet"]
    for panel, time in ((axes[0], "epoch_percent"), (axes[1], "total_percent")):
        points = np.array(sorted(map(tuple, np.concatenate(bars(panel)))))
        expected = sorted(zip(first[time], first["test_mae"], strict=True))
        assert points == pytest.approx(np.array(expected))
        controls = first.loc[first["pruner"].isin(CONTROLS), "test_mae"]
        assert set(controls) <= set(points[:, 1])


def test_tradeoff_is_in_seconds_where_nothing_is_relative(tmp_path: Path) -> None:
    lean = write_experiment(tmp_path, ratios=(0.5,), seeds=(0,), with_full=False)
    results = load_results(lean.store)
    axes = build("tradeoff", results).figure.axes[0]
    assert axes.get_xlabel() == "Time (s)"
    assert "Test MAE (vehicles / 5 min)" in axes.get_ylabel()
    times = np.concatenate(bars(axes))[:, 0]
    assert sorted(times) == pytest.approx(sorted(results.aggregate["epoch_seconds"]))


def _many_places(results: Results) -> Results:
    """Twelve data sets with the same numbers, six for each budget."""
    copies = []
    for number in range(12):
        part = results.summary[results.summary["backbone"] == "stid"].copy()
        part["dataset"] = f"road_{number}"
        part["budget"] = "epochs" if number < 6 else "total_time"
        copies.append(part)
    return _with(results, pd.concat(copies, ignore_index=True))


def test_many_places_are_averaged_by_budget(results: Results) -> None:
    many = _many_places(results)
    assert len(many.aggregate.drop_duplicates(["dataset", "backbone"])) > MOST_PLACES
    table = mean_over_places(many)
    one = results.aggregate[results.aggregate["backbone"] == "stid"]
    for budget, part in table.groupby("budget"):
        merged = part.merge(one, on=["pruner", "prune_ratio"], suffixes=("", "_one"))
        assert len(merged) == len(one), budget
        np.testing.assert_allclose(merged["test_mae"], merged["test_mae_change"])
        np.testing.assert_allclose(merged["total_percent"], merged["total_percent_one"])
        np.testing.assert_allclose(part["test_mae_sd"], 0, atol=1e-12)
        assert (part["places"] == 6).all()
    drawing = build("tradeoff", many)
    assert len(drawing.figure.axes) == 4
    for axes, budget in zip(drawing.figure.axes[::2], ("epochs", "total time"), strict=True):
        name = f"Mean of 6 data sets with backbones, Equal {budget}\nChange in test MAE (%)"
        assert axes.get_ylabel() == name


def test_mean_over_places_by_hand(results: Results) -> None:
    many = _many_places(results)
    table = many.aggregate.copy()
    ours = (
        table["pruner"].eq("st_prune") & table["prune_ratio"].eq(0.5) & table["budget"].eq("epochs")
    )
    table.loc[ours, "test_mae_change"] = [1.0, 2.0, 3.0, 4.0, 4.0, 10.0]
    mean = mean_over_places(replace(many, aggregate=table))
    row = mean[mean["pruner"].eq("st_prune") & mean["prune_ratio"].eq(0.5)].iloc[0]
    assert row["test_mae"] == 4.0
    assert row["test_mae_sd"] == pytest.approx(np.sqrt(50 / 5))


def test_curves_show_what_fits_and_name_the_rest(results: Results) -> None:
    many = _many_places(results)
    epochs = results.epochs[results.epochs["backbone"] == "stid"]
    copies = [epochs.assign(dataset=f"road_{number}") for number in range(12)]
    drawing = build("convergence", replace(many, epochs=pd.concat(copies)))
    assert len(drawing.figure.axes) == 2 * MOST_PLACES
    assert "road_8 with STID, road_9 with STID" in drawing.caption


def _maes(summary: pd.DataFrame, pruner: str, ratio: float, backbone: str) -> pd.Series:
    chosen = summary["pruner"].eq(pruner) & summary["prune_ratio"].eq(ratio)
    return summary[chosen & summary["backbone"].eq(backbone)].sort_values("seed")["test_mae"]


def test_each_cell_is_the_mean_relative_difference_over_seeds(results: Results) -> None:
    first, second, _ = build("regimes", results).figure.axes
    labels = [text.get_text() for text in first.get_yticklabels()]
    names = ["Full (fewer epochs)", "EL2N", "InfoBatch", "Made up rival", "ST-Prune"]
    assert labels == [f"{name}, {ratio}" for ratio in (0.5, 0.9) for name in names]
    # The two controls are compared with each other once, in the first panel.
    assert np.ma.getmaskarray(cells(second))[[0, 5]].all()
    for axes, control in ((first, "random_dynamic"), (second, "full_fewer_epochs")):
        words = [text.get_text().rstrip("*") for text in axes.texts[-2:]]
        for column, backbone in enumerate(("gwnet", "stid")):
            ours = _maes(results.summary, "st_prune", 0.9, backbone).to_numpy()
            theirs = _maes(results.summary, control, 0.9, backbone).to_numpy()
            expected = 100 * np.mean(ours / theirs - 1)
            assert cells(axes)[-1, column] == pytest.approx(expected)
            assert float(words[column]) == pytest.approx(expected, abs=0.0501)


def test_the_mark_is_holms_over_both_panels(results: Results) -> None:
    summary = results.summary.copy()
    seed = summary["seed"]
    summary["test_mae"] = 3 + 0.1 * seed + 0.01 * (seed - 1) ** 2 * summary["backbone"].eq("stid")
    # Ahead of every control by almost the same in each seed.
    ours = summary["pruner"].eq("st_prune") & summary["prune_ratio"].eq(0.5)
    ours &= summary["backbone"].eq("gwnet")
    summary.loc[ours, "test_mae"] *= 0.9 + 1e-6 * seed
    drawing = build("regimes", _with(results, summary))
    words = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    assert [word for word in words if "*" in word] == ["-10.0*"] * 2
    # Two panels of five and four pruners at two ratios for two backbones.
    p = stats.ttest_1samp([-10, -10 + 1e-4, -10 + 2e-4], 0).pvalue
    assert 36 * p < 0.05
    assert "36 cells" in drawing.caption


def test_what_was_not_run_stays_hatched(results: Results) -> None:
    left_out = results.summary["pruner"].eq("el2n") & results.summary["backbone"].eq("gwnet")
    first = build("regimes", _with(results, results.summary[~left_out])).figure.axes[0]
    assert np.argwhere(np.ma.getmaskarray(cells(first))).tolist() == [[1, 0], [6, 0]]


def _results(
    root: Path,
    runs: list[tuple[str, str, float, int, float]],
    options: dict[str, tuple[str, dict[str, Any]]] | None = None,
) -> Results:
    """Data set, pruner, prune ratio, seed and test MAE of each run; options by entry."""

    def made(run: tuple[str, str, float, int, float]) -> RunRecord:
        name, own = (options or {}).get(run[1], (run[1], {}))
        config = {"pruner": {"name": run[1], "id": name, "options": own}}
        groups = {"incident": 2 * run[4], "least_stationary": None, "worst_node": 9.0}
        return run_of(*run, test_groups=groups, config=config)

    return results_of(root, map(made, runs))


def test_the_forest_shows_mean_differences_best_entry_on_top(tmp_path: Path) -> None:
    runs = [("a", "random_dynamic", 0.5, seed, 2.0) for seed in (0, 1)]
    runs += [("a", "worse", 0.5, 0, 2.2), ("a", "worse", 0.5, 1, 2.1)]
    runs += [("a", "better", 0.5, 0, 1.8), ("a", "better", 0.5, 1, 1.9)]
    drawing = build("ablation", _results(tmp_path, runs))
    axes = drawing.figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Better", "Worse"]
    points = alone(axes, LOOKS["random_dynamic"].colour)
    assert [x for x, _ in points] == [pytest.approx(-7.5), pytest.approx(7.5)]
    # The first row is above the second: rows count downwards.
    assert points[0][1] < points[1][1]
    assert "2 seeds, 2 pairs" in drawing.caption


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
    assert variants(results).to_numpy().tolist() == [
        ["st_prune", "hard_share", "share_0", 0.0, 0.5],
        ["st_prune", "hard_share", "share_1", 1.0, 0.5],
    ]
    (axes,) = build("sensitivity", results).figure.axes
    assert axes.get_xlabel() == "hard_share"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.0", "0.5", "1.0"]
    points = [line.ravel() for line in lines(axes) if len(line) == 1]
    np.testing.assert_allclose(points, [[0, 10], [2, -5], [1, 0]], atol=1e-9)


def test_sensitivity_to_names_begins_with_the_usual_one(tmp_path: Path) -> None:
    entries = {
        "st_prune": ("st_prune", OPTIONS),
        "no_tail": ("st_prune", {**OPTIONS, "annealing": "none"}),
    }
    runs = [("a", "st_prune", 0.5, 0, 2.0), ("a", "no_tail", 0.5, 0, 2.2)]
    (axes,) = build("sensitivity", _results(tmp_path, runs, entries)).figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["tail", "none"]
    points = [line.ravel().tolist() for line in lines(axes) if len(line) == 1]
    # The changed entry, then the mark of the usual value.
    assert points == [pytest.approx([1.0, 10.0]), [0.0, 0.0]]


def test_harm_counts_each_place_once_and_spreads_over_seeds(tmp_path: Path) -> None:
    runs = [("a", "full", 0.0, seed, 2.0) for seed in (0, 1)]
    runs += [("b", "full", 0.0, seed, 4.0) for seed in (0, 1)]
    # Seed 0: 10 % and 30 % worse; seed 1: 0 % and 20 %.
    runs += [("a", "x", 0.5, 0, 2.2), ("a", "x", 0.5, 1, 2.0)]
    runs += [("b", "x", 0.5, 0, 5.2), ("b", "x", 0.5, 1, 4.8)]
    results = _results(tmp_path, runs)
    by_group = harm(results).set_index("part")
    # Nothing was observed in the least stationary tenth; the worst node is always as bad.
    assert set(by_group.index) == {"all", "incident", "worst_node", "1", "2"}
    assert by_group.loc["incident", "mean"] == pytest.approx((20 + 10) / 2)
    assert by_group.loc["incident", "sd"] == pytest.approx(np.std([20, 10], ddof=1))
    assert by_group.loc["worst_node", "mean"] == 0
    assert by_group.loc["all", "places"] == 2
    assert by_group.loc[["1", "2"], "mean"].tolist() == pytest.approx([15.0, 15.0])


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


def _epochs(rows: list[tuple[int, int, float, float]]) -> pd.DataFrame:
    """Seed, epoch, elapsed seconds and validation MAE."""
    frame = pd.DataFrame(rows, columns=["seed", "epoch", "elapsed_seconds", "validation_mae"])
    return frame.assign(dataset="a", backbone="b", pruner="x", prune_ratio=0.5)


def test_a_curve_is_the_mean_of_seeds_as_long_as_all_of_them_train() -> None:
    first = [(0, 0, 10.0, 5.0), (0, 1, 20.0, np.nan), (0, 2, 30.0, 4.0), (0, 3, 40.0, 3.0)]
    second = [(1, 0, 12.0, 7.0), (1, 1, 26.0, np.nan), (1, 2, 34.0, 2.0)]
    curve = mean_curves(_epochs([*first, *second]))
    assert curve["epoch"].tolist() == [0, 2]
    assert curve["seconds"].tolist() == [11.0, 32.0]
    assert curve["mae"].tolist() == [6.0, 3.0]
    assert curve["low"].tolist() == [5.0, 2.0]
    assert curve["high"].tolist() == [7.0, 4.0]


def test_the_marker_stands_at_the_mean_time_to_full_training(tmp_path: Path) -> None:
    results = load_results(write_experiment(tmp_path).store)
    table = results.aggregate.set_index(["pruner", "prune_ratio"])
    axes = build("convergence", results).figure.axes[0]
    full = results.epochs[results.epochs["pruner"] == "full"]
    goal = full.groupby("epoch")["validation_mae"].mean().min()
    drawn = [np.asarray(line.get_xydata()) for line in axes.lines]
    points = [line[0].tolist() for line in drawn if len(line) == 1]
    expected = table.loc[("full", 0.0), "time_to_full_seconds"]
    # Pruned runs end above the goal, so full training's marker is the only one.
    assert points == [pytest.approx([expected, goal])]
    # The longest run, of 89 s, is less than two minutes.
    assert "(s)" in axes.get_xlabel()


def test_curves_beyond_eight_are_named_instead(results: Results) -> None:
    assert shown_pruners(results) == (sorted(results.aggregate["pruner"].unique()), [])
    copies = [
        results.aggregate.query("pruner == 'el2n'").assign(
            pruner=f"rival_{number}", test_mae_change=float(number)
        )
        for number in range(6)
    ]
    table = pd.concat(
        [results.aggregate.query("pruner not in ['infobatch', 'el2n', 'made_up_rival']"), *copies]
    )
    names, words = shown_pruners(replace(results, aggregate=table))
    always = ["full", "full_fewer_epochs", "random_dynamic", "st_prune"]
    assert names == sorted([*always, "rival_0", "rival_1", "rival_2", "rival_3"])
    assert "Rival 4, Rival 5" in words[0]


def _timed(root: Path, full_at: tuple[str, ...]) -> Results:
    """Full epochs of 10 s, of which a validation adds 1 s and a checkpoint 0.1 s; pruned of 4 s."""
    runs: list[Any] = [run_of(dataset, "full", 0.0, 0, 3.0) for dataset in full_at]
    # The first of the eight epochs is full, and not counted.
    table = [epochs(1)[0], *epochs(8, seconds=4.0, keep_ratio=0.3)[1:]]
    spent = cost(realised_keep_ratio=0.3, epoch_seconds=4.0, overhead_seconds=0.2)
    runs += [(run_of(d, "st_prune", 0.7, 0, 3.0, cost=spent), table) for d in ("a", "b")]
    return results_of(root, runs)


def test_parts_are_in_percent_of_full_trainings_epoch(tmp_path: Path) -> None:
    spent, relative = epoch_parts(_timed(tmp_path, ("a", "b")))
    assert relative
    row = spent.set_index("pruner").loc["st_prune"]
    # A full epoch takes 10 + 1 + 0.1 s.
    assert row["scoring_seconds"] == pytest.approx(100 * 0.03 * 4 / 11.1)
    assert row["validation_seconds"] == pytest.approx(100 * 1 / 11.1)
    assert row["epoch_seconds"] == pytest.approx(100 * 4 / 11.1)
    # 0.3 of a full epoch's work of 10 s, and its own overhead.
    assert row["expected_epoch_seconds"] == pytest.approx(100 * 3.2 / 11.1)


def test_without_full_training_somewhere_everything_is_in_seconds(tmp_path: Path) -> None:
    spent, relative = epoch_parts(_timed(tmp_path, ("a",)))
    assert not relative
    row = spent.set_index("pruner").loc["st_prune"]
    assert row["step_seconds"] == pytest.approx(0.85 * 4)


# Entry, component, parameters; pruner, prune ratio, seed, test MAE, total seconds.
SCALES = {
    "mini": ("opencity", 1_670_000),
    "base": ("opencity", 4_720_000),
    "alone": ("stid", 9_999),
}
RUNS: list[tuple[str, str, float, int, float, float]] = [
    ("mini", "full", 0.0, 0, 3.0, 100.0),
    ("mini", "full", 0.0, 1, 3.2, 100.0),
    ("base", "full", 0.0, 0, 2.8, 300.0),
    ("mini", "st_prune", 0.5, 0, 3.1, 55.0),
    ("base", "st_prune", 0.5, 0, 2.9, 160.0),
    ("mini", "st_prune", 0.9, 0, 3.6, 20.0),
    ("alone", "full", 0.0, 0, 5.0, 10.0),
]


@pytest.fixture
def scaled(tmp_path: Path) -> Results:
    runs = []
    for entry, *cell, seconds in RUNS:
        component, parameters = SCALES[entry]
        changes = {
            "backbone": entry,
            "cost": cost(total_seconds=seconds),
            "parameters": parameters,
            "config": {"backbone": {"name": entry, "id": component}},
        }
        runs.append(run_of("roads", *cell, **changes))  # type: ignore[arg-type]
    return results_of(tmp_path, runs)


def test_scales_are_entries_of_one_component_that_differ_in_parameters(scaled: Results) -> None:
    points = scale_points(scaled)
    found = points[["ratio", "pruner", "backbone", "test_mae", "total_seconds"]].round(9)
    full = [("full", "mini", 3.1, 100.0), ("full", "base", 2.8, 300.0)]
    assert list(found.itertuples(index=False, name=None)) == [
        *((0.5, *row) for row in full),
        (0.5, "st_prune", "mini", 3.1, 55.0),
        (0.5, "st_prune", "base", 2.9, 160.0),
        *((0.9, *row) for row in full),
        (0.9, "st_prune", "mini", 3.6, 20.0),
    ]
    assert set(points["model"]) == {"opencity"}


def test_lines_join_the_scales_and_name_them_at_full_training(scaled: Results) -> None:
    drawing = build("scale", scaled)
    left, right = drawing.figure.axes
    lines = {tuple(map(tuple, points.round(6))) for points in bars(left)}
    assert lines == {((100.0, 3.1), (300.0, 2.8)), ((55.0, 3.1), (160.0, 2.9))}
    assert [text.get_text() for text in left.texts] == ["1.67 M", "4.72 M"]
    assert left.get_ylabel().startswith("roads, OpenCity\n")
    assert right.get_title(loc="left") == "Prune ratio 0.9"


def test_the_diagram_shows_the_ranks_and_joins_what_does_not_differ(results: Results) -> None:
    losses = {"el2n": 0.0, "infobatch": 1.0, "st_prune": 30.0, "random_dynamic": 40.0}
    made_up = noisy_summary(np.random.default_rng(1), losses, datasets=12, seeds=3, spread=0.5)
    drawing = build("critical_difference", replace(results, summary=made_up))
    (axes,) = drawing.figure.axes
    found = rankings(made_up)["epochs", 0.5]
    markers = sorted(
        float(line.get_xdata()[0])
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("|", "None")
    )
    assert markers == pytest.approx(sorted(found.mean_ranks))
    words = " ".join(text.get_text() for text in axes.texts)
    assert "ST-Prune" in words
    assert f"{found.critical_difference:.2f}, 12 places" in words


def test_the_diagram_names_what_was_left_out(results: Results) -> None:
    losses = {"x": 1.0, "y": 2.0, "z": 3.0}
    made_up = noisy_summary(np.random.default_rng(1), losses, datasets=9, seeds=2, spread=0.5)
    gone = (made_up["pruner"] == "z") & (made_up["dataset"] != "d0")
    drawing = build("critical_difference", replace(results, summary=made_up[~gone]))
    assert any("left out: Z" in text.get_text() for text in drawing.figure.axes[0].texts)
