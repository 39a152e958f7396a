"""Reads descriptions back from the files that were written of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from stprune.base.errors import DataError
from stprune.base.text import read_json_file
from stprune.describe.described import Description
from stprune.describe.write import FACTS, MASKING_FACTS

# Ids of nodes are names, also where they look like numbers.
NAMES = {"node": str, "from": str, "to": str}
NEEDED = ("dataset", "quantity", "unit", "card", "looked_at", "key_numbers")


def read_description(directory: Path) -> Description:
    """The description of one data set.

    Args:
        directory: What `stprune data describe` wrote; its figures are not needed.

    Returns:
        The description; with ``masking`` among its facts and tables if a run was analysed.

    Raises:
        DataError: If there is none, or one of another version or damaged.
    """
    path = directory / FACTS
    if not path.is_file():
        raise DataError(
            f"there is no description in {directory}; run `stprune data describe {directory.name}`"
        )
    facts = _facts(path)
    absent = [key for key in NEEDED if key not in facts]
    if absent:
        raise DataError(
            f"{path} has no `{absent[0]}`: an earlier version wrote it;"
            f" run `stprune data describe {directory.name}` again"
        )
    masking = directory / MASKING_FACTS
    if masking.is_file():
        facts["masking"] = _facts(masking)
    tables = {table.stem: _table(table) for table in sorted(directory.glob("*.csv"))}
    return Description(facts["card"]["title"], facts["quantity"], facts["unit"], facts, tables)


def read_descriptions(directory: Path) -> list[Description]:
    """The descriptions in the folders of ``directory``, in the order of the data sets' ids.

    Raises:
        DataError: If there is none, or one cannot be read.
    """
    folders = sorted(path.parent for path in directory.glob(f"*/{FACTS}"))
    if not folders:
        raise DataError(
            f"no data set is described in {directory}; run `stprune data describe ID` first"
        )
    return [read_description(folder) for folder in folders]


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = read_json_file(path)
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}); describe the data set again") from None
    if not isinstance(facts, dict):
        raise DataError(f"{path} is not a mapping; describe the data set again")
    return facts


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=NAMES)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is no table ({reason}); describe the data set again") from None
