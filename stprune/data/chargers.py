"""How many chargers a zone has, from a csv of charging stations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.csv_table import csv_rows

ZONE_COLUMN = "TAZID"
COUNT_COLUMN = "charge_count"


def chargers_of_zones(path: Path, zones: list[str]) -> NDArray[np.float64]:
    """Chargers of all stations of each zone.

    Args:
        path: The csv, one row a station, with the columns ``TAZID`` and ``charge_count``.
        zones: N zone ids. Stations of other zones do not matter.

    Returns:
        (N,) float64, whole numbers above 0.

    Raises:
        DataError: If the csv has not these columns, a count is no whole number of at least 0, or
            a zone has no charger.
    """
    rows = csv_rows(path)
    header = [name.strip() for name in next(rows, [])]
    for name in (ZONE_COLUMN, COUNT_COLUMN):
        if name not in header:
            raise DataError(f"{path} has no column `{name}`; it has {', '.join(header) or 'none'}")
    chargers = dict.fromkeys(zones, 0)
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}: line {line} has {len(row)} columns, but {len(header)} names")
        zone = row[header.index(ZONE_COLUMN)].strip()
        count = row[header.index(COUNT_COLUMN)].strip()
        if not count.isdecimal():
            raise DataError(f"{path}: line {line}: `{count}` is no number of chargers")
        if zone in chargers:
            chargers[zone] += int(count)
    for zone in zones:
        if not chargers[zone]:
            raise DataError(f"{path} has no charger in zone `{zone}`, which the series has")
    return np.array([chargers[zone] for zone in zones], np.float64)
