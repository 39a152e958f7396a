"""One table, four faces: plain CSV, Markdown, booktabs LaTeX, and cells for the HTML report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

import pandas as pd

from stprune.base.files import write_text
from stprune.base.layout import ExperimentLayout
from stprune.base.registry import Registry
from stprune.results.labels import label

DASH = "–"  # noqa: RUF001, the typographic sign for "not there"
MINUS = "\N{MINUS SIGN}"
EXTENSIONS = ("csv", "md", "tex")
# A LaTeX table with more columns is set in smaller letters.
WIDE = 14

TABLES: Registry[Any] = Registry(
    kind="table", packages=("paper_figures",), contract="builtins:object", prefix="tab_"
)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        key: Column of the table's frame.
        title: Heading, with the unit.
        decimals: Digits after the point; None for text, and for numbers in their shortest form.
        spread: Column with the standard deviation to show after ``±``; empty for none.
        ranked: Whether the lowest value of a group is set in bold and the next underlined.
        signed: Whether positive numbers carry a plus.
        named: Whether ids are shown by their readable names.
        over: Heading that it shares with its neighbours, set above theirs; empty for none.
        marks: Column with what to set after a number, such as ``†``; empty for none.
    """

    key: str
    title: str
    decimals: int | None = None
    spread: str = ""
    ranked: bool = False
    signed: bool = False
    named: bool = False
    over: str = ""
    marks: str = ""


@dataclass(frozen=True)
class Table:
    """A table before it is formatted.

    Args:
        title: A few words.
        caption: What the numbers are and how they were taken.
        frame: Plain numbers at full precision, one row a line; NaN for what was not run.
        columns: What of the frame is shown, in order.
        group: Columns whose values rows must share to be ranked among each other.
        unranked: By column, values whose rows are shown but not ranked.
    """

    title: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    group: tuple[str, ...] = ()
    unranked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One formatted cell.

    Args:
        text: What is shown, not yet escaped.
        rank: 1 for the best of its group, 2 for the second, else 0.
        sort: What a sortable table compares; None for what was not run.
    """

    text: str
    rank: Literal[0, 1, 2] = 0
    sort: float | str | None = None


def write_table(table: Table, name: str, layout: ExperimentLayout) -> None:
    """Write ``table`` as CSV (plain numbers), Markdown and LaTeX, each atomically."""
    texts = (table.frame.to_csv(index=False), to_markdown(table), to_latex(table, name))
    for extension, text in zip(EXTENSIONS, texts, strict=True):
        write_text(layout.table(name, extension), text)


def to_cells(table: Table) -> list[list[Cell]]:
    """All cells, row by row."""
    columns = [_column_cells(table, column) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def shared_headings(table: Table) -> list[tuple[str, int]]:
    """The headings above the columns' own, each with how many it spans; empty if there is none."""
    if not any(column.over for column in table.columns):
        return []
    return [
        (over, len(list(some))) for over, some in groupby(column.over for column in table.columns)
    ]


def to_markdown(table: Table) -> str:
    """A Markdown table under its caption; the best in bold, the second underlined."""
    marks = {0: "{}", 1: "**{}**", 2: "<ins>{}</ins>"}
    titles = [f"{c.over}: {c.title}" if c.over else c.title for c in table.columns]
    head = [_escape_markdown(title) for title in titles]
    rule = [":--" if is_text(table, column) else "--:" for column in table.columns]
    body = [
        [marks[cell.rank].format(_escape_markdown(cell.text)) for cell in row]
        for row in to_cells(table)
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (head, rule, *body)]
    return f"**{table.title}.** {table.caption}\n\n" + "\n".join(lines) + "\n"


def to_latex(table: Table, name: str) -> str:
    """A LaTeX ``table*`` (package booktabs); groups are set apart by a rule."""
    marks = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}
    alignment = "".join("l" if is_text(table, column) else "r" for column in table.columns)
    head = " & ".join(escape_latex(column.title) for column in table.columns)
    size = r"\scriptsize" if len(table.columns) > WIDE else r"\footnotesize"
    groups = _group_ids(table)
    body: list[str] = []
    for position, row in enumerate(to_cells(table)):
        if position and groups[position] != groups[position - 1]:
            body.append(r"\midrule")
        cells = [marks[cell.rank].format(escape_latex(cell.text)) for cell in row]
        body.append(" & ".join(cells) + r" \\")
    lines = [
        r"\begin{table*}",
        rf"\centering{size}\setlength{{\tabcolsep}}{{3pt}}",
        rf"\caption{{{escape_latex(table.title)}. {escape_latex(table.caption)}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}",
        r"\toprule",
        *_latex_shared_headings(table),
        rf"{head} \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _latex_shared_headings(table: Table) -> list[str]:
    cells, rules, first = [], [], 1
    for heading, span in shared_headings(table):
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(heading)}}}")
        if heading:
            rules.append(rf"\cmidrule(lr){{{first}-{first + span - 1}}}")
        first += span
    return [" & ".join(cells) + r"\\", "".join(rules)] if cells else []


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "<": "$<$",
        ">": "$>$",
        "±": r"$\pm$",
        "Δ": r"$\Delta$",
        "\N{MULTIPLICATION SIGN}": r"$\times$",
        MINUS: "$-$",
        DASH: "--",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
    }
    return re.sub("|".join(map(re.escape, special)), lambda found: special[found[0]], text)


def format_number(value: float, decimals: int | None, signed: bool = False) -> str:
    """A number for reading: grouped thousands from 10,000, a dash for NaN."""
    if math.isnan(value):
        return DASH
    sign = "+" if signed else "-"
    grouping = "," if abs(value) >= 10_000 else ""
    form = "g" if decimals is None else f".{decimals}f"
    return f"{value:{sign}{grouping}{form}}".replace("-", MINUS)


def is_text(table: Table, column: Column) -> bool:
    """Whether a column holds words, which are aligned to the left."""
    return not pd.api.types.is_numeric_dtype(table.frame[column.key])


def _column_cells(table: Table, column: Column) -> list[Cell]:
    values = table.frame[column.key]
    if is_text(table, column):
        names = ["" if pd.isna(name) else label(name) if column.named else name for name in values]
        return [Cell(name or DASH, 0, name or None) for name in names]
    ranks = _ranks(table, column.key) if column.ranked else pd.Series(0, index=values.index)
    spread = table.frame[column.spread] if column.spread else pd.Series(math.nan, values.index)
    marks = table.frame[column.marks] if column.marks else pd.Series(None, values.index, "object")
    cells = []
    for value, deviation, rank, mark in zip(
        values.astype(float), spread, ranks, marks, strict=True
    ):
        text = format_number(value, column.decimals, column.signed)
        if not math.isnan(value) and not math.isnan(deviation):
            text += f" ± {format_number(deviation, column.decimals)}"
        text += "" if pd.isna(mark) else str(mark)
        cells.append(Cell(text, rank, None if math.isnan(value) else value))
    return cells


def _ranks(table: Table, key: str) -> pd.Series[Any]:
    """1 and 2 for the lowest two values of each group, at full precision; ties share a rank."""
    shown = table.frame[key].copy()
    for column, values in table.unranked.items():
        shown[table.frame[column].isin(values)] = math.nan
    groups = shown.groupby(_group_ids(table))
    # The best of one is no distinction.
    ranked = groups.rank(method="min").where(groups.transform("count") > 1)
    return ranked.where(ranked <= 2, 0).fillna(0).astype(int)


def _group_ids(table: Table) -> list[int]:
    if not table.group:
        return [0] * len(table.frame)
    ids: list[int] = table.frame.groupby(list(table.group), sort=False).ngroup().tolist()
    return ids


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text)
