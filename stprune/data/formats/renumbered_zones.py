"""Zones of UrbanEV that others published under new numbers, a few zones a group.

``GROUP_QUANTITY`` is a csv with a column of times and one column a zone; ``GROUP_zones`` gives the
area and perimeter of each, in the same order, by which ``stations``, UrbanEV's own list, says which
zone it is (``TAZID``). ``distance`` is a square csv under a header of TAZIDs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table, gaussian, merge_columns, read_numbers

OUTLINE = ["area", "perimeter"]


class Options(Published):
    """Which files there are."""

    groups: list[str] = Field(min_length=1, description="Groups of zones.")
    channels: list[str] = Field(min_length=1, description="Quantity of each channel, in order.")

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`."""
        stations = pd.read_csv(files["stations"], dtype={"TAZID": str})
        known = stations[["TAZID", *OUTLINE]].drop_duplicates()
        columns: dict[str, NDArray[np.float64]] = {}
        times = read_numbers(files[f"{self.groups[0]}_{self.channels[0]}"], index=True).index
        for group in self.groups:
            zones = pd.read_csv(files[f"{group}_zones"])[OUTLINE]
            ids = zones.merge(known, how="left", on=OUTLINE, validate="many_to_one")["TAZID"]
            if ids.isna().any():
                raise ValueError(f"its zone {ids.isna().argmax() + 1} is none of `stations`")
            channels = []
            for channel in self.channels:
                frame = read_numbers(files[f"{group}_{channel}"], index=True)
                if not frame.index.equals(times):
                    raise ValueError("its times are not those of the first file")
                channels.append(frame.to_numpy())
            merge_columns(columns, list(ids), np.stack(channels, axis=2))
        node_ids = list(columns)
        square = read_numbers(files["distance"])
        # The deviation is that of all zones, so that a weight does not depend on who is here.
        weights = pd.DataFrame(gaussian(square.to_numpy()), square.columns, square.columns)
        weights = weights.loc[node_ids, node_ids]
        values = np.stack(list(columns.values()), axis=1)
        return Table(values, weights.to_numpy(), node_ids, pd.to_datetime(times).to_numpy())
