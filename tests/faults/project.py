"""A project so small that a run takes a second: five pruners on the toy data set."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toy
import yaml

SCRATCH = "results"
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
    "tracking": {"mode": "disabled"},
    "mirror": "mirror",
}


@dataclass(frozen=True)
class Project:
    """A folder with the card, the raw files and a configuration for each trial.

    Args:
        root: The folder, where commands run.
    """

    root: Path

    @classmethod
    def made(cls, root: Path) -> Project:
        """Write card and raw files below ``root``."""
        toy.write_toy(root / "data", root / "mirror")
        return cls(root)

    def trial(self, name: str, **changes: Any) -> Trial:
        """A trial with results, and if ``changes`` say so data, of its own."""
        values = CONFIG | {"results_directory": f"trials/{name}"} | changes
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return Trial(self, name, path)


@dataclass(frozen=True)
class Trial:
    """One configuration and what its commands leave.

    Args:
        project: Where it runs.
        name: Its name.
        config: Its configuration.
    """

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

    def train_words(self, pruner: str, seed: int = 0) -> list[str]:
        """The command that trains one run."""
        ratio = "0" if pruner == "full" else "0.5"
        where = ("--dataset", toy.DATASET, "--backbone", "stid", "--pruner", pruner)
        return [*self.words("train"), *where, "--prune-ratio", ratio, "--seed", str(seed)]

    def run_folder(self, pruner: str, seed: int = 0) -> Path:
        """Folder of the run's record."""
        ratio = "0" if pruner == "full" else "0.5"
        return self.results / "runs" / toy.DATASET / "stid" / pruner / f"p{ratio}" / f"s{seed}"

    def checkpoints(self, pruner: str, seed: int = 0) -> Path:
        """Folder of the run's checkpoints."""
        below = self.run_folder(pruner, seed).relative_to(self.results / "runs")
        return self.results / "checkpoints" / below

    def remove(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self.project.root / "trials" / self.name, ignore_errors=True)
        self.config.unlink()
