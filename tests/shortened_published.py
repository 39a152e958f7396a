"""The first days of Los-loop, the Hangzhou metro and Beijing's air, in the published format.

Cut from the published files where ``STPRUNE_MIRROR`` has them, else made up in the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fabricated_mirror as mirror
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from stprune.data.card import DatasetCard, RemoteFile, load_card

DATASETS = ("los_loop", "hangzhou_metro", "beijing_air")
LOOP_STEPS = 2 * 288
METRO_DAYS, METRO_SLOTS = 6, 108
AIR_STEPS = 30 * 24
AIR_HEADER = (
    '"No","year","month","day","hour","PM2.5","PM10","SO2","NO2","CO","O3","TEMP","PRES","DEWP",'
    '"RAIN","wd","WSPM","station"'
)


def fabricate(dataset: str, folder: Path) -> DatasetCard:
    """Write the raw files of ``dataset``, one of `DATASETS`, into the mirror ``folder``.

    Returns:
        The shipped card with fewer steps and the hashes of the files.
    """
    card = load_card(dataset)
    write: dict[str, Callable[[DatasetCard, Path], int]] = {
        "los_loop": _write_loop,
        "hangzhou_metro": _write_metro,
        "beijing_air": _write_air,
    }
    steps = write[dataset](card, folder)
    return mirror.adapted(card, folder, steps=steps)


def _write_loop(card: DatasetCard, folder: Path) -> int:
    rows = _published_lines(card, "series", LOOP_STEPS + 1) or _loop_rows(card.nodes)
    _write(card, "series", folder, rows)
    weights = _published_lines(card, "adjacency", card.nodes) or _matrix(_ring(card.nodes))
    _write(card, "adjacency", folder, weights)
    return LOOP_STEPS


def _loop_rows(nodes: int) -> list[str]:
    speeds = 60 + 8 * _waves(LOOP_STEPS, nodes, 288)
    ids = ",".join(str(717400 + 7 * node) for node in range(nodes))
    return [ids, *(",".join(f"{speed:.9g}" for speed in row) for row in speeds)]


def _write_metro(card: DatasetCard, folder: Path) -> int:
    real = mirror.real_file(_url(card, "series"))
    if real is None:
        waves = _waves(METRO_DAYS * METRO_SLOTS, card.nodes, METRO_SLOTS)
        counts = np.round(60 + 40 * waves.clip(-1)).reshape(METRO_DAYS, METRO_SLOTS, card.nodes)
        tensor = counts.transpose(2, 0, 1).astype(np.uint16)
    else:
        tensor = loadmat(real)["tensor"][:, :METRO_DAYS]
    savemat(mirror.mirror_path(folder, _url(card, "series")), {"tensor": tensor})
    stations = card.nodes + 1
    links = _published_lines(card, "graph", stations + 1) or [
        "," + ",".join(str(station) for station in range(stations)),
        *(f"{at},{row}" for at, row in enumerate(_matrix(_ring(stations)))),
    ]
    _write(card, "graph", folder, links)
    return METRO_DAYS * METRO_SLOTS


def _write_air(card: DatasetCard, folder: Path) -> int:
    for number, station in enumerate(card.files):
        rows = _published_lines(card, station, AIR_STEPS + 1) or _air_rows(card, station, number)
        _write(card, station, folder, rows)
    return AIR_STEPS


def _air_rows(card: DatasetCard, station: str, number: int) -> list[str]:
    """Rows as published; every fiftieth value of dust is missing."""
    dust = np.round(80 + 60 * _waves(AIR_STEPS, 1, 24, seed=number).clip(-1)[:, 0])
    start = np.datetime64(card.start, "h")
    rows = [AIR_HEADER]
    for step in range(AIR_STEPS):
        time = (start + step).item()
        value = "NA" if (step + number) % 50 == 0 else f"{dust[step]:.0f}"
        stamp = f"{time.year},{time.month},{time.day},{time.hour}"
        # A channel that never varies cannot be standardised.
        hour = time.hour / 10
        weather = f'{hour - 2.5:.1f},{1020.8 - hour:.1f},{hour - 19.7:.1f},0,"ENE",{hour + 0.7:.1f}'
        rows.append(f'{step + 1},{stamp},{value},70,6,40,900,60,{weather},"{station}"')
    return rows


def _published_lines(card: DatasetCard, role: str, count: int) -> list[str] | None:
    """The first lines of the published file, if the mirror has it."""
    real = mirror.real_file(_url(card, role))
    return None if real is None else real.read_text(encoding="utf-8").splitlines()[:count]


def _write(card: DatasetCard, role: str, folder: Path, rows: list[str]) -> None:
    path = mirror.mirror_path(folder, _url(card, role))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _url(card: DatasetCard, role: str) -> str:
    file = card.files[role]
    assert isinstance(file, RemoteFile)
    return file.url


def _waves(steps: int, nodes: int, day: int, seed: int = 0) -> NDArray[np.float64]:
    """(steps, nodes) daily waves of size 1 with noise."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(steps)[:, None] / day + np.linspace(0, 2, nodes)
    waves: NDArray[np.float64] = np.sin(angle) + rng.normal(0, 0.1, (steps, nodes))
    return waves


def _ring(nodes: int) -> NDArray[np.int64]:
    """(nodes, nodes) links of a ring."""
    step = np.roll(np.eye(nodes, dtype=int), 1, axis=1)
    return step | step.T


def _matrix(values: NDArray[np.int64]) -> list[str]:
    return [",".join(map(str, row)) for row in values]
