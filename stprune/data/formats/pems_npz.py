"""An npz with one (steps, sensors, channels) array, and a csv of edges with road distances.

``series`` has no times; ``edges`` is ``from,to`` and a distance; ``ids``, if any, has a line a
sensor in the order of the array, else the edges name sensors by position, from 0 on. PEMS03, 04, 07
and 08 are published so (Guo et al. 2021, after Song et al. 2020).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table, binary, gaussian, read_edges


class Options(Published):
    """What the array is called, and what the distances become."""

    key: str = Field("data", description="Name of the array in the npz file.")
    weights: Literal["binary", "gaussian"] = Field(
        "binary", description="1, or exp(-(distance / deviation)²) if that is at least 0.1."
    )

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`; channels are the last axis of the array, in order."""
        with np.load(files["series"], allow_pickle=False) as arrays:
            values = arrays[self.key].astype(np.float64)
        node_ids = [str(position) for position in range(values.shape[1])]
        if "ids" in files:
            node_ids = files["ids"].read_text(encoding="utf-8-sig").split()
        distances = read_edges(files["edges"], node_ids)
        weights = (binary if self.weights == "binary" else gaussian)(distances)
        return Table(values, weights, node_ids)
