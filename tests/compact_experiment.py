"""The configuration of a made-up experiment, for tests of stores."""

from pathlib import Path
from typing import Any

import yaml

from stprune.config.experiment import ExperimentConfig, load_config

SHOWN = ("random_dynamic", "infobatch", "st_prune", "el2n")


def configuration(root: Path, **changes: Any) -> ExperimentConfig:
    """Of the experiment that `write_experiment` makes of ``SHOWN``, written where it lies."""
    values = {
        "experiment": "made_up",
        "datasets": {"synthetic_roads": {"dataset": "sim_freeway"}},
        "backbones": {"stid": None},
        "pruners": dict.fromkeys(("full", *SHOWN)),
        "prune_ratios": [0.5, 0.9],
        "seeds": [0, 1],
        "mirror": "/a/machine",
    }
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return load_config(path)
