"""A description of a data set, once it is made: what its figures, tables and files are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Description:
    """A data set described.

    Args:
        title: Of the data set.
        quantity: Name of the channel.
        unit: Of the channel.
        facts: What was looked at and the key numbers, as plain values; None for what is not
            defined.
        tables: By name of the file to be, without its suffix.
    """

    title: str
    quantity: str
    unit: str
    facts: dict[str, Any]
    tables: dict[str, pd.DataFrame]


def pairs_of(similarity: pd.DataFrame, of: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The groups of pairs that have any correlation, in the order of the table."""
    part = similarity[(similarity["of"] == of) & (similarity["count"] > 0)]
    for name, group in part.groupby("pairs", sort=False):
        yield str(name), group
