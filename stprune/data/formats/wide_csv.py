"""A csv with one column a sensor and one row a step, and a dense csv of edge weights.

Roles of the files: ``series`` (the header holds the sensor ids; there is no column of times,
so start and step come from the card) and ``adjacency`` (no header, rows and columns in the
order of the sensors). An empty cell is a NaN. Los-loop is published so (Zhao et al. 2020).
"""

from __future__ import annotations

from pathlib import Path

from stprune.base.schema import StrictModel
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import (
    checked_options,
    raw_series,
    read_numbers,
    regular_times,
)


class Options(StrictModel):
    """This format has no options."""


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """See :mod:`stprune.data.formats.base`; values of shape (T, N, 1)."""
    checked_options(Options, card, files, ("series", "adjacency"))
    table = read_numbers(files["series"])
    weights = read_numbers(files["adjacency"], header=False).to_numpy()
    times = regular_times(card, len(table))
    return raw_series(card, files["series"], table.to_numpy(), times, weights, list(table.columns))
