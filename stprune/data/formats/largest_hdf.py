"""A year of flow in pandas' fixed HDF layout, a csv of sensors, and a matrix of edge weights.

Roles of the files: ``series`` (a column a sensor under its id, a row every ``source_minutes``; NaN
where nothing was observed), ``sensors`` (a csv with ``ID``, ``District`` and ``ID2``, the sensor's
row in the matrix) and ``adjacency`` (npy, all sensors of the state). LargeST is published so (Liu
et al. 2023). Its series has 7 GB and is read a piece at a time. Kaggle publishes no hashes, so
shape, times and sensors are checked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import StrictModel
from stprune.data.canonical import Block, StreamedSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import checked_options, observed, reading, regular_times
from stprune.data.pandas_hdf import open_frame

Rounding = Literal["none", "nearest"]


class Options(StrictModel):
    """Which sensors are taken, and how their steps become the card's."""

    districts: list[int] = Field(
        default_factory=list, description="Districts whose sensors are taken; none means all."
    )
    source_minutes: int = Field(default=5, ge=1, description="Minutes of a step of the file.")
    rounding: Rounding = Field(
        default="nearest",
        description="Whether a mean becomes a whole number, as the publishers make it, or stays"
        " as it is.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> StreamedSeries:
    """See :mod:`stprune.data.formats.base`; blocks of shape (t, N, 1), sensors in the csv's order.

    A value is the mean of what was observed in the steps of the file that make a step of the card.
    """
    options = checked_options(Options, card, files, ("series", "sensors", "adjacency"))
    count, rest = divmod(card.step_minutes, options.source_minutes)
    if rest:
        raise ConfigError(
            f"options of {card.title}: steps of {card.step_minutes} minutes cannot be made of"
            f" `source_minutes: {options.source_minutes}`"
        )
    with reading(files["sensors"], "a csv of sensors"):
        sensors = pd.read_csv(files["sensors"], dtype={"ID": str, "District": int, "ID2": int})
        if options.districts:
            sensors = sensors[sensors["District"].isin(options.districts)]
        node_ids, rows = list(sensors["ID"]), sensors["ID2"].to_numpy()
    if not node_ids or sensors["ID"].duplicated().any() or sensors["ID2"].duplicated().any():
        raise DataError(
            f"{files['sensors']} has no sensor in the districts {options.districts}, or one twice"
        )
    series = files["series"]
    with open_frame(series) as frame:
        step = np.timedelta64(options.source_minutes * 60, "s")
        times = np.datetime64(card.start, "s") + np.arange(card.steps * count) * step
        if not np.array_equal(frame.times(), times):
            raise DataError(
                f"{series} must have {len(times)} rows, one every {options.source_minutes} minutes"
                f" from {times[0]} on; the publishers' file of means has lost which values are"
                " missing"
            )
        columns = pd.Index(frame.names).get_indexer(pd.Index(node_ids))
        whole = np.array_equal(columns, np.arange(frame.shape[1]))
    if (columns < 0).any():
        raise DataError(f"{series} has no column of sensor {node_ids[int(np.argmin(columns))]}")
    with reading(files["adjacency"], "npy"):
        # Only the rows and columns of these sensors are read.
        graph = np.load(files["adjacency"], mmap_mode="r")[np.ix_(rows, rows)].astype(np.float32)
    np.fill_diagonal(graph, 0.0)

    def blocks() -> Iterator[Block]:
        with open_frame(series) as frame:
            for table in frame.chunks(multiple=count):
                means = step_means(table if whole else table[:, columns], count, options.rounding)
                mask = observed(means, card, lambda _: str(series))
                yield np.where(mask, means, 0.0).astype(np.float32)[:, :, None], mask[:, :, None]

    return StreamedSeries(
        shape=(card.steps, len(node_ids), 1),
        blocks=blocks,
        timestamps=regular_times(card, card.steps),
        adjacency=graph,
        node_ids=node_ids,
    )


def step_means(
    table: NDArray[np.float64], count: int, rounding: Rounding = "none"
) -> NDArray[np.float64]:
    """The mean of the observed values among each ``count`` successive rows of a (R, N) table.

    Returns:
        (R / count, N) float64, NaN where nothing was observed; ``nearest`` makes whole numbers,
        halves to the even one.
    """
    grouped = table.reshape(len(table) // count, count, table.shape[1])
    missing = np.isnan(grouped)
    number = count - missing.sum(axis=1)
    total = np.where(missing, 0.0, grouped).sum(axis=1)
    means: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, number, out=means, where=number > 0)
    return np.round(means) if rounding == "nearest" else means
