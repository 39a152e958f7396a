"""A table in pandas' fixed HDF layout, one column a sensor, and a pickled graph.

``series`` has times as its index and sensor ids as column names; ``graph`` is a pickle of sensor
ids, their positions, and edge weights. METR-LA is published so (Li et al. 2018, DCRNN).
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table
from stprune.data.pandas_hdf import open_frame

# What a pickle of lists, text and arrays of numbers names; nothing else is ever imported.
ARRAY_NAMES = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads text, numbers, lists, mappings and arrays; a pickle that names more is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ARRAY_NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is never imported")
        return super().find_class(module, name)


def read_pickled_graph(path: Path, node_ids: list[str]) -> NDArray[np.float32]:
    """(N, N) weights of the sensors asked for, of a pickle of ids, positions and weights."""
    pickled = io.BytesIO(path.read_bytes())
    ids, _, weights = _ArrayUnpickler(pickled, encoding="latin1").load()  # as Python 2 wrote text
    names = [str(name) for name in ids]
    return pd.DataFrame(weights, names, names).loc[node_ids, node_ids].to_numpy()


class Options(Published):
    """Which table of the file is the series."""

    key: str | None = Field(None, description="Name of the HDF table; else the only one.")

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`; sensors in the order of the series."""
        with open_frame(files["series"], self.key) as frame:
            node_ids, times, values = frame.names, frame.times(), frame.rows(0, frame.shape[0])
        graph = read_pickled_graph(files["graph"], node_ids)
        return Table(values, graph, node_ids, times)
