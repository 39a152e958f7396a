"""The tables of statistics and the diagram of critical differences, from records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_summary import noisy_summary
from synthetic_records import write_experiment

from paper_figures import tab_equivalence, tab_reaching, tab_statistics, tab_tradeoff
from stprune.paper.figures import build
from stprune.paper.tables import DASH, Table, to_cells, to_markdown
from stprune.results.summary import Results, load_results
from stprune.statistics.ranks import rankings

TABLES = (tab_equivalence, tab_reaching, tab_statistics, tab_tradeoff)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("many")
    return load_results(
        write_experiment(
            root, backbones=("stid", "gwnet"), datasets=("a", "b"), seeds=range(5)
        ).store
    )


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load_results(write_experiment(tmp_path_factory.mktemp("few")).store)


def _column(table: Table, title: str) -> list[str]:
    at = [column.title for column in table.columns].index(title)
    return [row[at].text for row in to_cells(table)]


def test_too_few_seeds_are_said_to_be_and_given_no_number(few: Results) -> None:
    equivalence = tab_equivalence.build(few)
    assert set(_column(equivalence, "Verdict")) == {"too few"}
    for title in ("90 %", "p", "p, Holm"):
        assert set(_column(equivalence, title)) == {DASH}
    assert set(_column(tab_reaching.build(few), "Verdict")) == {DASH, "too few"}
    assert set(_column(tab_reaching.build(few), "p")) == {DASH}
    assert set(_column(tab_tradeoff.build(few), "95 %")) == {"too few"}
    whole = tab_statistics.build(few)
    assert set(_column(whole, "Verdict")) == {"too few"}
    for title in ("95 %", "t", "Wilcoxon", "Friedman"):
        assert set(_column(whole, title)) == {DASH}
    assert "Too few places" in build("critical_difference", few).caption


def test_enough_seeds_are_judged(results: Results) -> None:
    statistics = tab_statistics.build(results)
    assert set(_column(statistics, "n")) == {"20"}
    assert set(_column(statistics, "Verdict")) == {"lose"}
    assert all(re.fullmatch(r"\d+/\d+/\d+", text) for text in _column(statistics, "Full training"))
    verdicts = tab_equivalence.build(results).frame.groupby("dataset")["verdict"].agg(set)
    # Two data sets are too few to speak for others; each by itself can be judged.
    assert verdicts["all"] == {"too few"}
    assert "worse" in verdicts["a"]
    areas = tab_tradeoff.build(results)
    assert areas.frame["area"].between(0, 10).all()
    assert any("%" in text for text in _column(areas, "Front"))


def test_without_full_training_the_tables_say_so_and_stay_empty_or_dashed(tmp_path: Path) -> None:
    lacking = load_results(write_experiment(tmp_path, with_full=False).store)
    for module in TABLES:
        table = module.build(lacking)
        assert "full was not run here." in table.caption
        assert "nan" not in to_markdown(table).split("\n\n")[1]
    assert set(_column(tab_statistics.build(lacking), "Δ (%)")) == {DASH}
    assert tab_equivalence.build(lacking).frame.empty


def test_budgets_are_shown_only_where_there_are_several(few: Results) -> None:
    summary = few.summary
    again = summary[summary["pruner"] != "full"].assign(budget="total_time")
    both = replace(few, summary=pd.concat([summary, again], ignore_index=True))
    for module in (tab_equivalence, tab_statistics, tab_tradeoff):
        assert "Budget" not in [column.title for column in module.build(few).columns]
        assert "Budget" in [column.title for column in module.build(both).columns]
    assert "Total time" in build("critical_difference", both).alt


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
    assert f"critical difference {found.critical_difference:.2f}, 12 places" in words
    assert "p < 0.0005" in drawing.caption


def test_the_diagram_names_what_was_left_out(results: Results) -> None:
    losses = {"x": 1.0, "y": 2.0, "z": 3.0}
    made_up = noisy_summary(np.random.default_rng(1), losses, datasets=9, seeds=2, spread=0.5)
    gone = (made_up["pruner"] == "z") & (made_up["dataset"] != "d0")
    drawing = build("critical_difference", replace(results, summary=made_up[~gone]))
    assert "Prune ratio 0.5: left out Z." in drawing.caption
