"""The tables of the paper beside the main one: pairs with the controls, and hidden errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from synthetic_records import cost, epochs, record, scores, write_experiment, write_run

from paper_figures import tab_groups, tab_main, tab_pairs, tab_st_prune
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.tables import DASH, TABLES, Table, shared_headings, to_cells, write_table
from stprune.results.summarise import summarise
from stprune.results.summary import Results, load_results
from stprune.statistics.paired import CONTROLS

Run = tuple[str, str, float, int, float]


def _results(root: Path, runs: list[Run], budgets: dict[str, str] | None = None) -> Results:
    """Data set, pruner, prune ratio, seed and test MAE of each run."""
    layout = ExperimentLayout(root)
    files = []
    for dataset, pruner, ratio, seed, mae in runs:
        spent = cost(budget=(budgets or {}).get(dataset, "epochs"))
        run = record(RunKey(dataset, "stid", pruner, ratio, seed), test=scores(mae), cost=spent)
        files.append(write_run(layout, run, epochs(8)))
    summarise(files, layout)
    return load_results(layout.store)


def _rows(table: Table) -> list[dict[str, str]]:
    """Cells by heading, the shared heading before it."""
    titles = [f"{column.over}: {column.title}".removeprefix(": ") for column in table.columns]
    return [dict(zip(titles, (c.text for c in row), strict=True)) for row in to_cells(table)]


PAIRED: list[Run] = [
    ("a", "full", 0.0, 0, 1.0),
    ("a", "full", 0.0, 1, 1.0),
    *[("a", "x", 0.5, seed, mae) for seed, mae in ((0, 2.2), (1, 1.9))],  # 10 % above, 5 % below
    *[("a", "random_dynamic", 0.5, seed, 2.0) for seed in (0, 1)],
    ("b", "x", 0.5, 0, 3.0),  # a quarter below
    ("b", "random_dynamic", 0.5, 0, 4.0),
    ("b", "x", 0.9, 0, 3.0),  # no partner
]


def test_pairs_are_those_worked_by_hand(tmp_path: Path) -> None:
    table = tab_pairs.build(_results(tmp_path, PAIRED))
    rows = _rows(table)
    assert [(row["Pruner"], row["Prune ratio"]) for row in rows] == [
        *(("Random (dynamic)", ratio) for ratio in ("all", "0.5")),
        *(("X", ratio) for ratio in ("all", "0.5", "0.9")),
    ]
    over = "Against Random (dynamic)"
    overall = rows[2]
    assert overall[f"{over}: Δ (%)"] == "\N{MINUS SIGN}6.67"
    assert overall[f"{over}: Ahead"] == "1 of 2"
    assert overall[f"{over}: Verdict"] == "tie"
    assert overall[f"{over}: p, data sets"] == DASH
    assert overall[f"{over}: 95 %"] == "[\N{MINUS SIGN}25.00, +10.00]"
    assert rows[3][f"{over}: Δ (%)"] == overall[f"{over}: Δ (%)"]
    assert set(rows[4].values()) == {"X", "0.9", DASH}
    assert table.frame["random_dynamic_cells"].tolist()[2:4] == [3.0, 3.0]
    assert "full" not in set(table.frame["pruner"])


def test_a_control_that_was_not_run_is_said_so_and_leaves_dashes(tmp_path: Path) -> None:
    results = _results(tmp_path, PAIRED)
    for module in (tab_pairs, tab_groups, tab_main, tab_st_prune):
        caption = module.build(results).caption
        assert "full_fewer_epochs was not run here." in caption
        assert "random_dynamic was not run here." not in caption
    rows = _rows(tab_pairs.build(results))
    lacking = [text for row in rows for key, text in row.items() if key.startswith("Against Full")]
    assert len(lacking) == 5 * 6
    assert set(lacking) == {DASH}


def test_budgets_are_told_apart_only_where_there_are_several(tmp_path: Path) -> None:
    runs: list[Run] = [
        (dataset, pruner, 0.5, 0, mae)
        for dataset, ours in (("a", 1.0), ("b", 4.0))
        for pruner, mae in (("x", ours), ("random_dynamic", 2.0))
    ]
    one = tab_pairs.build(_results(tmp_path / "one", runs))
    assert "Budget" not in _rows(one)[0]
    results = _results(tmp_path / "two", runs, {"b": "total_time"})
    rows = [row for row in _rows(tab_pairs.build(results)) if row["Pruner"] == "X"]
    found = [
        (row["Budget"], row["Prune ratio"], row["Against Random (dynamic): Δ (%)"]) for row in rows
    ]
    assert found == [
        *(("Epochs", ratio, "\N{MINUS SIGN}50.00") for ratio in ("all", "0.5")),
        *(("Total time", ratio, "+100.00") for ratio in ("all", "0.5")),
    ]
    assert "epochs (a), total time (b)." in tab_main.build(results).caption


def test_both_controls_are_rows_of_every_table_and_share_a_heading(tmp_path: Path) -> None:
    results = load_results(write_experiment(tmp_path, datasets=("a", "b", "c")).store)
    for module in (tab_pairs, tab_groups, tab_main, tab_st_prune):
        assert set(CONTROLS) <= set(module.build(results).frame["pruner"])
    table = tab_pairs.build(results)
    assert shared_headings(table) == [
        ("", 2),
        ("Against Random (dynamic)", 6),
        ("Against Full (fewer epochs)", 6),
    ]
    assert shared_headings(tab_main.build(results)) == []
    assert table.frame["random_dynamic_datasets_p"].notna().any()
    layout = ExperimentLayout(results.store.parent)
    write_table(TABLES.module("pairs").build(results), "pairs", layout)
    latex = layout.table("pairs", "tex").read_text(encoding="utf-8")
    assert r"\multicolumn{6}{c}{Against Random (dynamic)}" in latex
    assert r"\cmidrule(lr){3-8}\cmidrule(lr){9-14}" in latex
    markdown = layout.table("pairs", "md").read_text(encoding="utf-8")
    assert "Against Full (fewer epochs): Verdict" in markdown


def _groups(root: Path, *runs: tuple[str, int, dict[str, Any], int]) -> list[dict[str, str]]:
    """Pruner, seed, changes to the record, and how many seconds an epoch took."""
    layout = ExperimentLayout(root)
    files = []
    for pruner, seed, changes, seconds in runs:
        key = RunKey("r", "stid", pruner, 0.0 if pruner == "full" else 0.5, seed)
        keep = 0.5 if pruner == "too_bad" else 1.0
        files.append(write_run(layout, record(key, **changes), epochs(8, seconds, keep)))
    summarise(files, layout)
    return _rows(tab_groups.build(load_results(layout.store)))


def test_hidden_errors_and_time_are_those_worked_by_hand(tmp_path: Path) -> None:
    quiet = {"incident": None, "least_stationary": 5.0, "worst_node": 8.0}
    louder = {**quiet, "worst_node": 10.0}
    full, quick, too_bad = _groups(
        tmp_path,
        ("full", 0, {"test_groups": quiet}, 10),
        ("full", 1, {"test_groups": louder}, 10),
        ("quick", 0, {"test_groups": quiet}, 3),
        ("quick", 1, {"test_groups": louder}, 5),
        ("too_bad", 0, {}, 3),
    )
    assert full["Test MAE: Worst node"] == "9.00 ± 1.41"
    assert full["Time to full accuracy: Seconds"] == "88.8 ± 0.0"
    assert quick["Test MAE: Incident"] == DASH
    assert quick["Test MAE: Worst node"] == "9.00 ± 1.41"
    # Eight epochs of 3 + 1.1 and of 5 + 1.1 seconds: 32.8 and 48.8, of full's 88.8.
    assert quick["Time to full accuracy: Seconds"] == "40.8 ± 11.3"
    assert quick["Time to full accuracy: % of full's"] == "45.9"
    assert quick["Time to full accuracy: Reached"] == "2 of 2"
    assert too_bad["Time to full accuracy: Seconds"] == DASH
    assert too_bad["Time to full accuracy: Reached"] == "0 of 1"


def test_without_full_training_nothing_is_reached_or_missed(tmp_path: Path) -> None:
    (row,) = _groups(tmp_path, ("x", 0, {}, 10))
    assert row["Test MAE: Worst node"] == "6.00"
    assert {text for key, text in row.items() if key.startswith("Time to")} == {DASH}


def test_one_seed_and_one_pair_still_make_a_table(tmp_path: Path) -> None:
    lean = load_results(
        write_experiment(tmp_path, pruners=("random_dynamic", "x"), ratios=(0.5,), seeds=(0,)).store
    )
    row = _rows(tab_pairs.build(lean))[-1]
    over = "Against Random (dynamic)"
    assert row["Pruner"] == "X"
    assert row[f"{over}: Verdict"] == "tie"
    assert {row[f"{over}: {title}"] for title in ("95 %", "p", "p, data sets")} == {DASH}
    assert not math.isnan(tab_pairs.build(lean).frame["random_dynamic_mean"].iloc[-1])


@pytest.mark.parametrize("name", ["pairs", "groups"])
def test_csv_holds_full_precision(name: str, tmp_path: Path) -> None:
    layout = write_experiment(tmp_path)
    write_table(TABLES.module(name).build(load_results(layout.store)), name, layout)
    text = layout.table(name, "csv").read_text(encoding="utf-8")
    frame = {"pairs": tab_pairs, "groups": tab_groups}[name].build(load_results(layout.store)).frame
    column = {"pairs": "random_dynamic_wilcoxon_p", "groups": "test_mae_worst_node"}[name]
    for value in frame[column].dropna():
        assert repr(float(value)) in text


def test_options_are_compared_with_the_default_by_hand(tmp_path: Path) -> None:
    runs: list[Run] = [
        *[("a", "st_prune", 0.5, seed, 4.0) for seed in (0, 1)],
        *[("a", "changed", 0.5, seed, mae) for seed, mae in ((0, 3.0), (1, 4.0))],
    ]
    rows = _rows(tab_st_prune.build(_results(tmp_path, runs)))
    changed = next(row for row in rows if row["Pruner"] == "Changed")
    assert changed["Against ST-Prune: Δ (%)"] == "\N{MINUS SIGN}12.50"
    itself = next(row for row in rows if row["Pruner"] == "ST-Prune")
    assert itself["Against ST-Prune: Δ (%)"] == DASH
    lacking = tab_st_prune.build(_results(tmp_path / "lacking", PAIRED))
    assert "st_prune was not run here." in lacking.caption
