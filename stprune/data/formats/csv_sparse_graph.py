"""A csv with one column a sensor and one row a step, and a sparse matrix of edge weights.

Roles of the files: ``series`` (with or without a first line of sensor ids: the card says how many
steps there are, so that the number of lines decides; there is no column of times) and ``graph``
(what SciPy's ``save_npz`` wrote, sensors in the order of the csv). PEMS-BAY is published so in the
STGCN repository of hazdzz, after Li et al. 2018.
"""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.csv_table import csv_rows, number_table, place, sensor_names
from stprune.data.raw_values import observed, regular_times
from stprune.data.roles import check_one_channel, check_roles
from stprune.data.sparse_npz import read_sparse_graph

ROLES = ("series", "graph")
MINUTES_FORWARD = 60


class Options(StrictModel):
    """What the rows leave out."""

    clock_forward: datetime | None = Field(
        default=None,
        description="Local time at which the clock skipped an hour, for which there are no rows.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read the series and its graph.

    Args:
        card: Card of a data set with one channel.
        files: Paths of the roles ``series`` and ``graph``.

    Returns:
        Values and mask of shape (T, N, 1). The hour that the clock skipped is there, unobserved, so
        that steps are equally long and times of day stay right; the csv has no rows for it.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format or contradicts the card.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    check_roles(card, files, ROLES)
    check_one_channel(card)
    times = regular_times(card, card.steps)
    there = _steps_with_rows(card, options, times)
    path = files["series"]
    first_line, node_ids, table = _read_series(path, int(there.sum()), card)
    mask = np.zeros((card.steps, card.nodes), bool)
    mask[there] = observed(
        table, card, lambda at: f"{path}: {place(at[0] + first_line, at[1], node_ids)}"
    )
    values = np.zeros((card.steps, card.nodes), np.float32)
    values[there] = np.where(mask[there], table, 0.0)
    return RawSeries(
        values=values[:, :, None],
        mask=mask[:, :, None],
        timestamps=times,
        adjacency=read_sparse_graph(files["graph"], card.nodes),
        node_ids=node_ids,
    )


def _steps_with_rows(
    card: DatasetCard, options: Options, times: NDArray[np.datetime64]
) -> NDArray[np.bool_]:
    """(T,) bool: which steps the csv has rows for."""
    there = np.ones(card.steps, bool)
    if options.clock_forward is not None:
        at = np.datetime64(options.clock_forward.replace(tzinfo=None), "s")
        skipped = (times >= at) & (times < at + np.timedelta64(MINUTES_FORWARD, "m"))
        if skipped.sum() * card.step_minutes != MINUTES_FORWARD:
            raise ConfigError(
                f"options of {card.title}: the hour from `clock_forward` {at} on is not whole"
                f" within the steps from {times[0]} to {times[-1]}"
            )
        there = ~skipped
    return there


def _read_series(
    path: Path, steps: int, card: DatasetCard
) -> tuple[int, list[str], NDArray[np.float64]]:
    """Line of the first step, sensor ids, and (steps, N) float64."""
    lines = _count_lines(path)
    if lines not in (steps, steps + 1):
        raise DataError(
            f"{path} has {lines} lines, but the card says {steps} steps with rows, and perhaps a"
            " line of sensor ids before them"
        )
    rows = csv_rows(path)
    head = next(rows, [])
    if len(head) != card.nodes:
        raise DataError(f"{path}: line 1 has {len(head)} columns, but the card says {card.nodes}")
    if lines == steps:
        node_ids = [str(position) for position in range(card.nodes)]
        return 1, node_ids, number_table(path, chain([head], rows), 1, node_ids)
    node_ids = sensor_names(path, head)
    return 2, node_ids, number_table(path, rows, 2, node_ids)


def _count_lines(path: Path) -> int:
    try:
        content = path.read_bytes().rstrip()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return content.count(b"\n") + 1 if content else 0
