"""One table, four faces: plain CSV, Markdown, booktabs LaTeX, and cells for the HTML report."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd

from stprune.base.files import write_text
from stprune.base.layout import ExperimentLayout
from stprune.records.store import REFERENCE
from stprune.results.labels import label, timing_mark

DASH = "–"  # noqa: RUF001, the typographic sign for "not there"
MINUS = "\N{MINUS SIGN}"
# Column with the verdicts of timings, whose marks are set after times.
TIMING = "timing"
EXTENSIONS = ("csv", "md", "tex")


class Column(NamedTuple):
    """One column of a table."""

    key: str  # Column of the table's frame.
    title: str  # Heading, with the unit.
    decimals: int | None = None  # None for text, and for numbers in their shortest form.
    spread: str = ""  # Column with the standard deviation to show after ``±``.
    ranked: bool = False  # The lowest value of a group is set in bold and the next underlined.
    signed: bool = False  # Positive numbers carry a plus.
    named: bool = False  # Ids are shown by their readable names.
    over: str = ""  # Heading that it shares with its neighbours, set above theirs.
    marks: str = ""  # Column with what to set after a number, such as ``†``, or with its timing.
    text: str = ""  # Format of the cell from its row's columns, such as ``{reached} of {seeds}``.
    missing: str = DASH  # What to show where there is no value.


@dataclass(frozen=True, eq=False)
class Table:
    """A table before it is formatted."""

    title: str
    caption: str
    frame: pd.DataFrame  # Plain values at full precision; NaN for what was not run.
    columns: tuple[Column, ...]  # What of the frame is shown, in order.
    group: tuple[str, ...] = ()  # Columns that rows must share to be ranked among each other.


class Cell(NamedTuple):
    """One formatted cell."""

    text: str  # Not yet escaped.
    rank: int = 0  # 1 for the best of its group, 2 for the second, else 0.
    sort: float | str | None = None  # What a sortable table compares; None for what was not run.


def write_table(table: Table, name: str, layout: ExperimentLayout) -> None:
    """Write ``table`` as CSV (plain values), Markdown and LaTeX, each atomically."""
    texts = (table.frame.to_csv(index=False), to_markdown(table), to_latex(table, name))
    for extension, text in zip(EXTENSIONS, texts, strict=True):
        write_text(layout.table(name, extension), text)


# For Markdown, LaTeX and the report.
@lru_cache(maxsize=64)
def to_cells(table: Table) -> list[list[Cell]]:
    """All cells, row by row."""
    rows: list[Any] = table.frame.to_dict("records")
    ranks = [
        _ranks(table, column.key) if column.ranked else [0] * len(rows) for column in table.columns
    ]
    return [
        [_cell(column, row, rank[at]) for column, rank in zip(table.columns, ranks, strict=True)]
        for at, row in enumerate(rows)
    ]


def _cell(column: Column, row: Mapping[str, Any], rank: int) -> Cell:
    value = row[column.key]
    if pd.isna(value):
        return Cell(column.missing)
    if column.text:
        text = column.text.format(**row).replace("-", MINUS)
    elif isinstance(value, str):
        text = label(value) if column.named else value
    else:
        text = format_number(value, column.decimals, column.signed)
        if column.spread and not pd.isna(row[column.spread]):
            text += f" ± {format_number(row[column.spread], column.decimals)}"
    mark = row[column.marks] if column.marks else None
    mark = timing_mark(mark) if column.marks == TIMING else mark
    return Cell(text if pd.isna(mark) else f"{text}{mark}", rank, value)


def shared_headings(table: Table) -> list[tuple[str, int]]:
    """The headings above the columns' own, each with how many it spans; empty if there is none."""
    over = [column.over for column in table.columns]
    return [(name, len(list(some))) for name, some in groupby(over)] if any(over) else []


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
    groups = _group_ids(table)
    body: list[str] = []
    for position, row in enumerate(to_cells(table)):
        if position and groups[position] != groups[position - 1]:
            body.append(r"\midrule")
        cells = [marks[cell.rank].format(escape_latex(cell.text)) for cell in row]
        body.append(" & ".join(cells) + r" \\")
    lines = [
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
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


def _ranks(table: Table, key: str) -> list[int]:
    """1 and 2 for the lowest two values of each group, at full precision; ties share a rank.

    Full training, which all others are read against, is shown but not ranked.
    """
    shown = table.frame[key]
    if "pruner" in table.frame:
        shown = shown.mask(table.frame["pruner"] == REFERENCE)
    groups = shown.groupby(_group_ids(table))
    # The best of one is no distinction.
    ranked = groups.rank(method="min").where(groups.transform("count") > 1)
    return ranked.where(ranked <= 2, 0).fillna(0).astype(int).tolist()


def _group_ids(table: Table) -> list[int]:
    return list(table.frame.groupby(list(table.group) or (lambda _: 0), sort=False).ngroup())


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text)
