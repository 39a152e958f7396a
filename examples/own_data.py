"""Your own csv and list of roads, from two files to a trained run.

python examples/own_data.py [FOLDER]

Each `run` does what the command `stprune` does with the same words; docs/own_data.md explains them.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from stprune.__main__ import main as stprune

SENSORS = ["north", "east", "south", "west"]
CONFIGURATION = """\
experiment: own_data
data_directory: {folder}/data
results_directory: {folder}/results
datasets: {{ring_road: }}
backbones: {{stid: }}
pruners: {{full: , full_fewer_epochs: , random_dynamic: , st_prune: }}
prune_ratios: [0.5]
seeds: [0]
training: {{epochs: 3, batch_size: 32}}
"""


def write_files(folder: Path) -> None:
    """Two weeks of hourly flows with a gap, and the roads between the sensors."""
    rng, hours = np.random.default_rng(0), np.arange(14 * 24)
    level = 60 + 40 * np.sin(2 * np.pi * (hours - 8) / 24)
    flows = level[:, None] + 10 * np.arange(4) + rng.normal(0, 4, (len(hours), 4))
    flows[100:112, 2] = np.nan
    times = pd.date_range("2024-03-04", periods=len(hours), freq="h", name="time")
    pd.DataFrame(flows, times, SENSORS).round(1).to_csv(folder / "flows.csv")
    roads = "from,to,km\nnorth,east,2\neast,south,3\nsouth,west,4\nwest,north,5\n"
    (folder / "roads.csv").write_text(roads, encoding="utf-8")


def run(*words: str | Path) -> None:
    """Run one command; stop at a mistake, which is on standard error."""
    sys.stdout.write(f"$ stprune {' '.join(map(str, words))}\n")
    if code := stprune([str(word) for word in words]):
        sys.exit(code)


def main(folder: Path) -> None:
    """Add the data set, prepare it, train on it, and say the test error."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    write_files(folder)
    config = folder / "own_data.yaml"
    config.write_text(CONFIGURATION.format(folder=folder), encoding="utf-8")
    add = ["data", "add", "ring_road", "--replace", "--data-directory", folder / "data"]
    add += ["--series", folder / "flows.csv", "--channel", "flow=vehicles / h"]
    add += ["--edges", folder / "roads.csv", "--option", "graph.weights=gaussian"]
    run(*add, "--option", "graph.sigma=4")
    run("data", "prepare", "ring_road", "--config", config)
    choice = ["--dataset", "ring_road", "--backbone", "stid", "--pruner", "st_prune"]
    run("train", "--config", config, *choice, "--prune-ratio", "0.5")
    (record,) = (folder / "results").glob("*/runs/**/metrics.json")
    test = json.loads(record.read_text(encoding="utf-8"))["test"]
    sys.stdout.write(f"test MAE {test['mae']:.2f} vehicles / h over {test['windows']} windows\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
