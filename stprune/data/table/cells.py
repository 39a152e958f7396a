"""Numbers of a user's csv: what counts as missing, and what is no number."""

from __future__ import annotations

import math

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none"})


def cell_numbers(cells: list[str], decimal: str = ".") -> list[float]:
    """The number of each cell, NaN for a missing one, infinity for what is no finite number.

    Signs between thousands are no part of a number: `1,234` could be read in two ways.

    Args:
        cells: Texts, perhaps with blanks around them.
        decimal: Decimal sign, `.` or `,`.
    """
    # Python reads 1_000 as a number, and most people's files mean something else by it.
    if decimal == "." and "_" not in "".join(cells):
        try:
            return [float(cell) for cell in cells]
        except ValueError:
            pass  # some cell is missing or wrong: each on its own
    return [_number(cell.strip(), decimal) for cell in cells]


def _number(cell: str, decimal: str) -> float:
    if cell.lower() in MISSING_WORDS:
        return math.nan
    if "_" in cell or (decimal == "," and "." in cell):
        return math.inf
    try:
        return float(cell.replace(decimal, "."))
    except ValueError:
        return math.inf
