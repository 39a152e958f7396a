"""Whether the cells of a table that was read are what its columns hold: numbers, names, text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stprune.base.errors import RecordError
from stprune.base.plain_text import CONTROL, NAME, is_formula

FIRST_LINE = 2  # below the header


def check_numbers(
    path: Path, frame: pd.DataFrame, columns: Iterable[str], *, finite: Iterable[str] = ()
) -> None:
    """See that columns hold numbers.

    Args:
        path: The file, for messages.
        frame: The table, one row a line after the header.
        columns: Those that hold numbers; an empty cell is none and may stand for NaN.
        finite: Those in which every cell is a finite number.

    Raises:
        RecordError: Naming the first cell that is none.
    """
    for column in columns:
        cells = frame[column]
        if not pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_bool_dtype(cells):
            _refuse(path, cells, pd.to_numeric(cells.astype(str), errors="coerce").isna())
    for column in finite:
        wrong = ~np.isfinite(frame[column].to_numpy(np.float64))
        if wrong.any():
            _refuse(path, frame[column], pd.Series(wrong))


def check_texts(
    path: Path, frame: pd.DataFrame, columns: Iterable[str], names: Iterable[str]
) -> None:
    """See that no text is a formula, holds control characters, or leads to another folder.

    Args:
        path: The file, for messages.
        frame: The table, one row a line after the header.
        columns: Those that hold text, an empty one included.
        names: Those of them that hold names of entries.

    Raises:
        RecordError: Naming the first cell that is none.
    """
    named = set(names)
    for column in columns:
        # A table has thousands of rows and few texts.
        for text in frame[column].unique():
            fits = is_name(text) if column in named else pd.isna(text) or _is_plain(text)
            if not fits:
                _refuse(path, frame[column], (frame[column] == text) | frame[column].isna())


def is_name(text: Any) -> bool:
    """Whether something names an entry of a configuration."""
    return isinstance(text, str) and re.fullmatch(NAME, text) is not None


def _is_plain(text: str) -> bool:
    leads_out = text.startswith("/") or ".." in text.split("/")
    return not (CONTROL.search(text) or "\n" in text or is_formula(text) or leads_out)


def _refuse(path: Path, cells: pd.Series[Any], wrong: pd.Series[bool]) -> None:
    row = int(np.argmax(wrong.to_numpy())) if wrong.any() else 0
    raise RecordError(
        f"{path}: line {row + FIRST_LINE}, column `{cells.name}` is `{cells.iloc[row]}`, which is"
        " not what such a cell holds; summarise the experiment again, or delete the run's record"
    )
