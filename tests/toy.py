"""A toy data set made in code: raw files, card and mirror, so that every stage can run on it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from stprune.data.fetch import git_blob_sha1

DATASET = "toy"
NODES, STEPS, STEPS_PER_DAY = 8, 504, 24
START = "2024-01-01T00:00:00"  # a Monday
HOST_FOLDER = "data.example.org/toy/v1"


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
    header = ",".join(f"s{node}" for node in range(NODES))
    _write_csv(folder / "series.csv", toy_series(), header)
    _write_csv(folder / "adjacency.csv", toy_adjacency(), "")
    data_directory.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(toy_card(folder), sort_keys=False)
    (data_directory / f"{DATASET}.yaml").write_text(text, encoding="utf-8")


def toy_card(folder: Path) -> dict[str, object]:
    """The card of the raw files in ``folder``."""
    return {
        "title": "Toy",
        "description": "Eight sensors on a ring for three weeks, made in code.",
        "format": "wide_csv",
        "files": {
            role: {
                "url": f"https://{HOST_FOLDER}/{role}.csv",
                "git_blob_sha1": git_blob_sha1(folder / f"{role}.csv"),
            }
            for role in ("series", "adjacency")
        },
        "licence": "CC0",
        "citation": "None.",
        "nodes": NODES,
        "steps": STEPS,
        "step_minutes": 60,
        "start": START,
        "channels": [{"name": "load", "unit": "units / hour"}],
        "target": "load",
        "mask_policy": "zero",
    }


def _write_csv(path: Path, values: NDArray[np.float64], header: str) -> None:
    buffer = io.StringIO()
    np.savetxt(buffer, values, fmt="%.3f", delimiter=",", header=header, comments="")
    path.write_text(buffer.getvalue().lstrip("\n"), encoding="utf-8")
