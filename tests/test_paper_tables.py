"""Every table of the paper shows numbers worked by hand, and dashes for what was not run."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
from made_up_summary import Run, summary_of
from scipy import stats
from synthetic_records import cost, epochs, results_of, run_of, scores, write_experiment

from paper_figures import (
    tab_efficiency,
    tab_equivalence,
    tab_groups,
    tab_main,
    tab_pairs,
    tab_reaching,
    tab_rules,
    tab_st_prune,
    tab_statistics,
    tab_tasks,
    tab_tradeoff,
    tab_universality,
)
from stprune.paper.tables import DASH, MINUS, Table, shared_headings, to_cells
from stprune.records.run import RunRecord
from stprune.results.summary import Results, load_results
from stprune.statistics.paired import CONTROLS

RANDOM, FEWER, FULL = "Random (dynamic)", "Full (fewer epochs)", "Full training"


def rows_of(table: Table) -> list[dict[str, str]]:
    """Cells by heading, the shared heading before it."""
    titles = [f"{column.over}: {column.title}".removeprefix(": ") for column in table.columns]
    return [dict(zip(titles, (c.text for c in row), strict=True)) for row in to_cells(table)]


def column(table: Table, title: str) -> set[str]:
    return {row[title] for row in rows_of(table)}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load_results(write_experiment(tmp_path_factory.mktemp("few")).store)


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Without full training."""
    root = tmp_path_factory.mktemp("lacking")
    return load_results(write_experiment(root, with_full=False).store)


# What all tables share


@pytest.mark.parametrize("module", [tab_equivalence, tab_reaching, tab_statistics, tab_tradeoff])
def test_without_full_training_nothing_is_compared_with_it(module, lacking):
    table = module.build(lacking)
    assert "full was not run here." in table.caption
    if module is tab_statistics:
        assert column(table, "Against full training: Δ (%)") == {DASH}
    else:
        assert table.frame.empty


@pytest.mark.parametrize("module", [tab_equivalence, tab_statistics, tab_tradeoff, tab_pairs])
def test_budgets_are_a_column_where_there_are_several(module, few):
    summary = few.summary
    again = summary[summary["pruner"] != "full"].assign(budget="total_time")
    both = replace(few, summary=pd.concat([summary, again], ignore_index=True))
    one, two = (module.build(results) for results in (few, both))
    assert "Budget" not in [column.title for column in one.columns]
    assert two.columns[0].title == "Budget"


# The main table and its marks


def test_main_numbers(tmp_path):
    spent = cost(
        epoch_seconds=2.5, total_seconds=8.88, gradient_steps=12800, realised_keep_ratio=0.25
    )
    runs = [
        run_of("r", "full", 0, 0, 2.0),
        run_of("r", "x", 0.75, 0, 2.5, cost=spent),
        run_of("r", "full", 0, 0, 2.0, backbone="gwnet"),
    ]
    table = tab_main.build(results_of(tmp_path, runs))
    assert shared_headings(table) == []
    rows = {(row[1].text, row[3].text): [c.text for c in row[4:]] for row in to_cells(table)}
    assert rows["STID", "X"] == [
        *("1", "2.50", "4.00", "7.50", "+25.0", "25.0", "10.0", "12,800", "0.250")
    ]
    assert rows["Graph WaveNet", "X"] == ["0", *[DASH] * 8]
    for words in (*(f"{name} was not run here." for name in CONTROLS), "vehicles / 5 min (r)"):
        assert words in table.caption


SEEDS = range(3)
# Percent below the control, by seed.
NEARLY_10 = (-10.0, -10.1, -9.9)


def changed(pruner: str, changes: tuple[float, ...], level: float = 2.0) -> list[Run]:
    return [
        ("a", pruner, 0.5, seed, level * (1 + change / 100)) for seed, change in enumerate(changes)
    ]


def test_marks_follow_the_sign_and_holms_correction():
    runs: list[Run] = [("a", "full", 0.0, seed, 2.0) for seed in SEEDS]
    runs += changed("random_dynamic", (0.0, 0.0, 0.0))
    runs += changed("better", NEARLY_10) + changed("worse", (10.0, 10.1, 9.9))
    runs += changed("unsure", (-10.0, 10.0, 1.0))
    marks = tab_main.cell_marks(summary_of(runs)).set_index("pruner").drop("full").sort_index()
    assert marks["control_marks"].tolist() == ["†", None, None, None]
    assert marks["full_mark"].tolist() == ["*", None, None, "*"]
    # The least two of three p values are equal, so both are multiplied by 3.
    p = 3 * stats.ttest_1samp(NEARLY_10, 0).pvalue
    assert marks.loc["better", "random_dynamic_holm_p"] == pytest.approx(p)
    assert marks["full_fewer_epochs_holm_p"].isna().all()


# Metric rules, cost, hidden errors


def test_rules_are_the_means_of_the_seeds(tmp_path):
    rules = [(mae, {"paper": scores(mae), "st_ttc": scores(10 * mae)}) for mae in (2.0, 3.0)]
    runs = [
        run_of("r", "full", 0, seed, mae, scores_by_rule=by_rule)
        for seed, (mae, by_rule) in enumerate(rules)
    ]
    table = tab_rules.build(results_of(tmp_path, runs))
    (row,) = rows_of(table)
    names = ("Ours: MAE", "ST-TTC: MAE", "ST-TTC: RMSE", "ST-TTC: MAPE (%)", "LargeST: MAE")
    assert [row[name] for name in names] == ["2.50", "25.00", "40.00", "75.00", DASH]
    assert table.frame["st_ttc_mae_sd"].item() == pytest.approx(10 * 0.5**0.5)


def test_efficiency_numbers(tmp_path):
    shared = {"overhead_seconds": 0.5, "peak_memory_bytes": 2 * 10**9, "realised_keep_ratio": 0.5}
    slow = cost(epoch_seconds=5.0, total_seconds=60.0, processor_joules=3000.0, **shared)
    fast = cost(epoch_seconds=4.0, total_seconds=40.0, processor_joules=1000.0, **shared)
    runs = [run_of("a", "full", 0, 0, 3.0), run_of("a", "st_prune", 0.5, 0, 3.0, cost=slow)]
    runs.append(run_of("a", "st_prune", 0.5, 1, 3.0, cost=fast))
    table = tab_efficiency.build(results_of(tmp_path, runs))
    row = table.frame.set_index("pruner").loc["st_prune"]
    # Full training's epoch takes 10 s, and its whole run 88.8 s; overheads are 0.5 of 5 and of 4 s.
    expected = {
        **{"epoch_seconds": 4.5, "epoch_seconds_sd": 0.5**0.5, "epoch_percent": 45.0},
        **{"total_percent": 100 * 50 / 88.8, "overhead_percent": (10 + 12.5) / 2},
        **{"peak_megabytes": 2000.0, "processor_kilojoules": 2.0},
    }
    assert row[list(expected)].to_dict() == pytest.approx(expected)
    energy = [column.key for column in table.columns].index("device_kilojoules")
    assert {cells[energy].text for cells in to_cells(table)} == {DASH}


def test_hidden_errors_and_time_to_accuracy(tmp_path):
    quiet = {"incident": None, "least_stationary": 5.0, "worst_node": 8.0}
    louder = {**quiet, "worst_node": 10.0}
    runs = [
        (run_of("r", "full", 0, seed, 3.0, test_groups=groups), epochs(8))
        for seed, groups in enumerate((quiet, louder))
    ]
    # Eight epochs of 3 + 1.1 and of 5 + 1.1 seconds: 32.8 and 48.8, of full's 88.8.
    runs += [
        (run_of("r", "quick", 0.5, seed, 3.0, test_groups=groups), epochs(8, seconds))
        for seed, (groups, seconds) in enumerate(((quiet, 3), (louder, 5)))
    ]
    runs.append((run_of("r", "too_bad", 0.5, 0, 3.0), epochs(8, 3, 0.5)))
    results = results_of(tmp_path, runs)
    full, quick, _ = rows_of(tab_groups.build(results))
    assert full["Test MAE: Worst node"] == quick["Test MAE: Worst node"] == "9.00 ± 1.41"
    assert quick["Test MAE: Incident"] == DASH
    rows = results.aggregate
    assert rows["pruner"].tolist() == ["full", "quick", "too_bad"]


# Paired comparisons

PAIRED = [
    *[run_of("a", "full", 0.0, seed, 1.0) for seed in (0, 1)],
    *[run_of("a", "x", 0.5, seed, mae) for seed, mae in ((0, 2.2), (1, 1.9))],  # +10 %, -5 %
    *[run_of("a", "random_dynamic", 0.5, seed, 2.0) for seed in (0, 1)],
    run_of("b", "x", 0.5, 0, 3.0),  # a quarter below
    run_of("b", "random_dynamic", 0.5, 0, 4.0),
    run_of("b", "x", 0.9, 0, 3.0),  # no partner
]


def test_pairs_with_the_controls(tmp_path):
    table = tab_pairs.build(results_of(tmp_path, PAIRED))
    rows = rows_of(table)
    assert shared_headings(table) == [("", 2), (f"Against {RANDOM}", 6), (f"Against {FEWER}", 6)]
    assert [(row["Pruner"], row["Prune ratio"]) for row in rows] == [
        *((RANDOM, ratio) for ratio in ("all", "0.5")),
        *(("X", ratio) for ratio in ("all", "0.5", "0.9")),
    ]
    overall = {key.rpartition(": ")[2]: text for key, text in rows[2].items() if RANDOM in key}
    assert overall == {
        "Δ (%)": f"{MINUS}6.67",
        "95 %": f"[{MINUS}25.00, +10.00]",
        "p": rows[3][f"Against {RANDOM}: p"],
        "p, data sets": DASH,
        "Ahead": "1 of 2",
        "Verdict": "tie",
    }
    assert set(rows[4].values()) == {"X", "0.9", DASH}
    assert table.frame["random_dynamic_cells"].tolist()[2:4] == [3.0, 3.0]
    lacking = [text for row in rows for key, text in row.items() if f"Against {FEWER}" in key]
    assert lacking == [DASH] * (5 * 6)
    assert "full_fewer_epochs was not run here." in table.caption


def test_options_are_compared_with_the_default(tmp_path):
    runs = [run_of("a", "st_prune", 0.5, seed, 4.0) for seed in (0, 1)]
    runs += [run_of("a", "changed", 0.5, seed, mae) for seed, mae in ((0, 3.0), (1, 4.0))]
    table = tab_st_prune.build(results_of(tmp_path, runs))
    shown = {row["Pruner"]: row["Against ST-Prune: Δ (%)"] for row in rows_of(table)}
    assert shown == {"Changed": f"{MINUS}12.50", "ST-Prune": DASH}


# Tests over the whole experiment


def test_too_few_seeds_have_no_verdict_and_no_number(few):
    full = "Against full training"
    for module, verdict, numbers in (
        (tab_equivalence, "Verdict", ("90 %", "p", "p, Holm")),
        (tab_reaching, "Verdict", ("p",)),
        (tab_tradeoff, "", ("95 %",)),
        (tab_statistics, f"{full}: Verdict", (f"{full}: 95 %", f"{full}: t", "Rank: Friedman")),
    ):
        table = module.build(few)
        assert not verdict or column(table, verdict) <= {DASH, "too few"}
        assert all(column(table, title) == {DASH} for title in numbers)


# Tasks, backbones and optimisers

TASKS = {
    "r_long": ("forecast", "r", (96, 48)),
    "r_impute": ("impute", "r", (24, 24)),
    "s_impute": ("impute", "s", (24, 24)),
}
MAES = {
    "r_long": {"full": [2.0, 2.0], "x": [2.2, 1.9]},
    "r_impute": {
        "full": [2.0, 2.0],
        "x": [1.9, 1.9],
        "random_dynamic": [1.0, 2.0],
        "full_fewer_epochs": [2.0, 2.5],
    },
    "s_impute": {"full": [4.0, 4.0], "x": [3.0, 3.0]},
}


def spent(pruner: str) -> object:
    return cost(epoch_seconds=10.0 if pruner == "full" else 4.0)


def task_runs() -> Iterator[RunRecord]:
    for name, pruners in MAES.items():
        task, card, (history, horizon) = TASKS[name]
        config = {
            "dataset": {"id": card, **({} if task == "forecast" else {"task": task})},
            "training": {"history": history, "horizon": horizon},
        }
        for pruner, values in pruners.items():
            for seed, mae in enumerate(values):
                ratio = 0.0 if pruner == "full" else 0.5
                yield run_of(name, pruner, ratio, seed, mae, config=config, cost=spent(pruner))


def by_first(table: Table, count: int) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of a table by their first few cells."""
    return {tuple(list(row.values())[:count]): row for row in rows_of(table)}


DELTAS = [f"Δ (%) from: {other}" for other in (FULL, RANDOM, FEWER)]


def test_tasks_are_compared(tmp_path):
    table = tab_tasks.build(results_of(tmp_path, task_runs()))
    rows = by_first(table, 5)
    long = rows["Forecast", "r_long", "96 to 48", "0.5", "X"]
    assert [long[key] for key in ("MAE", "Time (%)", *DELTAS)] == [
        *("2.05 ± 0.21", "40", "+2.5", DASH, DASH)
    ]
    # Two equal differences leave no doubt, and Holm's correction keeps a p of 0; against the
    # controls +90 and -5, and -5 and -24.
    impute = rows["Impute", "r_impute", "24 to 24", "0.5", "X"]
    assert [impute[key] for key in DELTAS] == [f"{MINUS}5.0‡", "+42.5", f"{MINUS}14.5"]
    everywhere = rows["Impute", "all", DASH, "0.5", "X"]
    assert everywhere["MAE"] == DASH
    assert everywhere[DELTAS[0]].startswith(f"{MINUS}15.0")  # -5 twice, -25 twice
    assert rows["Impute", "r_impute", "24 to 24", "0", FULL]["MAE"] == "2.00 ± 0.00"
    assert not [key for key in rows if key[:2] == ("Forecast", "all")]
    group = (table.frame["dataset"] == "r_impute") & (table.frame["pruner"] != "full")
    chosen = table.frame[group].set_index("pruner")
    assert chosen.loc["x", ["full_pairs", "full_holm_p"]].tolist() == [2, 0.0]
    assert math.isnan(chosen.loc["random_dynamic", "random_dynamic_change"])


OPTIMISERS = {"a_adam": ("stid", "adam"), "a_muon": ("stid", "muon"), "b": ("gwnet", "sgd")}
OPTIMISED: list[tuple[str, str, str, float, int, float]] = [
    ("r", "a_adam", "full", 0.0, 0, 2.0),
    ("r", "a_adam", "x", 0.5, 0, 2.2),  # a tenth above
    ("s", "a_adam", "full", 0.0, 0, 4.0),
    ("s", "a_adam", "x", 0.5, 0, 3.0),  # a quarter below
    ("r", "a_muon", "x", 0.9, 0, 3.0),
    ("r", "b", "x", 0.5, 0, 5.0),  # no full training
]


def test_optimisers_are_compared(tmp_path):
    runs = [
        run_of(dataset, pruner, ratio, seed, mae, backbone=entry, config=config, cost=spent(pruner))
        for dataset, entry, pruner, ratio, seed, mae in OPTIMISED
        for backbone, optimiser in [OPTIMISERS[entry]]
        for config in [{"backbone": {"id": backbone, "optimisation": {"optimiser": optimiser}}}]
    ]
    rows = by_first(tab_universality.build(results_of(tmp_path, runs)), 5)
    assert list(dict.fromkeys(key[:2] for key in rows)) == [
        *(("B", "sgd"), ("A adam", "adam"), ("A muon", "muon"))
    ]
    overall = rows["A adam", "adam", "all", "0.5", "X"]
    assert (overall["MAE"], overall[DELTAS[0]]) == (DASH, f"{MINUS}7.5")  # (10 - 25) / 2
    without = rows["B", "sgd", "r", "0.5", "X"]
    assert (without["MAE"], without[DELTAS[0]]) == ("5.00", DASH)
