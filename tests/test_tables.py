"""Tables: what is ranked, what is escaped, what a hole looks like."""

import math

import pandas as pd

from stprune.paper.tables import (
    DASH,
    MINUS,
    Column,
    Table,
    escape_latex,
    format_number,
    to_cells,
    to_latex,
    to_markdown,
)
from stprune.results.labels import label


def _table(values: list[float], names: list[str], group: list[str] | None = None) -> Table:
    frame = pd.DataFrame({"pruner": names, "mae": values, "sd": [0.05] * len(values)})
    frame["group"] = group or ["g"] * len(values)
    columns = (Column("pruner", "Pruner"), Column("mae", "MAE", 2, "sd", ranked=True))
    return Table("T", "C", frame, columns, ("group",))


def _ranks(table: Table) -> list[int]:
    return [row[1].rank for row in to_cells(table)]


def test_lowest_two_of_each_group_are_marked_and_full_is_not():
    names = ["full", "a", "b", "c", "a", "b"]
    table = _table([1.0, 2.0, 1.5, 1.7, 9.0, 8.0], names, ["x", "x", "x", "x", "y", "y"])
    assert _ranks(table) == [0, 0, 1, 2, 2, 1]


def test_ranks_use_full_precision_and_ties_share_one_and_holes_do_not_count():
    assert _ranks(_table([1.0001, 1.0002, 1.0003], ["a", "b", "c"])) == [1, 2, 0]
    assert _ranks(_table([1.0, 1.0, 2.0], ["a", "b", "c"])) == [1, 1, 0]
    # A single pruner wins nothing.
    assert _ranks(_table([1.0, math.nan], ["a", "b"])) == [0, 0]
    assert [row[1].text for row in to_cells(_table([1.0, math.nan], ["a", "b"]))][1] == DASH


def test_a_cell_shows_several_columns_and_words_for_a_hole():
    frame = pd.DataFrame({"low": [-1.0, math.nan], "high": [2.5, math.nan], "mark": ["†", None]})
    column = Column("low", "95 %", text="[{low:+.1f}, {high:+.1f}]", marks="mark", missing="none")
    cells = [row[0] for row in to_cells(Table("T", "C", frame, (column,)))]
    assert [(cell.text, cell.sort) for cell in cells] == [
        (f"[{MINUS}1.0, +2.5]†", -1.0),
        ("none", None),
    ]


def test_markdown_and_latex_mark_the_ranks():
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


def test_numbers_read_well():
    signed = [format_number(value, 2, signed=True) for value in (-1.25, 2.0, math.nan)]
    assert signed == [f"{MINUS}1.25", "+2.00", DASH]
    assert [format_number(value, 0) for value in (12345.0, 9999.0)] == ["12,345", "9999"]
    assert [format_number(value, None) for value in (0.9, 0.0)] == ["0.9", "0"]


def test_names_read_well():
    # An entry that adds words to a known name keeps its spelling; the longest start counts.
    names = ("st_prune_unscaled", "full_fewer_epochs_x", "grandiose_rival")
    words = ["ST-Prune unscaled", "Full (fewer epochs) x", "Grandiose rival"]
    assert list(map(label, names)) == words
