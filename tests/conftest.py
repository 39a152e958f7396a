"""Fixtures that several test files share: the toy data set and a configuration on it."""

from collections.abc import Iterator
from multiprocessing import set_forkserver_preload
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from hypothesis import settings
from toy_runs import PRUNERS_WITH_RATIO

from stprune.base.layout import DataLayout
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.data.canonical import read_canonical
from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.prepare import prepare

# Imported once for all processes that tests start by a fork server.
set_forkserver_preload(["stprune.training.run"])
# Repeatable, independent of the machine's speed, and nothing kept between runs.
settings.register_profile("stprune", deadline=None, derandomize=True, database=None)
settings.load_profile("stprune")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left alone with one in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    # The longest of them: minutes each.
    longest = ("test_slurm.py", "test_workflow.py")
    items.sort(key=lambda item: (item.path.name not in longest, item.path not in slow))


@pytest.fixture(autouse=True)
def subnormal_numbers() -> None:
    """Training makes them zero in the whole process, and hypothesis wants to draw them."""
    torch.set_flush_denormal(False)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For tiny tensors, where a second thread would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that holds the toy card and the prepared data set."""
    folder = tmp_path_factory.mktemp("toy")
    directory, mirror = folder / "data", folder / "mirror"
    toy.write_toy(directory, mirror)
    prepare(toy.DATASET, DataLayout(directory), str(mirror))
    return directory


@pytest.fixture(scope="session")
def toy_forecast(toy_data: Path) -> ForecastData:
    """The toy data set's windows of 12 input and 12 target steps."""
    dataset = read_canonical(DataLayout(toy_data).processed(toy.DATASET))
    return forecast_data(dataset, history=12, horizon=12)


@pytest.fixture
def toy_values(toy_data: Path, tmp_path: Path) -> dict[str, Any]:
    """A small valid configuration as plain values, for tests to change before parsing."""
    return {
        "experiment": "toy",
        "datasets": {toy.DATASET: None},
        "backbones": {
            "stid": {
                "options": {"series_width": 8, "node_width": 8, "time_of_day_width": 8},
                "optimisation": {"learning_rate": 5e-3},
            }
        },
        "pruners": {"full": None, "st_prune": None},
        "prune_ratios": [0.5],
        "seeds": [0],
        "training": {"epochs": 4, "batch_size": 32},
        "compute": {"own_cores": False},
        "tracking": {"mode": "disabled"},
        "data_directory": str(toy_data),
        "results_directory": str(tmp_path / "results"),
    }


@pytest.fixture
def toy_config(toy_values: dict[str, Any]) -> ExperimentConfig:
    """An experiment of a few short runs on the toy data set, untracked, on shared cores."""
    return parse_config(toy_values, "the toy configuration")


@pytest.fixture
def all_pruners(toy_values: dict[str, Any]) -> ExperimentConfig:
    """Six epochs: a full one, four that are pruned, and one of tail; every pruner."""
    toy_values["training"] |= {"epochs": 6}
    toy_values["pruners"] = dict.fromkeys(["full", *PRUNERS_WITH_RATIO])
    toy_values["prune_ratios"] = [0.0, 0.6]
    toy_values["seeds"] = [0, 1]
    return parse_config(toy_values, "the toy configuration")
