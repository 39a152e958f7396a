"""An npz with one (steps, sensors, channels) array, and a csv of edges with road distances.

Roles of the files: ``series`` (the array under the key of the options; there are no times, so start
and step come from the card), ``edges`` (``from,to`` and a distance) and perhaps ``ids`` (a line a
sensor, in the order of the array). Without ``ids`` the edges name sensors by position, from 0 on.
PEMS03, 04, 07 and 08 are published so (Guo et al. 2021, after Song et al. 2020).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import (
    checked_options,
    raw_series,
    read_edges,
    reading,
    regular_times,
)
from stprune.data.graph_weights import Symmetrise, binary, gaussian, symmetrised


class Options(StrictModel):
    """What the array is called, and what the distances become."""

    key: str = Field(default="data", description="Name of the array in the npz file.")
    weights: Literal["binary", "gaussian"] = Field(
        default="binary",
        description="Weight of an edge: 1, or exp(-(distance / sigma)²).",
    )
    sigma: float | None = Field(
        default=None,
        gt=0,
        description="Of Gaussian weights, in the file's unit; else the distances' deviation.",
    )
    threshold: float = Field(
        default=0.1, ge=0, lt=1, description="Gaussian weights below this are no edges."
    )
    symmetrise: Symmetrise = Field(
        default="none",
        description="Edges as listed, or both ways with the larger or mean weight.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """See :mod:`stprune.data.formats.base`; channels are the last axis of the array, in order."""
    options = checked_options(
        Options, card, files, ("series", "edges"), optional=("ids",), one_channel=False
    )
    path = files["series"]
    with reading(path, "npz"), np.load(path, allow_pickle=False) as arrays:
        table = arrays[options.key].astype(np.float64)
    shape = (card.steps, card.nodes, len(card.channels))
    if table.shape != shape:
        raise DataError(f"{path}: `{options.key}` is {table.shape}, but the card says {shape}")
    node_ids = [str(position) for position in range(card.nodes)]
    if "ids" in files:
        with reading(files["ids"], "text"):
            node_ids = files["ids"].read_text(encoding="utf-8-sig").split()
    distances = read_edges(files["edges"], node_ids)
    if options.weights == "binary":
        weights = binary(distances)
    else:
        weights = gaussian(distances, options.sigma, options.threshold)
    graph = symmetrised(weights, options.symmetrise)
    return raw_series(card, path, table, regular_times(card, card.steps), graph, node_ids)
