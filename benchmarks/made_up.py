"""A series of made-up numbers, of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.data.canonical import CanonicalDataset
from stprune.data.card import DatasetCard


@dataclass(frozen=True)
class Size:
    """A series of made-up numbers, and how batches are taken of it.

    Args:
        steps: T.
        nodes: N.
        channels: C.
        step_minutes: Minutes from one step to the next.
        batch: Windows a batch.
        rounds: How often each way is timed.
        seconds: About how long each is timed a round.
    """

    steps: int
    nodes: int
    channels: int
    step_minutes: int
    batch: int = 64
    rounds: int = 9
    seconds: float = 0.3

    def card(self) -> DatasetCard:
        """Of such a series."""
        channels = [{"name": f"c{number}", "unit": "none"} for number in range(self.channels)]
        return DatasetCard.model_validate(
            {
                "title": "Made up",
                "description": "Random numbers for a benchmark.",
                "format": "none",
                "licence": "none",
                "citation": "none",
                "nodes": self.nodes,
                "steps": self.steps,
                "step_minutes": self.step_minutes,
                "start": "2019-01-01T00:00:00",
                "channels": channels,
                "target": "c0",
                "mask_policy": "nan",
            }
        )

    def times(self) -> NDArray[np.datetime64]:
        """(T,) datetime64[s]."""
        start = np.datetime64("2019-01-01", "s")
        return start + np.arange(self.steps) * np.timedelta64(60 * self.step_minutes, "s")


def made_up(size: Size) -> CanonicalDataset:
    """A complete data set in memory."""
    rng = np.random.default_rng(0)
    shape = (size.steps, size.nodes, size.channels)
    return CanonicalDataset(
        card=size.card(),
        series=rng.normal(50.0, 10.0, shape).astype(np.float32),
        mask=np.broadcast_to(np.True_, shape),
        timestamps=size.times(),
        adjacency=np.zeros((size.nodes, size.nodes), np.float32),
        node_ids=[str(node) for node in range(size.nodes)],
        events=pd.DataFrame(),
        checksum="none",
    )
