"""The table of metric rules shows what the records hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_records import epochs, record, scores, write_experiment, write_run

from paper_figures import tab_rules
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.tables import DASH, to_cells
from stprune.results.summarise import summarise
from stprune.results.summary import load_results


def test_scores_are_the_means_of_the_seeds_by_rule(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    files = []
    for seed, mae in enumerate((2.0, 3.0)):
        by_rule = {"paper": scores(mae), "st_ttc": scores(10 * mae)}
        run = record(RunKey("r", "stid", "full", 0.0, seed), scores_by_rule=by_rule)
        files.append(write_run(layout, run, epochs(8)))
    summarise(files, layout)
    table = tab_rules.build(load_results(layout.store))
    titles = [f"{column.over}: {column.title}".removeprefix(": ") for column in table.columns]
    (row,) = to_cells(table)
    shown = dict(zip(titles, (cell.text for cell in row), strict=True))
    assert shown["Ours: MAE"] == "2.50"
    assert shown["ST-TTC: MAE"] == "25.00"
    assert shown["ST-TTC: RMSE"] == "40.00"
    assert shown["ST-TTC: MAPE (%)"] == "75.00"
    assert shown["LargeST: MAE"] == DASH
    assert table.frame["st_ttc_mae_sd"].item() == pytest.approx(10 * 0.5**0.5)


def test_records_without_rules_are_dashes(tmp_path: Path) -> None:
    table = tab_rules.build(load_results(write_experiment(tmp_path).store))
    assert table.frame["opencity_mape"].isna().all()
    assert len(table.frame) == 13
