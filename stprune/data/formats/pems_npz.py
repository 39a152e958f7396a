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
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.edge_list import read_edges
from stprune.data.graph_weights import Symmetrise, binary, gaussian, symmetrised
from stprune.data.npz_array import read_npz_array
from stprune.data.raw_values import observed, regular_times
from stprune.data.roles import check_roles


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
    """Read the series and its graph.

    Args:
        card: Its channels are the last axis of the array, in order.
        files: Paths of the roles ``series`` and ``edges``, perhaps ``ids``.

    Returns:
        Values and mask of shape (T, N, C).

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format or contradicts the card or another.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    check_roles(card, files, ("series", "edges"), optional=("ids",))
    path = files["series"]
    table = _read_series(path, options.key, card)
    node_ids = _read_ids(files.get("ids"), card)
    mask = observed(
        table,
        card,
        lambda at: f"{path}: step {at[0]}, sensor {node_ids[at[1]]}, channel {at[2]} of the array",
    )
    return RawSeries(
        values=np.where(mask, table, 0.0).astype(np.float32),
        mask=mask,
        timestamps=regular_times(card, len(table)),
        adjacency=_weights(read_edges(files["edges"], node_ids), options),
        node_ids=node_ids,
    )


def _read_series(path: Path, key: str, card: DatasetCard) -> NDArray[np.float64]:
    """(T, N, C) float64, as large as the card says."""
    shape = (card.steps, card.nodes, len(card.channels))
    table = read_npz_array(path, key, shape).astype(np.float64, copy=False)
    if np.isinf(table).any():
        step, sensor, channel = np.argwhere(np.isinf(table))[0]
        raise DataError(
            f"{path}: step {step}, sensor {sensor}, channel {channel} of `{key}` is not a finite"
            " number"
        )
    return table


def _read_ids(path: Path | None, card: DatasetCard) -> list[str]:
    if path is None:
        return [str(position) for position in range(card.nodes)]
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from None
    while names and not names[-1]:
        names.pop()
    seen: dict[str, int] = {}
    for line, name in enumerate(names, start=1):
        if not name or name in seen:
            problem = f"repeats the id of line {seen[name]}" if name else "is empty"
            raise DataError(f"{path}: line {line} {problem}; each sensor has an id of its own")
        seen[name] = line
    if len(names) != card.nodes:
        raise DataError(f"{path} has {len(names)} ids, but {card.title} has {card.nodes} sensors")
    return names


def _weights(distances: NDArray[np.float64], options: Options) -> NDArray[np.float32]:
    if options.weights == "binary":
        weights = binary(distances)
    else:
        weights = gaussian(distances, options.sigma, options.threshold)
    return symmetrised(weights, options.symmetrise).astype(np.float32)
