"""The table of tasks, with numbers worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from synthetic_records import cost, epochs, record, scores, write_experiment, write_run

from paper_figures import tab_tasks
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.tables import DASH, MINUS, TABLES, Table, to_cells, write_table
from stprune.results.summarise import summarise
from stprune.results.summary import Results, load_results

# Data set entry: task, card, steps of input and target.
ENTRIES = {
    "r_long": ("forecast", "r", (96, 48)),
    "r_impute": ("impute", "r", (24, 24)),
    "s_impute": ("impute", "s", (24, 24)),
}
CELLS = {"full": 0.0, "random_dynamic": 0.5, "full_fewer_epochs": 0.5, "x": 0.5}


def results_of(root: Path, maes: dict[str, dict[str, list[float]]]) -> Results:
    """By data set entry and pruner, the test MAE of each seed."""
    layout = ExperimentLayout(root)
    files = []
    for name, pruners in maes.items():
        task, card, (history, horizon) = ENTRIES[name]
        config = {
            "dataset": {"id": card, **({} if task == "forecast" else {"task": task})},
            "training": {"history": history, "horizon": horizon},
        }
        for pruner, values in pruners.items():
            for seed, mae in enumerate(values):
                run = record(
                    RunKey(name, "stid", pruner, CELLS[pruner], seed),
                    test=scores(mae),
                    config=config,
                    cost=cost(epoch_seconds=10.0 if pruner == "full" else 4.0),
                )
                files.append(write_run(layout, run, epochs(8)))
    summarise(files, layout)
    return load_results(layout.store)


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


def rows_of(table: Table) -> dict[tuple[str, ...], dict[str, str]]:
    """Cells by heading, by task, data set and pruner."""
    titles = [column.title for column in table.columns]
    rows = [dict(zip(titles, (c.text for c in row), strict=True)) for row in to_cells(table)]
    return {(row["Task"], row["Data set"], row["Pruner"]): row for row in rows}


def test_numbers_are_those_worked_by_hand(tmp_path: Path) -> None:
    rows = rows_of(tab_tasks.build(results_of(tmp_path, MAES)))
    long = rows["Forecast", "r", "X"]
    assert long["Steps"] == "96 to 48"
    assert long["Prune ratio"] == "0.5"
    assert long["MAE"] == "2.05 ± 0.21"
    assert long["Δ from Full training (%)"] == "+2.5"
    assert long["Δ from Random (dynamic) (%)"] == DASH
    assert long["Time (%)"] == "40"
    impute = rows["Impute", "r", "X"]
    # Two equal differences leave no doubt; Holm's correction keeps a p of 0.
    assert impute["Δ from Full training (%)"] == f"{MINUS}5.0‡"
    assert impute["Δ from Random (dynamic) (%)"] == "+42.5"  # +90 and -5
    assert impute["Δ from Full (fewer epochs) (%)"] == f"{MINUS}14.5"  # -5 and -24
    everywhere = rows["Impute", "all", "X"]
    assert everywhere["MAE"] == DASH
    assert everywhere["Δ from Full training (%)"].startswith(f"{MINUS}15.0")  # -5 twice, -25 twice
    assert rows["Impute", "r", "Full training"]["MAE"] == "2.00 ± 0.00"
    assert ("Forecast", "all", "X") not in rows


def test_p_is_corrected_for_all_that_are_compared_with_the_same(tmp_path: Path) -> None:
    frame = tab_tasks.build(results_of(tmp_path, MAES)).frame
    chosen = frame[(frame["task"] == "impute") & (frame["dataset"] == "r")].set_index("pruner")
    assert chosen.loc["x", "full_pairs"] == 2
    # Against full training: x, with a p of 0, and the two controls.
    assert chosen.loc["x", "full_holm_p"] == 0.0
    tested = chosen["full_p"].drop("x").dropna().sort_values()
    assert len(tested) == 2
    smaller, larger = tested.index
    assert chosen.loc[smaller, "full_holm_p"] == pytest.approx(min(1.0, 2 * tested[smaller]))
    assert chosen.loc[larger, "full_holm_p"] >= chosen.loc[smaller, "full_holm_p"]
    assert math.isnan(chosen.loc["random_dynamic", "random_dynamic_change"])


def test_an_experiment_of_one_task_says_so(tmp_path: Path) -> None:
    one = results_of(tmp_path / "one", {"s_impute": MAES["s_impute"]})
    unnamed = load_results(write_experiment(tmp_path / "unnamed").store)
    for results in (one, unnamed):
        table = tab_tasks.build(results)
        assert table.caption.startswith("All runs of this experiment do the same task")
        assert [column.title for column in table.columns] == ["Task", "Data set", "Steps"]
        assert len(table.frame) == 1


def test_it_is_written_in_every_format(tmp_path: Path) -> None:
    results = results_of(tmp_path, MAES)
    layout = ExperimentLayout(results.store.parent)
    write_table(TABLES.module("tasks").build(results), "tasks", layout)
    markdown = layout.table("tasks", "md").read_text(encoding="utf-8")
    assert "Δ from Full training (%)" in markdown
    assert "nan" not in markdown
