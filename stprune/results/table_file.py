"""Reads the tables that `stprune.results.summary` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from stprune.base.errors import RecordError
from stprune.results.columns import KEYS, OPTIONAL_COLUMNS, TEXT_COLUMNS
from stprune.results.table_cells import check_numbers, check_texts

ENTRY_COLUMNS = ("dataset", "backbone", "pruner")


def read_table(path: Path, columns: Sequence[str], content: TextIO | None = None) -> pd.DataFrame:
    """Read a table; digests and names are text, whatever they look like.

    Args:
        path: The file, also what messages name.
        columns: What it must have, optional ones aside: those are NaN where it lacks them.
        content: Read instead of the file.

    Raises:
        RecordError: If the file is missing, no table, or lacks a column.
    """
    try:
        frame = pd.read_csv(
            path if content is None else content,
            dtype=dict.fromkeys(TEXT_COLUMNS, "str"),
            # Only an empty field is missing: `NA` may well be somebody's name.
            keep_default_na=False,
            na_values=[""],
        )
    except FileNotFoundError:
        raise RecordError(f"there is no table {path}; summarise the experiment first") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{path} is not a readable table: {reason}") from None
    for column in set(OPTIONAL_COLUMNS) & set(columns) - set(frame.columns):
        frame[column] = np.nan
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise RecordError(f"{path} lacks the columns {missing}; summarise the experiment again")
    names = [column for column in ENTRY_COLUMNS if column in columns]
    check_texts(path, frame, [column for column in columns if column in TEXT_COLUMNS], names)
    numbers = [column for column in columns if column not in TEXT_COLUMNS]
    check_numbers(path, frame, numbers, finite=[key for key in KEYS if key in numbers])
    return frame
