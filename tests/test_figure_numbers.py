"""The figures show the numbers worked by hand: tradeoff, regimes, differences, curves, overhead."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import bars, cells, lines
from made_up_summary import curves_of, noisy_summary
from scipy import stats
from synthetic_records import cost, epochs, results_of, run_of, write_experiment

from paper_figures.fig_convergence import mean_curves
from paper_figures.fig_harm import harm
from paper_figures.fig_overhead import epoch_parts
from paper_figures.fig_sensitivity import variants
from paper_figures.tab_method_selection import against_default, applies, by_place, decisive
from stprune.paper.content import shown_pruners
from stprune.paper.draw import LOOKS
from stprune.paper.figures import build
from stprune.records.run import RunRecord
from stprune.results.summary import Results, aggregate, load_results, mean_over_places
from stprune.statistics.paired import CONTROLS
from stprune.statistics.ranks import rankings
from stprune.statistics.time_to_accuracy import times_to_goal

OPTIONS = {"annealing": "tail", "hard_share": 0.5}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("numbers")
    return load_results(write_experiment(root, backbones=("gwnet", "stid"), seeds=(0, 1, 2)).store)


def _with(results: Results, summary: pd.DataFrame) -> Results:
    return replace(results, summary=summary, aggregate=aggregate(summary))


def test_tradeoff_shows_the_aggregate_with_both_controls(results):
    first = results.aggregate[results.aggregate["backbone"] == "gwnet"]
    assert set(CONTROLS) <= set(first["pruner"])
    axes = build("tradeoff", results).figure.axes
    for panel, time in zip(axes, ("epoch_percent", "total_percent"), strict=False):
        points = np.array(sorted(map(tuple, np.concatenate(bars(panel)))))
        expected = sorted(zip(first[time], first["test_mae"], strict=True))
        assert points == pytest.approx(np.array(expected))


def _many_places(results: Results) -> Results:
    """Twelve data sets with the same numbers, six for each budget."""
    one = results.summary[results.summary["backbone"] == "stid"]
    budgets = ["epochs"] * 6 + ["total_time"] * 6
    copies = [one.assign(dataset=f"road_{at}", budget=name) for at, name in enumerate(budgets)]
    return _with(results, pd.concat(copies, ignore_index=True))


def test_many_places_are_averaged_by_budget(results):
    many = _many_places(results)
    table = many.aggregate.copy()
    ours = table["pruner"].eq("st_prune") & table["prune_ratio"].eq(0.5)
    table.loc[ours & table["budget"].eq("epochs"), "test_mae_change"] = [1, 2, 3, 4, 4, 10]
    many = replace(many, aggregate=table)
    mean = mean_over_places(many)
    assert (mean["places"] == 6).all()
    row = mean[mean["pruner"].eq("st_prune") & mean["prune_ratio"].eq(0.5)].iloc[0]
    assert row["test_mae"] == 4.0
    assert row["test_mae_sd"] == pytest.approx(np.sqrt(50 / 5))
    axes = build("tradeoff", many).figure.axes
    assert len(axes) == 4
    assert "Mean of 6 data sets with backbones, Equal total time" in axes[2].get_ylabel()
    assert row[["total_percent", "test_mae"]].tolist() in np.concatenate(bars(axes[1])).tolist()
    # A ratio that one place alone has is not part of the mean; the place is drawn below it.
    alone = table["dataset"].eq("road_4") | table["prune_ratio"].ne(0.9)
    some = replace(many, aggregate=table[alone & table["budget"].eq("epochs")])
    assert set(mean_over_places(some)["prune_ratio"]) == {0.0, 0.5}
    axes = build("tradeoff", some).figure.axes
    assert "road_4" in axes[2].get_ylabel()
    assert sum(map(len, bars(axes[3]))) > sum(map(len, bars(axes[1])))


def _maes(summary: pd.DataFrame, pruner: str, ratio: float, backbone: str) -> pd.Series:
    chosen = summary["pruner"].eq(pruner) & summary["prune_ratio"].eq(ratio)
    return summary[chosen & summary["backbone"].eq(backbone)].sort_values("seed")["test_mae"]


def test_each_cell_is_the_mean_relative_difference_over_seeds(results):
    not_run = results.summary["pruner"].eq("el2n") & results.summary["backbone"].eq("gwnet")
    first, second, _ = build("regimes", _with(results, results.summary[~not_run])).figure.axes
    labels = [text.get_text() for text in first.get_yticklabels()]
    names = ["Full (fewer epochs)", "EL2N", "InfoBatch", "Made up rival", "ST-Prune"]
    assert labels == [f"{name}, {ratio}" for ratio in (0.5, 0.9) for name in names]
    assert np.argwhere(np.ma.getmaskarray(cells(first))).tolist() == [[1, 0], [6, 0]]
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


def test_the_mark_is_holms_over_both_panels(results):
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
        groups["hour_7"] = 3 * run[4]
        return run_of(*run, test_groups=groups, config=config)

    return results_of(root, map(made, runs))


def test_the_forest_shows_mean_differences_best_entry_on_top(tmp_path):
    runs = [("a", "random_dynamic", 0.5, seed, 2.0) for seed in (0, 1)]
    runs += [("a", "worse", 0.5, 0, 2.2), ("a", "worse", 0.5, 1, 2.1)]
    runs += [("a", "better", 0.5, 0, 1.8), ("a", "better", 0.5, 1, 1.9)]
    drawing = build("ablation", _results(tmp_path, runs))
    axes = drawing.figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Better", "Worse"]
    drawn = lines(axes, LOOKS["random_dynamic"].colour)
    (better, above), (worse, below) = (line[0] for line in drawn if len(line) == 1)
    assert (better, worse) == pytest.approx((-7.5, 7.5))
    # Rows count downwards.
    assert above < below
    assert "2 seeds, 2 pairs" in drawing.caption


def test_sensitivity_is_to_one_option_at_a_time(tmp_path):
    maes = {"st_prune": 2.0, "share_0": 2.2, "share_1": 1.9, "no_tail": 2.2, "two": 9, "other": 9}
    entries = {
        "st_prune": ("st_prune", OPTIONS),
        "share_0": ("st_prune", {**OPTIONS, "hard_share": 0.0}),
        "share_1": ("st_prune", {**OPTIONS, "hard_share": 1.0}),
        "no_tail": ("st_prune", {**OPTIONS, "annealing": "none"}),
        "two": ("st_prune", {"annealing": "none", "hard_share": 1.0}),
        "other": ("infobatch", {**OPTIONS, "hard_share": 1.0}),
    }
    runs = [("a", name, 0.5, seed, mae) for name, mae in maes.items() for seed in (0, 1)]
    results = _results(tmp_path, runs, entries)
    assert variants(results).to_numpy().tolist() == [
        ["st_prune", "annealing", "no_tail", "none", "tail"],
        ["st_prune", "hard_share", "share_0", 0.0, 0.5],
        ["st_prune", "hard_share", "share_1", 1.0, 0.5],
    ]
    # Words begin with the usual one. The changed entries, then the mark of the usual value.
    for axes, words, expected in zip(
        build("sensitivity", results).figure.axes,
        (["tail", "none"], ["0.0", "0.5", "1.0"]),
        ([[1, 10], [0, 0]], [[0, 10], [2, -5], [1, 0]]),
        strict=True,
    ):
        assert [text.get_text() for text in axes.get_xticklabels()] == words
        points = [line.ravel() for line in lines(axes) if len(line) == 1]
        np.testing.assert_allclose(points, expected, atol=1e-9)


def test_harm_counts_each_place_once_and_spreads_over_seeds(tmp_path):
    runs = [("a", "full", 0.0, seed, 2.0) for seed in (0, 1)]
    runs += [("b", "full", 0.0, seed, 4.0) for seed in (0, 1)]
    # Seed 0: 10 % and 30 % worse; seed 1: 0 % and 20 %.
    runs += [("a", "x", 0.5, 0, 2.2), ("a", "x", 0.5, 1, 2.0)]
    runs += [("b", "x", 0.5, 0, 5.2), ("b", "x", 0.5, 1, 4.8)]
    results = _results(tmp_path, runs)
    by_group = harm(results).set_index("part")
    # Nothing was observed in the least stationary tenth; the worst node is always as bad.
    assert set(by_group.index) == {"all", "incident", "worst_node", "hour_7", "1", "2"}
    assert by_group.loc["incident", "mean"] == pytest.approx((20 + 10) / 2)
    assert by_group.loc["incident", "mean_sd"] == pytest.approx(np.std([20, 10], ddof=1))
    assert by_group.loc["worst_node", "mean"] == 0
    assert by_group.loc["all", "places"] == 2
    assert by_group.loc[["1", "2", "hour_7"], "mean"].tolist() == pytest.approx([15.0] * 3)
    words = [axes.get_xlabel() for axes in build("harm", results).figure.axes]
    assert words == ["Step ahead", "Hour of the day", "Part of the test set"]


def test_a_curve_is_the_mean_of_seeds_as_long_as_all_of_them_train():
    runs = (("a", "x", 0, [5.0, np.nan, 4.0, 3.0], 10.0), ("a", "x", 1, [7.0, np.nan, 2.0], 12.0))
    columns = ["epoch", "seconds", "mae", "low", "high"]
    curve = mean_curves(curves_of(*runs))[columns].to_numpy().tolist()
    assert curve == [[0, 11, 6, 5, 7], [2, 33, 3, 2, 4]]


def test_the_marker_stands_at_the_mean_time_to_the_goal(results):
    epochs = results.epochs.copy()
    epochs.loc[epochs["pruner"].eq("el2n") & epochs["seed"].eq(0), "validation_mae"] = 9.0
    times = times_to_goal(epochs).query("backbone == 'gwnet' and prune_ratio in (0, 0.5)")
    runs = times.groupby("pruner")[["seconds", "goal"]].mean()[
        times.groupby("pruner")["reached"].all()
    ]
    axes = build("convergence", replace(results, epochs=epochs)).figure.axes[0]
    points = sorted(line[0].tolist() for line in lines(axes) if len(line) == 1)
    assert 1 < len(runs) < times["pruner"].nunique()
    assert points == [pytest.approx(row) for row in sorted(runs.to_numpy().tolist())]


def test_curves_beyond_eight_are_named_instead(results):
    table = results.aggregate
    assert shown_pruners(results) == (sorted(table["pruner"].unique()), [])
    one = table[table["pruner"] == "el2n"]
    copies = [one.assign(pruner=f"rival_{n}", test_mae_change=float(n)) for n in range(6)]
    kept = table[~table["pruner"].isin(["infobatch", "el2n", "made_up_rival"])]
    table = pd.concat([kept, *copies])
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


def test_parts_are_in_percent_of_full_trainings_epoch_where_it_was_run(tmp_path):
    spent, relative = epoch_parts(_timed(tmp_path / "all", ("a", "b")))
    assert relative
    row = spent.set_index("pruner").loc["st_prune"] / 100
    # A full epoch takes 10 + 1 + 0.1 s.
    assert row["scoring_seconds"] == pytest.approx(0.03 * 4 / 11.1)
    assert row["validation_seconds"] == pytest.approx(1 / 11.1)
    assert row["epoch_seconds"] == pytest.approx(4 / 11.1)
    # 0.3 of a full epoch's work of 10 s, and its own overhead.
    assert row["expected_epoch_seconds"] == pytest.approx(3.2 / 11.1)
    spent, relative = epoch_parts(_timed(tmp_path / "some", ("a",)))
    assert not relative
    assert spent.set_index("pruner").loc["st_prune", "step_seconds"] == pytest.approx(0.85 * 4)


def test_scales_are_entries_of_one_component_that_differ_in_parameters(tmp_path):
    # Entry, component, parameters; then pruner, prune ratio, seed, test MAE, total seconds.
    mini, base = ("mini", "opencity", 1_670_000), ("base", "opencity", 4_720_000)
    runs = []
    for (entry, component, parameters), *cell, seconds in (
        (mini, "full", 0.0, 0, 3.0, 100.0),
        (mini, "full", 0.0, 1, 3.2, 100.0),
        (base, "full", 0.0, 0, 2.8, 300.0),
        (mini, "st_prune", 0.5, 0, 3.1, 55.0),
        (base, "st_prune", 0.5, 0, 2.9, 160.0),
        (mini, "st_prune", 0.9, 0, 3.6, 20.0),
        (("alone", "stid", 9_999), "full", 0.0, 0, 5.0, 10.0),
    ):
        config = {"backbone": {"name": entry, "id": component}}
        changes = {"backbone": entry, "parameters": parameters, "config": config}
        runs.append(run_of("roads", *cell, cost=cost(total_seconds=seconds), **changes))
    left, right = build("scale", results_of(tmp_path, runs)).figure.axes
    full = ((100.0, 3.1), (300.0, 2.8))
    for axes, ours in ((left, ((55.0, 3.1), (160.0, 2.9))), (right, ((20.0, 3.6),))):
        assert {tuple(map(tuple, points.round(6))) for points in bars(axes)} == {full, ours}
        assert [text.get_text() for text in axes.texts] == ["1.67 M", "4.72 M"]
    assert right.get_title(loc="left") == "Prune ratio 0.9"


def test_the_diagram_shows_the_ranks_and_what_was_left_out(results):
    losses = {"el2n": 0.0, "infobatch": 1.0, "st_prune": 30.0, "random_dynamic": 40.0, "z": 50.0}
    made_up = noisy_summary(np.random.default_rng(1), losses, datasets=12, seeds=3, spread=0.5)
    made_up = made_up[(made_up["pruner"] != "z") | (made_up["dataset"] == "d0")]
    (axes,) = build("critical_difference", replace(results, summary=made_up)).figure.axes
    found = rankings(made_up)["epochs", 0.5]
    drawn = zip(axes.lines, lines(axes), strict=True)
    marks = [line[0, 0] for own, line in drawn if len(line) == 1 and own.get_marker() != "|"]
    assert sorted(marks) == pytest.approx(sorted(found.mean_ranks))
    words = " ".join(text.get_text() for text in axes.texts)
    assert "ST-Prune" in words
    assert f"{found.critical_difference:.2f}, 12 places" in words
    assert "left out: Z" in words


# --- The choice of ST-Prune's default


def selection_summary(results: Results) -> pd.DataFrame:
    """Two data sets, one of them in one regime only; one ratio, two seeds, STID.

    Against random windows, 10 in each cell, which fewer epochs beat only at ``a_converged``.
    """
    errors = {
        "a_short": {"random_dynamic": (9, 11), "full_fewer_epochs": (12, 12), "x": (9, 12.1)},
        "a_converged": {"random_dynamic": (10, 10), "full_fewer_epochs": (8, 8), "x": (8, 8.4)},
        "b_short": {"random_dynamic": (10, 10), "full_fewer_epochs": (10, 12), "x": (9, 9)},
    }
    row = results.summary[results.summary["pruner"] == "random_dynamic"].iloc[:1]
    row = row.assign(backbone="stid", prune_ratio=0.5)
    rows = [
        row.assign(dataset=dataset, pruner=pruner, seed=seed, test_mae=float(mae))
        for dataset, entries in errors.items()
        for pruner, pair in entries.items()
        for seed, mae in enumerate(pair)
    ]
    return pd.concat(rows, ignore_index=True)


def test_the_deciding_number_by_hand_and_with_places_missing(results):
    summary = selection_summary(results)
    table = decisive(summary).set_index("pruner")
    # x: (0 + 10) / 2 = 5, (0 + 5) / 2 = 2.5 and -10; the worst data set is a, with 3.75.
    x = table.loc["x"]
    assert x[["mean", "short", "converged"]].tolist() == pytest.approx([-2.5 / 3, -2.5, 2.5])
    assert (x["worst"], x["worst_dataset"]) == (pytest.approx(3.75), "a")
    assert (x["places"], x["pairs"]) == (3, 6)
    assert np.isnan(x["change"])
    renamed = summary.replace({"pruner": {"x": "st_prune_x", "random_dynamic": "st_prune"}})
    changed = against_default(renamed).loc["stid"]
    # Pairs (a, seed), (b, seed): the means over regimes, of (0, -20), (10, -16), -10 and -10.
    assert changed.loc["st_prune_x", "change"] == pytest.approx((-10 - 3 - 10 - 10) / 4)
    expected = stats.ttest_1samp([-10, -3, -10, -10], 0).pvalue
    assert changed.loc["st_prune_x", "p"] == pytest.approx(expected)
    assert np.isnan(changed.loc["full_fewer_epochs", "p"])
    # The better control is ahead of itself by nothing; the other is 25 % behind at a_converged.
    assert table.loc["random_dynamic", "mean"] == pytest.approx(25 / 3)
    drawing = build("method_selection", _with(results, summary))
    left, right = drawing.figure.axes
    assert left.get_title("left") == "Short training"
    assert right.get_title("left") == "Converged training"
    assert sorted(np.concatenate([line.get_xdata() for line in left.lines[1:3]])) == pytest.approx(
        sorted(by_place(summary).query("regime == 'short'")["difference"])
    )

    one = summary[summary["dataset"] == "b_short"]
    assert decisive(one).set_index("pruner").loc["x", "worst"] == pytest.approx(-10)
    assert decisive(one)["converged"].isna().all()
    assert len(build("method_selection", _with(results, one)).figure.axes) == 1
    for shown in (one.assign(dataset="b"), one[one["pruner"] != "full_fewer_epochs"]):
        assert not applies(_with(results, shown))
