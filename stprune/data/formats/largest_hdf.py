"""A year of flow in pandas' fixed HDF layout, a csv of sensors, and a matrix of edge weights.

``series`` has a column a sensor under its id and a row every five minutes, NaN where nothing was
observed; ``sensors`` is a csv with ``ID``, ``District`` and ``ID2``, the sensor's row in
``adjacency`` (npy, all sensors of the state). LargeST is published so (Liu et al. 2023). Its series
has 7 GB and is read a piece at a time. Kaggle publishes no hashes: times and sensors are checked.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import DataError
from stprune.data.canonical import Block, StreamedSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, observed, regular_times
from stprune.data.pandas_hdf import open_frame

SOURCE_MINUTES = 5


class Options(Published):
    """Which sensors are taken."""

    districts: list[int] = Field([], description="Districts whose sensors are taken; none: all.")

    def read(self, card: DatasetCard, files: Files) -> StreamedSeries:
        """See :meth:`Published.read`; blocks of shape (t, N, 1), sensors in the csv's order.

        A value is the rounded mean of what was observed in the steps of the file that make a step
        of the card, as the publishers make it.
        """
        count = card.step_minutes // SOURCE_MINUTES
        sensors = pd.read_csv(files["sensors"], dtype={"ID": str, "District": int, "ID2": int})
        if self.districts:
            sensors = sensors[sensors["District"].isin(self.districts)]
        node_ids, rows = list(sensors["ID"]), sensors["ID2"].to_numpy()
        if not node_ids or sensors["ID"].duplicated().any() or sensors["ID2"].duplicated().any():
            raise ValueError(f"no sensor in the districts {self.districts}, or one twice")
        # Only the rows and columns of these sensors are read.
        matrix = np.load(files["adjacency"], mmap_mode="r")
        graph = matrix[np.ix_(rows, rows)].astype(np.float32)
        np.fill_diagonal(graph, 0.0)
        series = files["series"]
        with open_frame(series) as frame:
            step = np.timedelta64(SOURCE_MINUTES, "m")
            times = np.datetime64(card.start, "s") + np.arange(card.steps * count) * step
            if not np.array_equal(frame.times(), times):
                wanted = f"{len(times)} rows, one every {SOURCE_MINUTES} minutes from {times[0]} on"
                means = "the publishers' file of means does not say what is missing"
                raise DataError(f"{series} must have {wanted}; {means}")
            columns = pd.Index(frame.names).get_indexer(pd.Index(node_ids))
            whole = np.array_equal(columns, np.arange(frame.shape[1]))
        if (columns < 0).any():
            raise DataError(f"{series} has no column of sensor {node_ids[int(np.argmin(columns))]}")

        def blocks() -> Iterator[Block]:
            with open_frame(series) as frame:
                for table in frame.chunks(multiple=count):
                    flow = (table if whole else table[:, columns]).reshape(-1, count, len(node_ids))
                    missing = np.isnan(flow)
                    number = count - missing.sum(axis=1)
                    total = np.where(missing, 0.0, flow).sum(axis=1)
                    means: NDArray[np.float64] = np.full(total.shape, np.nan)
                    np.divide(total, number, out=means, where=number > 0)
                    means = np.round(means)  # halves to the even one
                    mask = observed(means, card, lambda _: str(series))
                    values = np.where(mask, means, 0.0).astype(np.float32)
                    yield values[:, :, None], mask[:, :, None]

        shape, times = (card.steps, len(node_ids), 1), regular_times(card, card.steps)
        return StreamedSeries(shape, blocks, times, graph, node_ids)
