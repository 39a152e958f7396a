"""A project so small that a run takes a second, and what of it must be equal after a fault."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import toy
import yaml

from stprune.records.run import read_record
from stprune.training.rerun import compare_runs

PRUNERS: dict[str, Any] = {
    "full": None,
    "random_dynamic": None,
    "infobatch": None,
    "el2n": {"options": {"scoring_epochs": 1}},
    "st_prune": None,
}
CONFIG = {
    "experiment": "toy",
    "datasets": {toy.DATASET: None},
    "backbones": {"stid": {"options": {"series_width": 8, "node_width": 8}}},
    "pruners": PRUNERS,
    "prune_ratios": [0.5],
    "seeds": [0],
    "training": {"epochs": 5, "batch_size": 32},
    # The campaign's own processes share a core.
    "compute": {"own_cores": False},
    "timing": {"rounds": 0},
    "tracking": {"mode": "disabled"},
    "mirror": "mirror",
}
RUN_FILES = ("epochs.csv", "kept.npz", "metrics.json")
MEASURED = ("_seconds", "_joules", "_bytes", "_percent", "_ratio_sd", "_time_ratio")
TIMED_COLUMNS = ("started", "finished", "resumed", "git_commit")
# Locks end with their process, but their empty files may stay. An asterisk stands for any folders.
MAY_STAY = (
    *("*.lock", "runs/*/epochs.csv", "runs/*/kept.npz", "runs/*/metrics.json", "config.yaml"),
    *("blocks/*.json", "logs/*.log", "benchmarks/*.tsv", "summary.csv", "store/*"),
    *("tables/*", "figures/*", "report.html"),
)


@dataclass(frozen=True)
class Project:
    """A folder with the card, the raw files and a configuration for each trial."""

    root: Path

    def __post_init__(self) -> None:
        toy.write_toy(self.root / "data", self.root / "mirror")

    def trial(self, name: str, **changes: Any) -> "Trial":
        """A trial with results, and if ``changes`` say so data, of its own."""
        values = CONFIG | {"results_directory": f"trials/{name}"} | changes
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return Trial(self, name, path)


@dataclass(frozen=True)
class Trial:
    """One configuration and what its commands leave."""

    project: Project
    name: str
    config: Path

    @property
    def results(self) -> Path:
        """Folder of the experiment."""
        return self.project.root / "trials" / self.name / "toy"

    def words(self, *command: str) -> list[str]:
        """A command of stprune with this trial's configuration."""
        return [*command, "--config", self.config.name]

    def train_words(self, pruner: str) -> list[str]:
        """The command that trains one run."""
        ratio = "0" if pruner == "full" else "0.5"
        where = ("--dataset", toy.DATASET, "--backbone", "stid", "--pruner", pruner)
        return [*self.words("train"), *where, "--prune-ratio", ratio, "--seed", "0"]

    def run_folder(self, pruner: str) -> Path:
        """Folder of the run's record."""
        ratio = "0" if pruner == "full" else "0.5"
        return self.results / "runs" / toy.DATASET / "stid" / pruner / f"p{ratio}" / "s0"

    def remove(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self.project.root / "trials" / self.name, ignore_errors=True)
        self.config.unlink()


def run_differences(reference: Path, folder: Path) -> list[str]:
    """How a run's files differ from those of the undisturbed run."""
    missing = [name for name in RUN_FILES if not (folder / name).is_file()]
    if missing:
        return [f"{folder} lacks {', '.join(missing)}"]
    files = [place / "metrics.json" for place in (reference, folder)]
    found = compare_runs(*((read_record(file), file) for file in files))
    problems = [*map(str, found.results), *found.not_compared]
    return [f"{folder}: {problem}" for problem in problems] + impossible_times(folder)


def steady_table(path: Path) -> list[dict[str, str]]:
    """Rows of a csv file without its times; as text, so that every digit counts."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    parts = (*TIMED_COLUMNS, *MEASURED, "time")
    timed = [name for name in map(str, frame) if any(part in name for part in parts)]
    rows: list[dict[str, str]] = frame.drop(columns=timed).to_dict("records")
    return rows


def impossible_times(folder: Path) -> list[str]:
    """Times in a run's record that no clock can have shown."""
    record = json.loads((folder / "metrics.json").read_text())
    epochs = pd.read_csv(folder / "epochs.csv")
    seconds = {k: v for k, v in record["cost"].items() if k.endswith("_seconds") and v is not None}
    seconds |= {str(k): epochs[k].min() for k in epochs if str(k).endswith("_seconds")}
    problems = [f"{folder}: {name} is {value}" for name, value in seconds.items() if value < 0]
    if not epochs["elapsed_seconds"].is_monotonic_increasing:
        problems.append(f"{folder}: elapsed time runs backwards")
    return problems


def strays(folder: Path, allowed: Iterable[str] = MAY_STAY) -> list[str]:
    """Files below ``folder`` that no pattern of ``allowed`` names."""
    patterns = list(allowed)
    below = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [f"left behind: {p}" for p in below if not any(fnmatchcase(p, a) for a in patterns)]


def contents(folder: Path, *endings: str) -> dict[str, bytes]:
    """Bytes of the files below ``folder`` with one of the ``endings``."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix in endings]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def training_times(results: Path) -> dict[str, float]:
    """How long each finished run trained: no two trainings take the same time."""
    records = list((results / "runs").rglob("metrics.json"))
    costs = [json.loads(path.read_text())["cost"] for path in records]
    return {str(path): cost["train_seconds"] for path, cost in zip(records, costs, strict=True)}
