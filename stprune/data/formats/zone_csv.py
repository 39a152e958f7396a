"""One csv a quantity, with a column of times and one column a zone; exogenous columns beside it.

``channels`` of the options name the files; ``adjacency`` is a square csv of weights under a header
of zone ids; ``stations`` lists charging stations with their zone (``TAZID``) and number of chargers
(``charge_count``). UrbanEV is published so (Li et al. 2025).
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table, read_numbers


class Options(Published):
    """Where the channels come from, and in which unit the target is."""

    channels: list[str] = Field(
        min_length=1,
        description="Of each channel: the role of a csv with a column a zone, or `ROLE:COLUMN` for"
        " one column of a csv that holds for all zones, such as `weather:T`.",
    )
    scale: Literal["raw", "share_of_chargers"] = Field(
        "raw", description="The target as it stands, or over the chargers of the zone (`stations`)."
    )

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`; zones in the order of the target's file."""
        target = read_numbers(files[self.channels[card.target_channel]], index=True)
        zones = list(target.columns)
        channels = []
        for source in self.channels:
            role, city_wide, column = source.partition(":")
            frame = read_numbers(files[role], index=True)
            channels.append(frame[[column] * len(zones) if city_wide else zones].to_numpy())
        values = np.stack(channels, axis=2)
        if self.scale == "share_of_chargers":
            values[:, :, card.target_channel] /= chargers_of_zones(files["stations"], zones)
        graph = read_numbers(files["adjacency"])
        graph.index = graph.columns
        times = pd.to_datetime(target.index, format="mixed").to_numpy()
        return Table(values, graph.loc[zones, zones].to_numpy(), zones, times)


def chargers_of_zones(path: Path, zones: list[str]) -> NDArray[np.float64]:
    """(N,) number of chargers at all stations of each zone; stations elsewhere do not matter."""
    frame = pd.read_csv(path, dtype={"TAZID": str})
    counts = frame.groupby(frame["TAZID"].str.strip())["charge_count"].sum()
    chargers = counts.reindex(zones, fill_value=0).to_numpy(np.float64)
    if not (chargers > 0).all():
        raise ValueError(f"no charger in zone `{zones[int(np.argmin(chargers))]}`")
    return chargers
