"""Made-up UrbanEV files in the published format, around the real zones where a mirror has them.

The publishers' text and code (commit 14a019a) say how the series look; the graph, the distances,
the stations and the weather are the published files themselves where ``STPRUNE_MIRROR`` has them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import fabricated_mirror as mirror
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.data.card import DatasetCard, load_card

STEPS = 14 * 24
ZONES = [str(zone) for zone in (102, 104, 105, 106, 202, 204, 205, 1101, 1102, 1103)]
BASE = (
    "https://raw.githubusercontent.com/IntelligentSystemsLab/UrbanEV/"
    "14a019a3456a7bfafe32ac660ef10a2fb7b7fe4f/data/"
)


def fabricate(dataset: str, folder: Path) -> DatasetCard:
    """Write the raw files of one of the UrbanEV cards into the mirror ``folder``.

    Returns:
        The shipped card with fewer steps, perhaps fewer zones, and the hashes of the files.
    """
    card = load_card(dataset)
    zones, chargers = _zones(folder)
    times = pd.date_range(card.start, periods=STEPS, freq="h")
    for role in card.files:
        if role in SERIES:
            table = SERIES[role](chargers, times, np.random.default_rng(len(role)))
            frame = pd.DataFrame(table, index=times.astype("datetime64[s]"), columns=zones)
            frame.index.name = "time"
            frame.to_csv(mirror.mirror_path(folder, f"{BASE}{role}.csv"))
    _write_weather(mirror.mirror_path(folder, f"{BASE}weather_central.csv"), times)
    return mirror.adapted(card, folder, steps=STEPS, nodes=len(zones))


def _zones(folder: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Write graph, distances and stations; returns the zones and how many chargers they have."""
    names = ("adj.csv", "distance.csv", "inf.csv")
    paths = {name: mirror.mirror_path(folder, BASE + name) for name in names}
    published = {name: mirror.real_file(BASE + name) for name in names}
    for name, path in published.items():
        if path:
            shutil.copyfile(path, paths[name])
    if None in published.values():
        _write_made_up_zones(paths)
    zones = pd.read_csv(paths["adj.csv"], nrows=0).columns.tolist()
    stations = pd.read_csv(paths["inf.csv"])
    counts = stations.groupby("TAZID").charge_count.sum()
    return zones, counts[[int(zone) for zone in zones]].to_numpy()


def _write_made_up_zones(paths: dict[str, Path]) -> None:
    """Zones along a road, a kilometre apart, each touching itself and the next, as published."""
    count = len(ZONES)
    place = np.arange(count)
    apart = np.abs(np.subtract.outer(place, place))
    pd.DataFrame((apart <= 1).astype(int), columns=ZONES).to_csv(paths["adj.csv"], index=False)
    pd.DataFrame(apart * 1000.0, columns=ZONES).to_csv(paths["distance.csv"], index=False)
    # Two stations a zone.
    pd.DataFrame(
        {
            "station_id": 1001 + np.arange(2 * count),
            "longitude": 113.8 + 0.01 * np.repeat(place, 2),
            "latitude": 22.7,
            "charge_count": 4 + np.arange(2 * count),
            "TAZID": np.repeat(ZONES, 2),
            "area": 5726523.056,
            "perimeter": 9624.5755,
        }
    ).to_csv(paths["inf.csv"], index=False)


def _write_weather(path: Path, times: pd.DatetimeIndex) -> None:
    published = mirror.real_file(f"{BASE}weather_central.csv")
    if published:
        lines = published.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: len(times) + 1]), encoding="utf-8")
        return
    hours = np.arange(len(times))
    frame = pd.DataFrame(
        {
            # Unpadded, unlike the times of the series.
            "time": [f"{t.year}/{t.month}/{t.day} {t.hour}:{t.minute:02d}" for t in times],
            "T": np.round(25 + 4 * np.sin(hours / 24 * 2 * np.pi), 1),
            "P0": 750.6,
            "P": 756.1,
            "U": 70 + hours % 30,
            "nRAIN": (hours % 40 == 0).astype(int),
            "Td": 20.0,
        }
    )
    frame.to_csv(path, index=False)


def _share(times: pd.DatetimeIndex, zones: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(T, N) share of chargers in use: more at night and at noon, never all."""
    phase = 2 * np.pi * times.hour.to_numpy() / 24
    wave = 0.35 + 0.15 * np.cos(phase) + 0.1 * np.cos(2 * phase)
    shares: NDArray[np.float64] = wave[:, None] * rng.uniform(0.6, 1.4, zones)
    return np.clip(shares + rng.normal(0, 0.03, shares.shape), 0, 1)


def _occupancy(
    chargers: NDArray[np.int64], times: pd.DatetimeIndex, rng: np.random.Generator
) -> NDArray[np.float64]:
    return np.round(_share(times, len(chargers), rng) * chargers, 4)


def _duration(
    chargers: NDArray[np.int64], times: pd.DatetimeIndex, rng: np.random.Generator
) -> NDArray[np.float64]:
    return 0.7 * _occupancy(chargers, times, rng)


def _volume(
    chargers: NDArray[np.int64], times: pd.DatetimeIndex, rng: np.random.Generator
) -> NDArray[np.float64]:
    return 40 * _occupancy(chargers, times, rng)


def _price(
    chargers: NDArray[np.int64], times: pd.DatetimeIndex, rng: np.random.Generator
) -> NDArray[np.float64]:
    dear = (times.hour >= 14) & (times.hour < 19)
    return np.where(dear, 1.1, 0.6)[:, None] + rng.uniform(0, 0.1, len(chargers))


SERIES = {
    "occupancy": _occupancy,
    "duration": _duration,
    "volume": _volume,
    "e_price": _price,
    "s_price": _price,
}
