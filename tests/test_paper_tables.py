"""Every table shows numbers worked by hand and dashes for holes; ranks, escapes and formats."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import bars
from made_up_summary import Run, summary_of
from scipy import stats
from synthetic_records import cost, epochs, results_of, run_of, scores, write_experiment

from paper_figures import (
    tab_efficiency,
    tab_equivalence,
    tab_foundation,
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
from paper_figures.held_out import held_out_scores
from stprune.paper.figures import build
from stprune.paper.tables import (
    DASH,
    MINUS,
    Column,
    Table,
    escape_latex,
    format_number,
    shared_headings,
    to_cells,
    to_latex,
    to_markdown,
)
from stprune.records.run import RunRecord, Transfer
from stprune.results.labels import label
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
def test_without_full_training_nothing_is_compared_with_it(
    module: object, lacking: Results
) -> None:
    table = module.build(lacking)  # type: ignore[attr-defined]
    assert "full was not run here." in table.caption
    if module is tab_statistics:
        assert column(table, "Against full training: Δ (%)") == {DASH}
    else:
        assert table.frame.empty


@pytest.mark.parametrize("module", [tab_equivalence, tab_statistics, tab_tradeoff, tab_pairs])
def test_budgets_are_a_column_where_there_are_several(module: object, few: Results) -> None:
    summary = few.summary
    again = summary[summary["pruner"] != "full"].assign(budget="total_time")
    both = replace(few, summary=pd.concat([summary, again], ignore_index=True))
    one, two = (module.build(results) for results in (few, both))  # type: ignore[attr-defined]
    assert "Budget" not in [column.title for column in one.columns]
    assert two.columns[0].title == "Budget"


# The main table and its marks


def test_main_numbers(tmp_path: Path) -> None:
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


def test_marks_follow_the_sign_and_holms_correction() -> None:
    runs: list[Run] = [("a", "full", 0.0, seed, 2.0) for seed in SEEDS]
    runs += changed("random_dynamic", (0.0, 0.0, 0.0))
    runs += changed("better", NEARLY_10) + changed("worse", (10.0, 10.1, 9.9))
    runs += changed("unsure", (-10.0, 10.0, 1.0))
    marks = tab_main.cell_marks(summary_of(runs)).set_index("pruner").sort_index()
    assert marks["control_marks"].tolist() == ["†", None, None, None]
    assert marks["full_mark"].tolist() == ["*", None, None, "*"]
    # The least two of three p values are equal, so both are multiplied by 3.
    p = 3 * stats.ttest_1samp(NEARLY_10, 0).pvalue
    assert marks.loc["better", "random_dynamic_holm_p"] == pytest.approx(p)
    assert marks["full_fewer_epochs_holm_p"].isna().all()


# Metric rules, cost, hidden errors


def test_rules_are_the_means_of_the_seeds(tmp_path: Path) -> None:
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


def test_efficiency_numbers(tmp_path: Path) -> None:
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


def test_hidden_errors_and_time_to_accuracy(tmp_path: Path) -> None:
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
    full, quick, too_bad = rows_of(tab_groups.build(results_of(tmp_path, runs)))
    over = "Time to full accuracy"
    assert full["Test MAE: Worst node"] == quick["Test MAE: Worst node"] == "9.00 ± 1.41"
    assert full[f"{over}: Seconds"] == "88.8 ± 0.0"
    assert quick["Test MAE: Incident"] == DASH
    assert [quick[f"{over}: {title}"] for title in ("Seconds", "% of full's", "Reached")] == [
        *("40.8 ± 11.3", "45.9", "2 of 2")
    ]
    assert [too_bad[f"{over}: {title}"] for title in ("Seconds", "Reached")] == [DASH, "0 of 1"]


# Paired comparisons

PAIRED = [
    *[run_of("a", "full", 0.0, seed, 1.0) for seed in (0, 1)],
    *[run_of("a", "x", 0.5, seed, mae) for seed, mae in ((0, 2.2), (1, 1.9))],  # +10 %, -5 %
    *[run_of("a", "random_dynamic", 0.5, seed, 2.0) for seed in (0, 1)],
    run_of("b", "x", 0.5, 0, 3.0),  # a quarter below
    run_of("b", "random_dynamic", 0.5, 0, 4.0),
    run_of("b", "x", 0.9, 0, 3.0),  # no partner
]


def test_pairs_with_the_controls(tmp_path: Path) -> None:
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


def test_options_are_compared_with_the_default(tmp_path: Path) -> None:
    runs = [run_of("a", "st_prune", 0.5, seed, 4.0) for seed in (0, 1)]
    runs += [run_of("a", "changed", 0.5, seed, mae) for seed, mae in ((0, 3.0), (1, 4.0))]
    table = tab_st_prune.build(results_of(tmp_path, runs))
    shown = {row["Pruner"]: row["Against ST-Prune: Δ (%)"] for row in rows_of(table)}
    assert shown == {"Changed": f"{MINUS}12.50", "ST-Prune": DASH}


# Tests over the whole experiment


def test_too_few_seeds_have_no_verdict_and_no_number(few: Results) -> None:
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


def test_tasks_are_compared(tmp_path: Path) -> None:
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


def test_optimisers_are_compared(tmp_path: Path) -> None:
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


# Tables


def _table(values: list[float], names: list[str], group: list[str] | None = None) -> Table:
    frame = pd.DataFrame({"pruner": names, "mae": values, "sd": [0.05] * len(values)})
    frame["group"] = group or ["g"] * len(values)
    columns = (Column("pruner", "Pruner"), Column("mae", "MAE", 2, "sd", ranked=True))
    return Table("T", "C", frame, columns, ("group",))


def _ranks(table: Table) -> list[int]:
    return [row[1].rank for row in to_cells(table)]


def test_lowest_two_of_each_group_are_marked_and_full_is_not() -> None:
    names = ["full", "a", "b", "c", "a", "b"]
    table = _table([1.0, 2.0, 1.5, 1.7, 9.0, 8.0], names, ["x", "x", "x", "x", "y", "y"])
    assert _ranks(table) == [0, 0, 1, 2, 2, 1]


def test_ranks_use_full_precision_and_ties_share_one_and_holes_do_not_count() -> None:
    assert _ranks(_table([1.0001, 1.0002, 1.0003], ["a", "b", "c"])) == [1, 2, 0]
    assert _ranks(_table([1.0, 1.0, 2.0], ["a", "b", "c"])) == [1, 1, 0]
    # A single pruner wins nothing.
    assert _ranks(_table([1.0, math.nan], ["a", "b"])) == [0, 0]
    assert [row[1].text for row in to_cells(_table([1.0, math.nan], ["a", "b"]))][1] == DASH


def test_a_cell_shows_several_columns_and_words_for_a_hole() -> None:
    frame = pd.DataFrame({"low": [-1.0, math.nan], "high": [2.5, math.nan], "mark": ["†", None]})
    column = Column("low", "95 %", text="[{low:+.1f}, {high:+.1f}]", marks="mark", missing="none")
    cells = [row[0] for row in to_cells(Table("T", "C", frame, (column,)))]
    assert [(cell.text, cell.sort) for cell in cells] == [
        (f"[{MINUS}1.0, +2.5]†", -1.0),
        ("none", None),
    ]


def test_markdown_and_latex_mark_the_ranks() -> None:
    table = _table([1.0, 2.0, 3.0], ["a_b", "c|d", "e&f"])
    markdown = to_markdown(table)
    assert r"| a\_b | **1.00 ± 0.05** |" in markdown
    assert r"| c\|d | <ins>2.00 ± 0.05</ins> |" in markdown
    latex = to_latex(table, "t")
    assert r"a\_b & \textbf{1.00 $\pm$ 0.05} \\" in latex
    assert r"c|d & \underline{2.00 $\pm$ 0.05} \\" in latex
    assert r"e\&f & 3.00 $\pm$ 0.05 \\" in latex
    assert latex.count("{") == latex.count("}")
    assert r"\begin{tabular}{@{}lr@{}}" in latex
    assert escape_latex("50 % of a_b & {c} #1 $2 ~ ^ \\") == (
        r"50 \% of a\_b \& \{c\} \#1 \$2 \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


def test_numbers_read_well() -> None:
    signed = [format_number(value, 2, signed=True) for value in (-1.25, 2.0, math.nan)]
    assert signed == [f"{MINUS}1.25", "+2.00", DASH]
    assert [format_number(value, 0) for value in (12345.0, 9999.0)] == ["12,345", "9999"]
    assert [format_number(value, None) for value in (0.9, 0.0)] == ["0.9", "0"]


def test_names_read_well() -> None:
    # An entry that adds words to a known name keeps its spelling; the longest start counts.
    names = ("st_prune_unscaled", "full_fewer_epochs_x", "grandiose_rival")
    words = ["ST-Prune unscaled", "Full (fewer epochs) x", "Grandiose rival"]
    assert list(map(label, names)) == words


# The table and the figure of held-out data, against numbers worked by hand


# Pruner, prune ratio, seed, zero-shot and linear-probe MAE, total seconds.
RUNS: list[tuple[str, float, int, float, float | None, float]] = [
    ("full", 0.0, 0, 3.9, 2.0, 80.0),
    ("full", 0.0, 1, 4.1, 2.0, 120.0),
    ("st_prune", 0.5, 0, 4.4, 1.8, 50.0),
    ("st_prune", 0.5, 1, 4.4, 1.8, 60.0),
    ("random_dynamic", 0.5, 0, 5.0, None, 50.0),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    units = {
        "checksum": "d" * 64,
        "target_unit": "vehicles and miles",
        "held_out": {"far": {"target_unit": "vehicles"}},
    }
    runs = []
    for *cell, zero, probe, seconds in RUNS:
        found = Transfer(
            zero_shot=scores(zero), linear_probe=None if probe is None else scores(probe)
        )
        changes = {"backbone": "opencity", "data": units, "transfer": {"far": found}}
        runs.append(run_of("cities", *cell, 3.0, cost=cost(total_seconds=seconds), **changes))
    return results_of(tmp_path, runs)


def test_rows_are_those_worked_by_hand(results: Results) -> None:
    table = tab_foundation.build(results)
    rows = [[cell.text for cell in row] for row in to_cells(table)]
    place = f"cities|far|vehicles|{label('opencity')}"
    assert ["|".join([*row[:7], *row[8:13]]) for row in rows] == [
        f"{place}|0|Full training|2|4.00 ± 0.14|+0.0|2.00 ± 0.00|+0.0|100.0",
        f"{place}|0.5|Random (dynamic)|1|5.00|+25.0|{DASH}|{DASH}|50.0",
        f"{place}|0.5|ST-Prune|2|4.40 ± 0.00|+10.0|1.80 ± 0.00|{MINUS}10.0|55.0",
    ]
    assert "full_fewer_epochs was not run here." in table.caption


def test_the_figure_shows_the_numbers_of_the_table(results: Results) -> None:
    drawing = build("foundation", results)
    frame = held_out_scores(results)
    panels = drawing.figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["Zero-shot", "Linear probe"]
    assert panels[0].get_ylabel().endswith("MAE (vehicles)")
    for axes, score in zip(panels, ("zero_shot_mae", "linear_probe_mae"), strict=True):
        drawn = [tuple(point) for line in bars(axes) for point in line.tolist()]
        expected = frame[["total_percent", score]].dropna().itertuples(index=False, name=None)
        shown = np.array(sorted(point for point in drawn if not np.isnan(point[1])))
        assert shown == pytest.approx(np.array(sorted(expected)))
    assert "1 to 2 seeds" in drawing.caption
