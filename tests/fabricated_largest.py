"""Made-up LargeST files in the published format, a few sensors of each district for a week.

The publishers' notebooks say how the files look: flow in pandas' fixed HDF layout under the key
``t``, whole numbers with NaN for what is missing, a column a sensor under its id as text; a csv of
sensors whose ``ID2`` is the row in a dense matrix of weights with a diagonal of ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas_layout import write_frame

from stprune.data.canonical import sha256_of
from stprune.data.card import DatasetCard, KaggleFile, load_card
from stprune.data.fetch import KAGGLE

DAYS = 7
DISTRICTS = (3, 4, 5, 6, 7, 8, 10, 11, 12)
PER_DISTRICT = 4


def fabricate(dataset: str, folder: Path) -> DatasetCard:
    """Write the raw files of one of the LargeST cards into the mirror ``folder``.

    Returns:
        The shipped card with fewer steps and sensors, and the SHA-256 of the files.
    """
    card = load_card(dataset)
    sensors = _sensors()
    paths: dict[str, Path] = {}
    for role, file in card.files.items():
        assert isinstance(file, KaggleFile)
        paths[role] = folder / KAGGLE / "datasets" / file.kaggle / file.name
        paths[role].parent.mkdir(parents=True, exist_ok=True)
    sensors.to_csv(paths["sensors"], index=False)
    np.save(paths["adjacency"], _weights(sensors))
    start = np.datetime64(card.start, "s")
    times = start + np.arange(DAYS * 288) * np.timedelta64(300, "s")
    names = [str(sensor) for sensor in sensors.ID]
    write_frame(paths["series"], "t", names, times, _flow(len(times), len(names)))
    districts = card.options.get("districts") or DISTRICTS
    values = card.model_dump(mode="json") | {
        "nodes": PER_DISTRICT * len(districts),
        "steps": DAYS * 96,
    }
    for role, path in paths.items():
        values["files"][role]["sha256"] = sha256_of(path)
    return DatasetCard.model_validate(values)


def _sensors() -> pd.DataFrame:
    count = PER_DISTRICT * len(DISTRICTS)
    number = np.arange(count)
    return pd.DataFrame(
        {
            # PeMS ids have six to nine digits.
            "ID": 317802 + 11 * number + (number % 3 == 2) * 1_000_000,
            "Lat": 32.5 + 0.5 * (number % len(DISTRICTS)) + 0.1 * (number // len(DISTRICTS)),
            "Lng": -117.0 - 0.05 * number,
            # Districts lie mixed in the file.
            "District": np.tile(DISTRICTS, PER_DISTRICT),
            "County": "San Diego",
            "Fwy": [f"I{5 + 10 * (n % 3)}-{'NS'[n % 2]}" for n in number],
            "Lanes": 3 + number % 3,
            "Type": "Mainline",
            "Direction": ["NS"[n % 2] for n in number],
            "ID2": number,
        }
    )


def _weights(sensors: pd.DataFrame) -> NDArray[np.float32]:
    """Weights that fall with distance, not symmetric, with ones on the diagonal as published."""
    place = sensors.Lat.to_numpy()
    weights = np.exp(-np.square(np.subtract.outer(place, place) / 0.5))
    weights[weights < 0.1] = 0.0
    weights[np.subtract.outer(place, place) > 0.25] = 0.0
    return weights.astype(np.float32)


def _flow(steps: int, sensors: int) -> NDArray[np.float64]:
    """(steps, sensors) vehicles in five minutes, two peaks a day, one in 50 missing."""
    rng = np.random.default_rng(11)
    hour = np.arange(steps) / 12 % 24
    wave = 40 + 150 * np.exp(-np.square((hour - 8) / 2)) + 170 * np.exp(-np.square((hour - 17) / 3))
    flow = rng.poisson(wave[:, None] * rng.uniform(0.5, 1.5, sensors)).astype(np.float64)
    flow[rng.random(flow.shape) < 0.02] = np.nan
    # The first sensor of each district is out for a day.
    flow[288:576, : len(DISTRICTS)] = np.nan
    return flow
