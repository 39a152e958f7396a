"""Single files as they were published, where a mirror has them, and small simulated cities."""

import pickle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h5py
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stprune.data.card import DatasetCard, KaggleFile, load_card
from stprune.data.fetch import KAGGLE

SIX_NODES = {
    "simulated_freeway": {"corridors": 1, "segments": 3, "incidents_per_day": 0.38},
    "simulated_charging": {"zones": 6, "outages_per_week": 0.22, "crowds_per_week": 0.11},
}


def small_city(dataset: str, days: int, **options: Any) -> DatasetCard:
    """The card of a simulated city with six nodes, or as ``options`` say, and a few days."""
    card = load_card(dataset)
    chosen = card.options | SIX_NODES[card.format] | {"days": days} | options
    nodes = chosen.get("zones") or 2 * chosen["corridors"] * chosen["segments"]
    steps = days * card.steps_per_day
    return card.model_copy(update={"options": chosen, "nodes": nodes, "steps": steps})


def pickled_graph(ids: list[str], weights: NDArray[Any]) -> bytes:
    """A graph as METR-LA's was pickled: protocol 2, by a NumPy before its second version."""
    content = pickle.dumps([ids, {name: at for at, name in enumerate(ids)}, weights], protocol=2)
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_frame(
    path: Path,
    key: str,
    names: list[str] | NDArray[np.int64],
    times: NDArray[np.datetime64],
    values: NDArray[Any],
    kind: str = "datetime64",
) -> None:
    """Write what is read of the fixed layout of ``DataFrame.to_hdf``: one table (T, N) of a type.

    Names are text of the same length or whole numbers. Taken down from files that pandas 3.1 wrote
    through PyTables 3.11; older pandas calls the index ``datetime64`` and stores nanoseconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = kind[len("datetime64[") : -1] or "ns"
    columns = names if isinstance(names, np.ndarray) else np.array([str(n).encode() for n in names])
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        attributes(group, pandas_type=b"frame", encoding=b"UTF-8", errors=b"strict", nblocks=1)
        group["axis0"] = group["block0_items"] = columns
        group["axis1"] = times.astype(f"datetime64[{unit}]").astype(np.int64)
        attributes(group["axis1"], kind=kind.encode(), index_class=b"datetime")
        group["block0_values"] = values


def attributes(place: Any, **values: bytes | int) -> None:
    """Set attributes as PyTables types them: UTF-8 of fixed length, and 64-bit numbers."""
    for name, value in values.items():
        if isinstance(value, bytes):
            place.attrs.create(name, value, dtype=h5py.string_dtype("utf-8", len(value)))
        else:
            place.attrs[name] = np.int64(value)


def mirrored(file: Any, folder: Path) -> Path:
    """Where a mirror in ``folder`` has a file."""
    if isinstance(file, KaggleFile):
        return folder / KAGGLE / "datasets" / file.kaggle / file.name
    parts = urlsplit(file.url)
    return folder / parts.netloc / parts.path.lstrip("/")


def write_windows(path: Path, values: NDArray[Any], history: int, horizon: int) -> None:
    """Publish (T, N, C) values as DCRNN's script does, windows that begin at every step."""
    windows = sliding_window_view(values, history + horizon, axis=0).transpose(0, 3, 1, 2)
    np.savez_compressed(path, x=windows[:, :history], y=windows[:, history:])
