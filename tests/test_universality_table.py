"""The table of backbones and optimisers, with numbers worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from synthetic_records import cost, epochs, record, scores, write_experiment, write_run

from paper_figures import tab_universality
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.tables import DASH, MINUS, TABLES, Table, to_cells, write_table
from stprune.results.summarise import summarise
from stprune.results.summary import Results, load_results

Run = tuple[str, str, str, float, int, float]

ENTRIES = {"a_adam": ("stid", "adam"), "a_muon": ("stid", "muon"), "b": ("gwnet", "sgd")}


def _results(
    root: Path, runs: list[Run], entries: dict[str, tuple[str, str]] | None = None
) -> Results:
    """Data set, backbone entry, pruner, prune ratio, seed and test MAE of each run."""
    layout = ExperimentLayout(root)
    files = []
    for dataset, entry, pruner, ratio, seed, mae in runs:
        backbone, optimiser = (entries or ENTRIES)[entry]
        config = {"backbone": {"id": backbone, "optimisation": {"optimiser": optimiser}}}
        seconds = 10.0 if pruner == "full" else 4.0
        run = record(
            RunKey(dataset, entry, pruner, ratio, seed),
            test=scores(mae),
            config=config,
            cost=cost(epoch_seconds=seconds),
        )
        files.append(write_run(layout, run, epochs(8)))
    summarise(files, layout)
    return load_results(layout.store)


def _rows(table: Table) -> dict[tuple[str, ...], dict[str, str]]:
    """Cells by heading, by backbone, optimiser and data set."""
    titles = [f"{column.over}: {column.title}".removeprefix(": ") for column in table.columns]
    rows = [dict(zip(titles, (c.text for c in row), strict=True)) for row in to_cells(table)]
    return {tuple(list(row.values())[:3]): row for row in rows}


RUNS: list[Run] = [
    *[("r", "a_adam", "full", 0.0, seed, 2.0) for seed in (0, 1)],
    ("r", "a_adam", "x", 0.5, 0, 2.2),  # a tenth above
    ("r", "a_adam", "x", 0.5, 1, 1.9),  # a twentieth below
    *[("r", "a_adam", "y", 0.5, seed, 1.9) for seed in (0, 1)],
    ("s", "a_adam", "full", 0.0, 0, 4.0),
    ("s", "a_adam", "x", 0.5, 0, 3.0),  # a quarter below
    *[("r", "a_muon", "full", 0.0, seed, 2.0) for seed in (0, 1)],
    ("r", "a_muon", "x", 0.5, 0, 1.0),
    ("r", "a_muon", "x", 0.5, 1, 1.0001),
    ("r", "a_muon", "x", 0.9, 0, 3.0),
    ("r", "b", "x", 0.5, 0, 5.0),  # no full training
]


def test_numbers_are_those_worked_by_hand(tmp_path: Path) -> None:
    table = tab_universality.build(_results(tmp_path, RUNS))
    rows = _rows(table)
    assert list(rows) == [
        (backbone, optimiser, place)
        for backbone, optimiser in (("Graph WaveNet", "SGD"), ("STID", "Adam"), ("STID", "Muon"))
        for place in ("r", "s", "all")
    ]
    adam = rows["STID", "Adam", "r"]
    assert adam["Full training: MAE"] == "2.00 ± 0.00"
    assert adam["X, 0.5: MAE"] == "2.05 ± 0.21"
    assert adam["X, 0.5: Δ (%)"] == "+2.5"
    assert adam["X, 0.5: Time (%)"] == "40"
    assert adam["Y, 0.5: MAE"] == "1.90 ± 0.00†"
    # Two equal differences leave no doubt; Holm's correction keeps a p of 0.
    assert adam["Y, 0.5: Δ (%)"] == f"{MINUS}5.0‡"
    assert adam["X, 0.9: MAE"] == DASH
    assert rows["STID", "Adam", "s"]["X, 0.5: MAE"] == "3.00"  # the best of one is no distinction
    overall = rows["STID", "Adam", "all"]
    assert overall["X, 0.5: Δ (%)"] == f"{MINUS}6.7"  # (10 - 5 - 25) / 3
    assert overall["X, 0.5: MAE"] == DASH
    without = rows["Graph WaveNet", "SGD", "r"]
    assert without["Full training: MAE"] == DASH
    assert without["X, 0.5: MAE"] == "5.00"
    assert without["X, 0.5: Δ (%)"] == DASH


def test_p_is_corrected_for_the_cells_of_its_row(tmp_path: Path) -> None:
    table = tab_universality.build(_results(tmp_path, RUNS))
    row = table.frame[(table.frame["entry"] == "a_muon") & (table.frame["dataset"] == "r")].iloc[0]
    assert row["x_0.5_pairs"] == 2
    assert row["x_0.9_pairs"] == 1
    assert math.isnan(row["x_0.9_p"])
    assert row["x_0.5_holm_p"] == pytest.approx(row["x_0.5_p"])  # one test could be made
    adam = table.frame[(table.frame["entry"] == "a_adam") & (table.frame["dataset"] == "r")].iloc[0]
    assert adam["x_0.5_holm_p"] == pytest.approx(adam["x_0.5_p"])  # the larger of two
    assert adam["y_0.5_holm_p"] == 0.0


def test_entries_that_differ_in_something_else_go_by_their_own_names(tmp_path: Path) -> None:
    entries = {"slow": ("stid", "adam"), "quick": ("stid", "adam"), "other": ("stid", "sgd")}
    runs: list[Run] = [("r", entry, "x", 0.5, 0, 1.0) for entry in entries]
    rows = _rows(tab_universality.build(_results(tmp_path, runs, entries)))
    assert [key[:2] for key in rows] == [("Quick", "Adam"), ("Slow", "Adam"), ("STID", "SGD")]


def test_without_several_optimisers_it_says_so(tmp_path: Path) -> None:
    """One optimiser a backbone, even if not the same, and records that name none."""
    one = _results(tmp_path / "one", [run for run in RUNS if run[1] != "a_muon"])
    unnamed = load_results(
        write_experiment(tmp_path / "unnamed", backbones=("stid", "gwnet")).store
    )
    for results in (one, unnamed):
        table = tab_universality.build(results)
        assert table.caption.startswith("No backbone of this experiment")
        assert [column.title for column in table.columns] == ["Backbone", "Optimiser"]
        assert len(table.frame) == 2


def test_it_is_written_in_every_format(tmp_path: Path) -> None:
    results = _results(tmp_path, RUNS)
    layout = ExperimentLayout(results.store.parent)
    write_table(TABLES.module("universality").build(results), "universality", layout)
    markdown = layout.table("universality", "md").read_text(encoding="utf-8")
    assert "X, 0.5: Δ (%)" in markdown
    assert "nan" not in markdown
    latex = layout.table("universality", "tex").read_text(encoding="utf-8")
    assert r"\multicolumn{3}{c}{Y, 0.5}" in latex
