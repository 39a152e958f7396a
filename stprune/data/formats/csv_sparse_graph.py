"""A csv with one column a sensor and one row a step, and a sparse matrix of edge weights.

Roles of the files: ``series`` (with or without a first line of sensor ids: the card says how many
steps there are, so that the number of lines decides; there is no column of times) and ``graph``
(what SciPy's ``save_npz`` wrote, sensors in the order of the csv). PEMS-BAY is published so in the
STGCN repository of hazdzz, after Li et al. 2018.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from pydantic import Field
from scipy import sparse

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import StrictModel
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import (
    checked_options,
    raw_series,
    read_numbers,
    reading,
    regular_times,
)

MINUTES_FORWARD = 60


class Options(StrictModel):
    """What the rows leave out."""

    clock_forward: datetime | None = Field(
        default=None,
        description="Local time at which the clock skipped an hour, for which there are no rows.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """See :mod:`stprune.data.formats.base`; values of shape (T, N, 1).

    The hour that the clock skipped has steps without observations, so that times of day stay right.
    """
    options = checked_options(Options, card, files, ("series", "graph"))
    times = regular_times(card, card.steps)
    has_row = np.ones(card.steps, bool)
    if options.clock_forward is not None:
        at = np.datetime64(options.clock_forward.replace(tzinfo=None), "s")
        has_row = (times < at) | (times >= at + np.timedelta64(MINUTES_FORWARD, "m"))
        if (~has_row).sum() * card.step_minutes != MINUTES_FORWARD:
            raise ConfigError(
                f"options of {card.title}: the hour from `clock_forward` {at} on is not whole"
                f" within the steps from {times[0]} to {times[-1]}"
            )
    path = files["series"]
    frame = read_numbers(path)
    if len(frame) == has_row.sum() - 1:
        # The first step was taken for a header.
        frame = read_numbers(path, header=False)
    if len(frame) != has_row.sum():
        raise DataError(f"{path} has {len(frame)} rows, but the card says {has_row.sum()}")
    with reading(files["graph"], "a sparse matrix of SciPy"):
        graph = sparse.load_npz(files["graph"]).toarray()
    rows = raw_series(card, path, frame.to_numpy(), times[has_row], graph, list(frame.columns))
    values = np.zeros((card.steps, *rows.shape[1:]), np.float32)
    mask = np.zeros(values.shape, bool)
    values[has_row], mask[has_row] = rows.values, rows.mask
    return RawSeries(values, mask, times, rows.adjacency, rows.node_ids)
