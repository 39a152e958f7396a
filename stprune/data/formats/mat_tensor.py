"""A MATLAB file with a (stations, days, slots) array, and a csv of links with names on both sides.

Each day of ``series`` has the same slots, from the card's time of day on; ``graph`` has station ids
in its header and first column. The array has no ids: its stations are those of the graph in order,
without ``missing_stations``. The Hangzhou metro is published so (Chen et al., transdim).
"""

import numpy as np
from pydantic import Field
from scipy.io import loadmat

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table, read_numbers, regular_times


class Options(Published):
    """What the array is called, and which stations it leaves out."""

    key: str = Field(default="tensor", description="Name of the array in the MATLAB file.")
    missing_stations: list[str] = Field([], description="Ids without series; neighbours join.")

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`; steps are days x slots."""
        tensor = loadmat(files["series"], variable_names=[self.key])[self.key].astype(np.float64)
        stations, days, slots = tensor.shape
        graph = read_numbers(files["graph"], index=True)
        graph = graph.loc[graph.columns]
        for station in self.missing_stations:
            # Trains run through a closed station: its neighbours become each other's.
            through = np.minimum.outer(graph[station].to_numpy(), graph.loc[station].to_numpy())
            graph = np.maximum(graph, through).drop(index=station, columns=station)
        day = np.arange(days) * np.timedelta64(1, "D")
        times = np.add(day[:, None], regular_times(card, slots)).ravel()
        values = tensor.reshape(stations, -1).T
        return Table(values, graph.to_numpy(), list(graph.columns), times)
