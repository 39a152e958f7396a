"""What tests of whole runs share: keys, processes, a listener that can stop a run, what it left."""

import os
import sys
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from stprune.__main__ import main
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, experiment_layout
from stprune.pruning.base import PRUNERS
from stprune.records.run import EpochRecord, RunRecord, read_epochs, read_record
from stprune.training import run
from stprune.training.run import train

run.SAVE_SECONDS = 0.0  # a run can be stopped after any epoch
PRUNERS_WITH_RATIO = [name for name in PRUNERS.ids() if PRUNERS.load(name).uses_prune_ratio]


class StoppedError(Exception):
    """Stands for whatever ends a process."""


class Listener:
    """Notes what it is told, and stops the run after epoch ``stop_after``."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.told: list[str] = []
        self.done: list[EpochRecord] = []

    def run_started(self, spec: RunSpec, epochs: int, done: list[EpochRecord]) -> None:
        self.done = done
        self.told.append(f"started {epochs}")

    def epoch_finished(self, record: EpochRecord) -> None:
        self.told.append(f"epoch {record.epoch}")
        if record.epoch == self.stop_after:
            raise StoppedError

    def run_finished(self, record: RunRecord) -> None:
        self.told.append("finished")

    def run_failed(self, error: BaseException) -> None:
        self.told.append(f"failed {type(error).__name__}")


SERVER = get_context("forkserver")  # imports torch once for all processes; see conftest.py


class Command(SERVER.Process):
    """Runs commands in turn in ``folder``; what it says goes to the file ``said``."""

    def __init__(
        self, commands: list[list[str]], folder: Path, said: Path, environment: dict[str, str]
    ) -> None:
        super().__init__()
        self.commands, self.folder, self.said = commands, folder, said
        self.environment = environment

    def run(self) -> None:
        os.chdir(self.folder)
        os.environ.update(self.environment)
        sys.stderr = self.said.open("w", encoding="utf-8")
        for words in self.commands:
            if code := main(words):
                sys.exit(code)

    def end(self) -> tuple[int | None, str]:
        """Exit code and standard error, once it has ended."""
        self.join(300)
        return self.exitcode, self.said.read_text(encoding="utf-8")


def elsewhere(config: ExperimentConfig, name: str) -> ExperimentConfig:
    """The same experiment with results in another folder."""
    return config.model_copy(update={"results_directory": config.results_directory / name})


def key_of(pruner: str, prune_ratio: float = 0.6, seed: int = 0) -> RunKey:
    return RunKey("toy", "stid", pruner, 0.0 if pruner == "full" else prune_ratio, seed)


def outcome(config: ExperimentConfig, key: RunKey) -> tuple[dict[str, Any], pd.DataFrame]:
    """What a run's files hold, without times: the scores and costs, and the epochs."""
    layout = experiment_layout(config)
    record = read_record(layout.metrics(key)).model_dump()
    measured = ("_seconds", "_joules", "_bytes")
    cost = {name: value for name, value in record["cost"].items() if not name.endswith(measured)}
    results = ("test", "test_groups", "validation_mae", "best_epoch")
    epochs = read_epochs(layout.run(key) / "epochs.csv")
    unmeasured = epochs[[name for name in epochs if not str(name).endswith(measured)]]
    return {name: record[name] for name in results} | cost, unmeasured


def assert_same_outcome(one: ExperimentConfig, other: ExperimentConfig, key: RunKey) -> None:
    """Both runs have the same scores, costs and epochs, to the last bit."""
    (results, epochs), (expected, expected_epochs) = outcome(one, key), outcome(other, key)
    assert results == expected
    pd.testing.assert_frame_equal(epochs, expected_epochs, check_exact=True)


def train_with_stops(config: ExperimentConfig, key: RunKey, stops: Iterable[int]) -> RunRecord:
    """Train a run that is stopped after these epochs and resumed each time."""
    for stop in stops:
        with pytest.raises(StoppedError):
            train(config, key, [Listener(stop)])
        torch.rand(3)  # a process of its own would not have this state either
    return train(config, key, [])


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
