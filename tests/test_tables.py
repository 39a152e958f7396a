"""Tables: what is ranked, what is escaped, what a hole looks like."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from synthetic_records import cost, epochs, record, scores, write_experiment, write_run

from paper_figures.tab_main import build
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.tables import (
    Column,
    Table,
    escape_latex,
    format_number,
    to_cells,
    to_latex,
    to_markdown,
)
from stprune.results.labels import label
from stprune.results.summarise import summarise
from stprune.results.summary import load_results


def _table(values: list[float], names: list[str], group: list[str] | None = None) -> Table:
    frame = pd.DataFrame({"pruner": names, "mae": values, "sd": [0.05] * len(values)})
    frame["group"] = group or ["g"] * len(values)
    columns = (Column("pruner", "Pruner"), Column("mae", "MAE", 2, "sd", ranked=True))
    return Table("T", "C", frame, columns, ("group",), {"pruner": ("full",)})


def _ranks(table: Table) -> list[int]:
    return [row[1].rank for row in to_cells(table)]


def test_lowest_two_of_each_group_are_marked_and_full_is_not() -> None:
    names = ["full", "a", "b", "c", "a", "b"]
    table = _table([1.0, 2.0, 1.5, 1.7, 9.0, 8.0], names, ["x", "x", "x", "x", "y", "y"])
    assert _ranks(table) == [0, 0, 1, 2, 2, 1]


def test_ranks_use_full_precision_and_ties_share_one() -> None:
    assert _ranks(_table([1.0001, 1.0002, 1.0003], ["a", "b", "c"])) == [1, 2, 0]
    assert _ranks(_table([1.0, 1.0, 2.0], ["a", "b", "c"])) == [1, 1, 0]


def test_single_pruner_wins_nothing_and_holes_do_not_count() -> None:
    assert _ranks(_table([1.0], ["a"])) == [0]
    assert _ranks(_table([1.0, math.nan], ["a", "b"])) == [0, 0]
    assert [row[1].text for row in to_cells(_table([1.0, math.nan], ["a", "b"]))][1] == "–"  # noqa: RUF001


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


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex("50 % of a_b & {c} #1 $2 ~ ^ \\") == (
        r"50 \% of a\_b \& \{c\} \#1 \$2 \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (1.005, 1, False, "1.0"),
        (-1.25, 2, True, "\N{MINUS SIGN}1.25"),
        (2.0, 1, True, "+2.0"),
        (0.9, None, False, "0.9"),
        (0.0, None, False, "0"),
        (12345.0, 0, False, "12,345"),
        (9999.0, 0, False, "9999"),
        (math.nan, 2, False, "–"),  # noqa: RUF001
    ],
)
def test_numbers_read_well(value: float, decimals: int | None, signed: bool, text: str) -> None:
    assert format_number(value, decimals, signed) == text


def test_names_read_well() -> None:
    assert label("st_prune") == "ST-Prune"
    assert label("some_new_pruner") == "Some new pruner"


def test_main_table_shows_a_hole_where_one_backbone_lacks_a_run(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    keys = [
        RunKey("r", "stid", "full", 0, 0),
        RunKey("r", "stid", "x", 0.5, 0),
        RunKey("r", "gwnet", "full", 0, 0),
    ]
    files = [write_run(layout, record(key), epochs(8)) for key in keys]
    summarise(files, layout)
    table = build(load_results(layout.store))
    texts = {(row[1].text, row[3].text): [c.text for c in row[4:]] for row in to_cells(table)}
    assert texts["Graph WaveNet", "X"] == ["0", *["–"] * 8]  # noqa: RUF001
    assert texts["STID", "X"][:2] == ["1", "3.00"]


def test_main_table_numbers_are_those_worked_by_hand(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    full = record(RunKey("r", "stid", "full", 0, 0), test=scores(2.0))
    spent = cost(epoch_seconds=2.5, total_seconds=8.88, gradient_steps=12800)
    pruned = record(
        RunKey("r", "stid", "x", 0.75, 0),
        test=scores(2.5),
        cost=spent.model_copy(update={"realised_keep_ratio": 0.25}),
    )
    files = [write_run(layout, run, epochs(8)) for run in (full, pruned)]
    summarise(files, layout)
    row = [cell.text for cell in to_cells(build(load_results(layout.store)))[1]]
    assert row == [
        *("r", "STID", "0.75", "X", "1", "2.50", "4.00", "7.50"),
        *("+25.0", "25.0", "10.0", "12,800", "0.250"),
    ]


def test_main_caption_states_budget_and_controls(tmp_path: Path) -> None:
    results = load_results(write_experiment(tmp_path, pruners=("random_dynamic", "st_prune")).store)
    caption = build(results).caption
    assert "1 - p of the training windows" in caption
    assert "full_fewer_epochs was not run here." in caption
    assert "random_dynamic was not run here." not in caption
    assert "vehicles / 5 min (synthetic_roads)" in caption


def test_an_entry_that_adds_words_to_a_known_name_keeps_its_spelling() -> None:
    assert label("st_prune_unscaled") == "ST-Prune unscaled"
    # The longest known start counts.
    assert label("random_dynamic_no_tail") == "Random (dynamic) no tail"
    assert label("full_fewer_epochs") == "Full (fewer epochs)"
    assert label("grandiose_rival") == "Grandiose rival"
