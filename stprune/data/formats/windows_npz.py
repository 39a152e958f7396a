"""Series published as overlapping windows, several files side by side, and a graph.

``GROUP_PART`` is an npz with ``x`` (B, T, N, C) and ``y`` (B, H, N, C), whose windows begin one
step after another; the parts of a group follow each other. ``GROUP_ids`` lists its N sensors
between commas. The script of DCRNN (Li et al. 2018) writes such windows; parts of PEMS-BAY, METR-LA
and PEMS08 are published so.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.data.card import DatasetCard
from stprune.data.formats import base
from stprune.data.formats.dcrnn_hdf import read_pickled_graph


class Options(base.Published):
    """Which files there are; the graph is that of ``distances``, ``edges`` or ``graph``."""

    groups: list[str] = Field(["series"], min_length=1, description="Groups of sensors.")
    parts: list[str] = Field(
        ["train", "val", "test"], min_length=1, description="Parts of the time, in order."
    )
    ids: dict[str, list[str]] = Field({}, description="Sensors of groups without a file.")
    time_of_day: int | None = Field(None, ge=1, description="Channel with shares of the day.")

    def read(self, card: DatasetCard, files: base.Files) -> base.Table:
        """See :meth:`Published.read`; the card's channels are the first ones of the windows."""
        columns: dict[str, NDArray[np.float64]] = {}
        for group in self.groups:
            series = self._series(group, files)
            ids = self.ids.get(group) or [str(position) for position in range(series.shape[1])]
            if f"{group}_ids" in files:
                ids = files[f"{group}_ids"].read_text(encoding="utf-8").strip().split(",")
            base.merge_columns(columns, ids, series)
        values, node_ids = np.stack(list(columns.values()), axis=1), list(columns)
        times = None if self.time_of_day is None else _times(card, values[..., self.time_of_day])
        if "distances" in files:
            graph = road_kernel(files["distances"], node_ids)
        elif "edges" in files:
            graph = base.binary(base.read_edges(files["edges"], node_ids))
        else:
            graph = read_pickled_graph(files["graph"], node_ids).astype(np.float64)
        return base.Table(values[..., : len(card.channels)], graph, node_ids, times)

    def _series(self, group: str, files: base.Files) -> NDArray[np.float64]:
        """(T, N, C) of all parts; each begins with the steps that its first window shares."""
        series, shared = read_windows(files[f"{group}_{self.parts[0]}"])
        for part in self.parts[1:]:
            further, shared = read_windows(files[f"{group}_{part}"])
            if not np.array_equal(series[-shared:], further[:shared], equal_nan=True):
                raise ValueError(f"it does not begin with the last {shared} steps before it")
            series = np.concatenate([series, further[shared:]])
        return series


def read_windows(path: Path) -> tuple[NDArray[np.float64], int]:
    """(T, N, C) of B windows, each the one before it a step later; and the steps they share."""
    with np.load(path, allow_pickle=False) as arrays:
        windows = np.concatenate([arrays["x"], arrays["y"]], axis=1).astype(np.float64)
    if not np.array_equal(windows[1:, :-1], windows[:-1, 1:], equal_nan=True):
        raise ValueError("its windows do not begin one step after another")
    return np.concatenate([windows[0], windows[1:, -1]]), windows.shape[1] - 1


def _times(card: DatasetCard, shares: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """(T,) times of steps from (T, N) shares of the day, from the card's day on."""
    slots = np.rint(shares * card.steps_per_day).astype(np.int64)
    if (slots != slots[:, :1]).any():
        raise ValueError("the columns do not have the same times of day")
    ahead = np.diff(slots[:, 0]) % card.steps_per_day
    steps = slots[0, 0] + np.append(0, ahead.cumsum())
    day = np.datetime64(card.start.replace(tzinfo=None), "D").astype("datetime64[s]")
    return np.asarray(day + steps * np.timedelta64(60 * card.step_minutes, "s"))


def road_kernel(path: Path, node_ids: list[str]) -> NDArray[np.float64]:
    """Gaussian weights, at least 0.1, of a csv of from, to and road distance without a header.

    As DCRNN (Li et al. 2018) made its graphs: the deviation is that of all distances listed, those
    of sensors that are not asked for and the zero from each sensor to itself among them.
    """
    frame = pd.read_csv(path, names=["from", "to", "metres"], dtype={"from": str, "to": str})
    distances = frame.pivot(index="from", columns="to", values="metres").loc[node_ids, node_ids]
    return base.gaussian(
        distances.to_numpy(np.float64), base.spread(frame["metres"].to_numpy(np.float64))
    )
