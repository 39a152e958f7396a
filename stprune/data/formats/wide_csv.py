"""A csv with one column a sensor and one row a step, and a dense csv of edge weights.

Roles of the files: ``series`` (the header holds the sensor ids; there is no column of times,
so start and step come from the card) and ``adjacency`` (no header, rows and columns in the
order of the sensors). An empty cell is a NaN. Los-loop is published so (Zhao et al. 2020).
"""

from __future__ import annotations

from pathlib import Path

from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import (
    check_card,
    raw_series,
    read_numbers,
    regular_times,
)


class Options(StrictModel):
    """This format has no options."""


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read the series and its graph.

    Args:
        card: Card of a data set with one channel.
        files: Paths of the roles ``series`` and ``adjacency``.

    Returns:
        Values and mask of shape (T, N, 1).

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file cannot be read, or has a NaN where the mask policy allows none.
    """
    validate(Options, card.options, f"options of {card.title}")
    check_card(card, files, ("series", "adjacency"))
    table = read_numbers(files["series"])
    weights = read_numbers(files["adjacency"], header=False).to_numpy()
    times = regular_times(card, len(table))
    return raw_series(card, files["series"], table.to_numpy(), times, weights, list(table.columns))
