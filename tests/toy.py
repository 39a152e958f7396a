"""A toy data set made in code: raw files, card and mirror, so that every stage can run on it.

Also canonical data sets and window stores from arrays, for tests of single parts.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from stprune.data.canonical import CanonicalDataset
from stprune.data.card import DatasetCard
from stprune.data.dataset import forecast_data
from stprune.data.fetch import git_blob_sha1
from stprune.data.windows import WindowStore

DATASET = "toy"
NODES, STEPS, STEPS_PER_DAY = 8, 504, 24
START = "2024-01-01T00:00:00"  # a Monday
HOST_FOLDER = "data.example.org/toy/v1"


def card_values(**changes: Any) -> dict[str, Any]:
    """Plain values of a card of two sensors and three hours, but for ``changes``."""
    text = dict.fromkeys(("title", "description", "licence", "citation"), "made up")
    values = {
        "format": "wide_csv",
        "nodes": 2,
        "steps": 3,
        "step_minutes": 60,
        "start": START,
        "channels": [{"name": "flow", "unit": "vehicles"}],
        "target": "flow",
        "mask_policy": "none",
    }
    return text | values | changes


def toy_series(seed: int = 0) -> NDArray[np.float64]:
    """(STEPS, NODES) hourly values: a daily pattern, noise, local bursts; 0 marks a gap."""
    rng = np.random.default_rng(seed)
    hours = np.arange(STEPS)[:, None]
    level = np.linspace(20.0, 50.0, NODES)
    phase = np.linspace(0.0, 1.5, NODES)
    values = level * (1.0 + 0.4 * np.sin(2 * np.pi * hours / STEPS_PER_DAY + phase))
    values += rng.normal(0.0, 1.0, values.shape)
    for start in rng.integers(0, STEPS - 4, size=24):
        values[start : start + 4, rng.integers(NODES)] *= 1.6
    values[rng.random(values.shape) < 0.02] = 0.0
    # A sensor that is out for two days: some windows have no observed target of it at all.
    values[100:148, 3] = 0.0
    return values.round(3)


def toy_adjacency() -> NDArray[np.float64]:
    """(NODES, NODES) weights of a ring, symmetric, with a loop that the loader must drop."""
    weights = np.eye(NODES)
    for node in range(NODES):
        weights[node, (node + 1) % NODES] = weights[(node + 1) % NODES, node] = 0.5
    return weights


def write_toy(data_directory: Path, mirror: Path) -> None:
    """Write the card to ``<data_directory>/toy.yaml`` and the raw files below ``mirror``."""
    folder = mirror / HOST_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    series = pd.DataFrame(toy_series(), columns=[f"s{node}" for node in range(NODES)])
    csv: dict[str, Any] = {"index": False, "float_format": "%.3f"}
    series.to_csv(folder / "series.csv", **csv)
    pd.DataFrame(toy_adjacency()).to_csv(folder / "adjacency.csv", header=False, **csv)
    data_directory.mkdir(parents=True, exist_ok=True)
    files = {}
    for role in ("series", "adjacency"):
        sha1 = git_blob_sha1(folder / f"{role}.csv")
        files[role] = {"url": f"https://{HOST_FOLDER}/{role}.csv", "git_blob_sha1": sha1}
    card = card_values(
        title="Toy",
        files=files,
        nodes=NODES,
        steps=STEPS,
        channels=[{"name": "load", "unit": "units / hour"}],
        target="load",
        mask_policy="zero",
    )
    text = yaml.safe_dump(card, sort_keys=False)
    (data_directory / f"{DATASET}.yaml").write_text(text, encoding="utf-8")


def canonical(
    series: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    *,
    target_channel: int = 0,
    splits: tuple[float, float, float] = (0.6, 0.2, 0.2),
    step_minutes: int = 60,
    start: str = START,
    timestamps: NDArray[np.datetime64] | None = None,
) -> CanonicalDataset:
    """A canonical data set in memory from (T, N, C) values; nothing is missing by default.

    With ``timestamps``, it is one that breaks between its days.
    """
    steps, nodes, channels = series.shape
    regular = np.datetime64(start, "s") + np.arange(steps) * np.timedelta64(60 * step_minutes, "s")
    card = card_values(
        nodes=nodes,
        steps=steps,
        step_minutes=step_minutes,
        start=start,
        breaks="none" if timestamps is None else "daily",
        channels=[{"name": f"c{i}", "unit": "units"} for i in range(channels)],
        target=f"c{target_channel}",
        mask_policy="nan",
        splits=splits,
    )
    return CanonicalDataset(
        card=DatasetCard.model_validate(card),
        series=series.astype(np.float32),
        mask=np.ones(series.shape, dtype=bool) if mask is None else mask,
        timestamps=regular if timestamps is None else timestamps.astype("datetime64[s]"),
        adjacency=np.zeros((nodes, nodes), dtype=np.float32),
        node_ids=[f"s{node}" for node in range(nodes)],
        events=pd.DataFrame(),
        checksum="none",
    )


def day_times(days: int, first_hour: int = 6) -> NDArray[np.datetime64]:
    """Hourly times from ``first_hour`` to midnight of so many days, (days * hours,)."""
    hours = np.arange(first_hour, 24) * np.timedelta64(1, "h")
    dates = np.datetime64(START, "D") + np.arange(days)
    times: NDArray[np.datetime64] = np.add(dates.astype("datetime64[s]")[:, None], hours)
    return times.ravel()


def training_store(windows: int, nodes: int = 3, seed: int = 0) -> WindowStore:
    """A store of exactly ``windows`` training windows of 2 input and 2 target steps."""
    rng = np.random.default_rng(seed)
    dataset = canonical(rng.normal(size=(2 * windows + 8, nodes, 1)).cumsum(0).astype(np.float32))
    train = forecast_data(dataset, history=2, horizon=2).train
    return train.split(range(windows))
