"""A table in pandas' fixed HDF layout, one column a sensor, and a pickled graph.

Roles of the files: ``series`` (times as the index, sensor ids as column names) and ``graph`` (a
pickle of the sensor ids, their positions, and the matrix of edge weights). METR-LA is published so
(Li et al. 2018, DCRNN).
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import checked_options, raw_series, reading
from stprune.data.pandas_hdf import open_frame

# What a pickle of lists, text and arrays of numbers names; nothing else is ever imported.
ARRAY_NAMES = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class Options(StrictModel):
    """Which table of the file is the series."""

    key: str | None = Field(
        default=None, description="Name of the table in the HDF file; else the only one there."
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """See :mod:`stprune.data.formats.base`; sensors in the order of the series."""
    options = checked_options(Options, card, files, ("series", "graph"))
    path = files["series"]
    with open_frame(path, options.key) as frame:
        node_ids, times, table = frame.names, frame.times(), frame.rows(0, frame.shape[0])
    if times[0] != np.datetime64(card.start.replace(tzinfo=None), "s"):
        raise DataError(f"{path} begins at {times[0]}, but the card says {card.start.isoformat()}")
    graph = files["graph"]
    with reading(graph, "a pickle of sensor ids, positions and edge weights"):
        # Text of Python 2 is Latin-1.
        content = io.BytesIO(graph.read_bytes())
        ids, _, weights = _ArrayUnpickler(content, encoding="latin1").load()
        matrix = pd.DataFrame(weights, list(map(str, ids)), list(map(str, ids)))
        adjacency = matrix.loc[node_ids, node_ids].to_numpy()
    return raw_series(card, path, table, times, adjacency, node_ids)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads text, numbers, lists, mappings and arrays; a pickle that names more is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ARRAY_NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is never imported")
        return super().find_class(module, name)
