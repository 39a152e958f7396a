"""Made-up PeMS, METR-LA and PEMS-BAY files in the published format, around the real graphs.

Keys, dtypes, headers, line ends and quirks are those of the published files; where
``STPRUNE_MIRROR`` has the graph (and the week of METR-LA known as Los-loop), it is the published
one, else there is a road of a few sensors.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import fabricated_mirror as mirror
import numpy as np
from numpy.typing import NDArray
from pandas_layout import write_frame
from scipy import sparse

from stprune.data.card import DatasetCard, RemoteFile, load_card

DATASETS = ("pems03", "pems04", "pems07", "pems08", "metr_la", "pems_bay")
DAY = 288
STEPS = 2 * DAY
FEW = 12
# On its second day an hour is skipped, which is what is special about PEMS-BAY.
BAY_START = "2017-03-11T00:00:00"
BAY_FIRST_ID = 400001
LOS_LOOP = (
    "https://raw.githubusercontent.com/lehaifeng/T-GCN/"
    "219a2346f5bf68d54d91a948e7a41a08f9edc46b/data/los_speed.csv"
)


def fabricate(dataset: str, folder: Path) -> DatasetCard:
    """Write the raw files of ``dataset``, one of `DATASETS`, into the mirror ``folder``.

    Returns:
        The shipped card with two days of steps, perhaps fewer sensors, and the hashes of the files.
    """
    card = load_card(dataset)
    write: Callable[[DatasetCard, Path], dict[str, Any]] = {
        "pems_npz": _write_pems,
        "dcrnn_hdf": _write_metr_la,
        "csv_sparse_graph": _write_pems_bay,
    }[card.format]
    changes = write(card, folder)
    return mirror.adapted(card, folder, steps=STEPS, **changes)


def _write_pems(card: DatasetCard, folder: Path) -> dict[str, Any]:
    graph = [role for role in ("edges", "ids") if role in card.files]
    nodes = card.nodes
    if not all(_copy_published(card, role, folder) for role in graph):
        nodes = FEW
        _write_road(card, folder)
    waves = _waves(nodes, 0)
    flow = np.round(40 + 30 * waves.clip(0))
    channels = [flow, 0.02 + 0.001 * flow, np.round(68 - 0.1 * flow, 1)][: len(card.channels)]
    np.savez_compressed(_path(card, "series", folder), data=np.stack(channels, axis=-1))
    return {"nodes": nodes}


def _write_road(card: DatasetCard, folder: Path) -> None:
    """Sensors along a road, with the quirks of PEMS03, or those of the others."""
    names = [str(position) for position in range(FEW)]
    header, end = "from,to,cost", "\r\n"
    if "ids" in card.files:
        names = [str(313344 + 5 * position) for position in range(FEW)]
        header, end = "from,to,distance", "\r\r\n"
        _path(card, "ids", folder).write_bytes("\r\n".join(names).encode())
    lines = [f"{a},{b},{300 + 7.5 * at}" for at, (a, b) in enumerate(pairwise(names))]
    # A loop of length 0, and an edge that stands twice.
    lines += [f"{names[3]},{names[3]},0.0", lines[0]]
    _path(card, "edges", folder).write_bytes(
        "".join(f"{x}{end}" for x in (header, *lines)).encode()
    )


def _write_metr_la(card: DatasetCard, folder: Path) -> dict[str, Any]:
    week = mirror.real_file(LOS_LOOP)
    if week and _copy_published(card, "graph", folder):
        ids = week.read_text().split("\n", 1)[0].split(",")
        speed = np.loadtxt(week, delimiter=",", skiprows=1, max_rows=STEPS)
    else:
        ids = [str(717444 + 2 * position) for position in range(FEW)]
        speed = np.round(60 - 12 * _waves(FEW, 1).clip(0), 2)
        graph = _path(card, "graph", folder)
        graph.write_bytes(pickled_graph(ids, _kernel(FEW).astype(np.float32)))
    # A detector that is out for an hour, and a reading that is lost.
    speed[100:112, 2] = speed[300, 0] = 0.0
    times = np.datetime64(card.start.replace(tzinfo=None), "s") + 300 * np.arange(STEPS)
    write_frame(_path(card, "series", folder), "df", ids, times, speed)
    return {"nodes": len(ids)}


def pickled_graph(ids: list[str], weights: NDArray[Any]) -> bytes:
    """A graph as METR-LA's was pickled: protocol 2, by a NumPy before its second version."""
    content = pickle.dumps([ids, {name: at for at, name in enumerate(ids)}, weights], protocol=2)
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def _write_pems_bay(card: DatasetCard, folder: Path) -> dict[str, Any]:
    nodes = card.nodes
    if not _copy_published(card, "graph", folder):
        nodes = FEW
        sparse.save_npz(_path(card, "graph", folder), sparse.csc_matrix(_kernel(FEW)))
    speed = np.round(66 - 10 * _waves(nodes, 2).clip(0), 1)
    speed[200, 1] = 0.0
    # The hour from 02:00 on has no rows.
    speed = np.delete(speed, slice(DAY + 24, DAY + 36), axis=0)
    ids = ",".join(str(BAY_FIRST_ID + position) for position in range(nodes))
    np.savetxt(
        _path(card, "series", folder), speed, fmt="%.1f", delimiter=",", header=ids, comments=""
    )
    return {"nodes": nodes, "start": BAY_START}


def _copy_published(card: DatasetCard, role: str, folder: Path) -> bool:
    """Put a published file into the mirror ``folder``, if there is one to put."""
    published = mirror.real_file(_url(card, role))
    if published:
        shutil.copyfile(published, _path(card, role, folder))
    return published is not None


def _path(card: DatasetCard, role: str, folder: Path) -> Path:
    return mirror.mirror_path(folder, _url(card, role))


def _url(card: DatasetCard, role: str) -> str:
    file = card.files[role]
    assert isinstance(file, RemoteFile)
    return file.url


def _waves(nodes: int, seed: int) -> NDArray[np.float64]:
    """(STEPS, nodes) of about -1 to 2: a daily rhythm of each sensor's own, with noise."""
    rng = np.random.default_rng(seed)
    day = 2 * np.pi * np.arange(STEPS) / DAY
    wave = np.sin(day[:, None] - rng.uniform(1, 2.5, nodes)) * rng.uniform(0.5, 1.5, nodes)
    return np.asarray(wave + rng.normal(0, 0.1, wave.shape))


def _kernel(nodes: int) -> NDArray[np.float64]:
    """Gaussian weights along a road, 1 on the diagonal, nothing below 0.1."""
    place = np.arange(nodes)
    weights = np.exp(-np.square(np.subtract.outer(place, place) / 2.0))
    return np.where(weights < 0.1, 0.0, weights)
