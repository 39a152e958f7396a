"""Three toy data sets of different size and unit, and a configuration that trains on two."""

from pathlib import Path
from typing import Any

import numpy as np
import toy
import yaml

from stprune.base.layout import DataLayout, RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.data.canonical import RawSeries, write_canonical
from stprune.data.card import DatasetCard

# Nodes, and what the toy's values are multiplied with.
SIZES = {"toy_big": (7, 1.0), "toy_small": (4, 0.01), "toy_away": (5, 2.0)}
KEY = RunKey("cities", "opencity", "full", 0.0, 0)


def write_union(directory: Path) -> Path:
    """Cards and canonical data of all three below ``directory``; returns it."""
    for seed, (name, (nodes, factor)) in enumerate(SIZES.items()):
        values = toy.toy_series(seed)[:, :nodes, None].astype(np.float32) * np.float32(factor)
        # One data set has a second channel, which a union leaves out.
        channels = 2 if name == "toy_big" else 1
        load = {"name": "load", "unit": "units" if factor == 1 else "units of its own"}
        card = toy.card_values(
            title=name,
            nodes=nodes,
            steps=toy.STEPS,
            channels=[load, {"name": "noise", "unit": "units"}][:channels],
            target="load",
            mask_policy="zero",
            mape_floor=factor,
        )
        raw = RawSeries(
            values=np.repeat(values, channels, axis=2),
            mask=np.repeat(values != 0, channels, axis=2),
            timestamps=np.datetime64(toy.START, "s")
            + np.arange(toy.STEPS) * np.timedelta64(1, "h"),
            adjacency=toy.toy_adjacency()[:nodes, :nodes].astype(np.float32),
            node_ids=[f"s{node}" for node in range(nodes)],
        )
        folder = DataLayout(directory).processed(name)
        write_canonical(raw, DatasetCard.model_validate(card), folder)
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return directory


def union_values(directory: Path, results: Path) -> dict[str, Any]:
    """A small valid configuration as plain values."""
    entry = {"union": ["toy_big", {"dataset": "toy_small", "window_stride": 3}]}
    return {
        "experiment": "union",
        "datasets": {"cities": entry | {"zero_shot": ["toy_away"]}},
        "backbones": {
            "opencity": {
                "options": {"width": 8, "layers": 1, "heads": 2, "patches": 4, "patch_steps": 3},
                "optimisation": {"learning_rate": 5e-3},
            }
        },
        "pruners": {"full": None, "random_dynamic": None, "st_prune": None, "infobatch": None},
        "prune_ratios": [0.6],
        "seeds": [0],
        "training": {"epochs": 4, "batch_size": 32},
        "compute": {"own_cores": False},
        "tracking": {"mode": "disabled"},
        "data_directory": str(directory),
        "results_directory": str(results),
    }


def union_config(values: dict[str, Any]) -> ExperimentConfig:
    """Parsed."""
    return parse_config(values, "the union")
