"""One csv a station, one row a step: date, hour and measurements in named columns.

Roles of the files are the names of the stations; ``NA`` or nothing is a NaN. The files have no
places, so the graph is complete with equal weights: it says nothing about the city. The PRSA data
of Beijing are published so (Zhang et al. 2017).
"""

import numpy as np
import pandas as pd
from pydantic import Field

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table


class Options(Published):
    """Which columns are the channels."""

    columns: list[str] = Field(min_length=1, description="Column of each channel, in order.")

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`; stations in the order of their names."""
        stations = sorted(files)
        frames = [
            pd.read_csv(files[station], keep_default_na=False, na_values=["NA", ""])
            for station in stations
        ]
        values = np.stack([frame[self.columns].to_numpy(np.float64) for frame in frames], axis=1)
        times = pd.to_datetime(frames[0][["year", "month", "day", "hour"]]).to_numpy()
        return Table(values, np.ones((len(stations), len(stations))), stations, times)
