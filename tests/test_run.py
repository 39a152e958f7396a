"""Whole runs on the toy data: record, repeatability, resuming, and how runs fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric

from stprune.config import ExperimentConfig, parse_config
from stprune.data.dataset import ForecastData
from stprune.engine import Engine, build_model
from stprune.errors import CheckpointError, DataError, TrainingDivergedError
from stprune.evaluation import evaluate
from stprune.grid import RunSpec, experiment_layout, run_spec
from stprune.layout import RunKey
from stprune.pruners.base import Selection
from stprune.records import EpochRecord, RunRecord, read_epochs, read_record
from stprune.run import train

PRUNERS_WITH_RATIO = (
    "full_fewer_epochs",
    "random_static",
    "random_dynamic",
    "el2n",
    "infobatch",
    "st_prune",
)


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


@pytest.fixture
def config(toy_values: dict[str, Any]) -> ExperimentConfig:
    """Six epochs: a full one, four that are pruned, and one of tail; all pruners."""
    toy_values["training"] |= {"epochs": 6}
    toy_values["pruners"] = dict.fromkeys(["full", *PRUNERS_WITH_RATIO])
    toy_values["prune_ratios"] = [0.0, 0.6]
    toy_values["seeds"] = [0, 1]
    return parse_config(toy_values, "the toy configuration")


def elsewhere(config: ExperimentConfig, name: str) -> ExperimentConfig:
    """The same experiment with results in another folder."""
    return config.model_copy(update={"results_directory": config.results_directory / name})


def key_of(pruner: str, prune_ratio: float = 0.6, seed: int = 0) -> RunKey:
    return RunKey("toy", "stid", pruner, 0.0 if pruner == "full" else prune_ratio, seed)


def outcome(config: ExperimentConfig, key: RunKey) -> tuple[dict[str, Any], pd.DataFrame]:
    """What a run's files hold, without times: the scores and costs, and the epochs."""
    layout = experiment_layout(config)
    record = read_record(layout.metrics(key)).model_dump()
    cost = {
        name: value
        for name, value in record["cost"].items()
        if not name.endswith("_seconds") and name != "peak_memory_bytes"
    }
    results = {name: record[name] for name in ("test", "validation_mae", "best_epoch")}
    epochs = read_epochs(layout.run_epochs(key))
    return results | cost, epochs[[name for name in epochs if not str(name).endswith("_seconds")]]


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("pruner", ["full", *PRUNERS_WITH_RATIO])
def test_a_run_leaves_a_whole_record(
    config: ExperimentConfig, toy_forecast: ForecastData, pruner: str
) -> None:
    key, listener = key_of(pruner), Listener()
    returned = train(config, key, [listener])
    layout = experiment_layout(config)
    record = read_record(layout.metrics(key))
    assert record == returned
    json.dumps(record.model_dump(mode="json"), allow_nan=False)
    assert files_below(layout.root) == ["epochs.csv", "metrics.json"]
    epochs = read_epochs(layout.run_epochs(key))
    # 2 full epochs and 4 that keep 0.4: 3.6 in all.
    count = 4 if pruner == "full_fewer_epochs" else 6
    assert epochs["epoch"].tolist() == list(range(count))
    assert listener.told == [
        f"started {count}",
        *(f"epoch {epoch}" for epoch in range(count)),
        "finished",
    ]
    assert record.test.windows == len(toy_forecast.test)
    assert record.cost.training_windows == len(toy_forecast.train)
    assert record.cost.windows_visited == epochs["windows"].sum()
    assert record.validation_mae == epochs["validation_mae"].min()
    assert record.best_epoch == epochs["validation_mae"].idxmin()
    assert record.config["pruner"]["id"] == pruner
    assert record.environment["threads"] == 1
    assert record.data["checksum"] == toy_forecast.description["checksum"]
    assert record.resumed == 0


@pytest.mark.parametrize("pruner", ["full", "st_prune", "infobatch", "random_dynamic"])
def test_training_learns(config: ExperimentConfig, pruner: str) -> None:
    train(config, key_of(pruner), [])
    _, epochs = outcome(config, key_of(pruner))
    first, last = epochs["validation_mae"].iloc[0], epochs["validation_mae"].iloc[-1]
    assert last < 0.8 * first
    assert epochs["train_loss"].iloc[-1] < 0.8 * epochs["train_loss"].iloc[0]


def test_a_pruned_run_keeps_its_budget(config: ExperimentConfig) -> None:
    train(config, key_of("st_prune"), [])
    results, epochs = outcome(config, key_of("st_prune"))
    # 289 windows, 0.4 of them 116; in batches of at most 32.
    assert epochs["windows"].tolist() == [289, 116, 116, 116, 116, 289]
    assert epochs["gradient_steps"].tolist() == [10, 4, 4, 4, 4, 10]
    assert epochs["keep_ratio"].tolist() == pytest.approx([1, *[116 / 289] * 4, 1])
    assert results["realised_keep_ratio"] == pytest.approx(116 / 289)
    assert results["overall_keep_ratio"] == pytest.approx((2 * 289 + 4 * 116) / (6 * 289))


def test_every_test_window_is_scored_once(toy_forecast: ForecastData) -> None:
    """A model that repeats the last input gets the score that slices of the series give."""

    class LastValue(torch.nn.Module):
        def forward(
            self, inputs: torch.Tensor, time_of_day: torch.Tensor, day_of_week: torch.Tensor
        ) -> torch.Tensor:
            return inputs[:, -1:, :, 0].expand(-1, 12, -1)

    store = toy_forecast.test
    fabric = Fabric(accelerator="cpu", devices=1)
    scores = evaluate(LastValue(), store, 7, 1.0, fabric).scores()
    series = store.series[:, :, 0].double()
    assert store.target_mask is not None
    total, count = 0.0, 0
    for start in range(store.first, store.first + len(store)):
        targets = slice(start + 12, start + 24)
        observed = store.target_mask[targets]
        total += float(((series[targets] - series[start + 11]).abs() * observed).sum())
        count += int(observed.sum())
    assert scores.windows == 96
    assert scores.mae == pytest.approx(total / count, rel=1e-5)


def test_without_pruning_every_pruner_is_full_training(config: ExperimentConfig) -> None:
    train(config, key_of("full"), [])
    expected, expected_epochs = outcome(config, key_of("full"))
    for pruner in PRUNERS_WITH_RATIO:
        train(config, key_of(pruner, 0.0), [])
        results, epochs = outcome(config, key_of(pruner, 0.0))
        assert results == expected, pruner
        pd.testing.assert_frame_equal(epochs, expected_epochs, check_exact=True)


@pytest.mark.parametrize("pruner", ["full", "st_prune", "el2n"])
def test_equal_seeds_give_equal_runs_and_other_seeds_do_not(
    config: ExperimentConfig, pruner: str
) -> None:
    key, other = key_of(pruner), key_of(pruner, seed=1)
    torch.manual_seed(123)  # global state must not matter
    train(config, key, [])
    torch.manual_seed(456)
    train(elsewhere(config, "again"), key, [])
    train(config, other, [])
    one, one_epochs = outcome(config, key)
    two, two_epochs = outcome(elsewhere(config, "again"), key)
    assert one == two
    pd.testing.assert_frame_equal(one_epochs, two_epochs, check_exact=True)
    assert outcome(config, other)[0]["test"] != one["test"]


@pytest.mark.parametrize("pruner", ["full", "el2n", "infobatch", "st_prune", "random_dynamic"])
@pytest.mark.parametrize("stops", [(0,), (2,), (5,), (0, 1, 4)], ids=str)
def test_a_stopped_run_ends_as_an_undisturbed_one(
    config: ExperimentConfig, pruner: str, stops: tuple[int, ...]
) -> None:
    key, disturbed = key_of(pruner), elsewhere(config, "disturbed")
    train(config, key, [])
    layout = experiment_layout(disturbed)
    for stop in stops:
        listener = Listener(stop)
        with pytest.raises(StoppedError):
            train(disturbed, key, [listener])
        assert listener.told[-1] == "failed StoppedError"
        assert files_below(layout.root) == ["last.pt"]
        torch.rand(3)  # a process of its own would not have this state either
    listener = Listener()
    record = train(disturbed, key, [listener])
    assert [epoch.epoch for epoch in listener.done] == list(range(stops[-1] + 1))
    assert record.resumed == len(stops)
    assert files_below(layout.root) == ["epochs.csv", "metrics.json"]
    (expected, expected_epochs), (results, epochs) = outcome(config, key), outcome(disturbed, key)
    assert results == expected
    pd.testing.assert_frame_equal(epochs, expected_epochs, check_exact=True)


@pytest.mark.parametrize(
    "schedule", [{"milestones": [2, 4], "gamma": 0.5}, {"step_epochs": 2, "gamma": 0.5}], ids=str
)
def test_a_stopped_run_keeps_its_learning_rates(
    toy_values: dict[str, Any], schedule: dict[str, Any]
) -> None:
    toy_values["training"] |= {"epochs": 6}
    toy_values["backbones"]["stid"]["optimisation"] = {"learning_rate": 0.01, **schedule}
    config = parse_config(toy_values, "the toy configuration")
    with pytest.raises(StoppedError):
        train(config, key_of("full"), [Listener(2)])
    train(config, key_of("full"), [])
    _, epochs = outcome(config, key_of("full"))
    rates = [0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]
    assert epochs["learning_rate"].tolist() == pytest.approx(rates)


def test_a_changed_configuration_starts_anew(
    toy_values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    key = key_of("st_prune", 0.5)
    with pytest.raises(StoppedError):
        train(parse_config(toy_values, "first"), key, [Listener(1)])
    toy_values["training"]["batch_size"] = 16
    config = parse_config(toy_values, "second")
    record = train(config, key, [])
    assert record.resumed == 0
    assert "starts anew: its configuration changed since the checkpoint" in caplog.text
    fresh = elsewhere(config, "fresh")
    train(fresh, key, [])
    assert outcome(config, key)[0] == outcome(fresh, key)[0]


def test_a_damaged_checkpoint_is_not_passed_over(config: ExperimentConfig) -> None:
    key = key_of("full")
    with pytest.raises(StoppedError):
        train(config, key, [Listener(1)])
    path = experiment_layout(config).checkpoint(key)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="delete it"):
        train(config, key, [])
    path.unlink()
    assert train(config, key, []).resumed == 0


def test_the_ledger_adds_up(config: ExperimentConfig) -> None:
    key = key_of("el2n")
    record = train(config, key, [])
    epochs = read_epochs(experiment_layout(config).run_epochs(key))
    parts = ["data_seconds", "step_seconds", "scoring_seconds", "selection_seconds"]
    assert (epochs[parts] > 0).all(axis=None)
    assert epochs[parts].sum(axis=1).tolist() == pytest.approx(epochs["train_seconds"].tolist())
    assert (epochs["validation_seconds"] > 0).all()
    # A checkpoint is charged to the epoch after it.
    assert epochs["checkpoint_seconds"].iloc[0] == 0
    assert (epochs["checkpoint_seconds"].iloc[1:] > 0).all()
    cost = record.cost
    # The scoring model's two epochs are part of the run.
    assert cost.preparation_seconds > epochs["train_seconds"].min()
    assert cost.train_seconds == pytest.approx(
        cost.preparation_seconds + epochs["train_seconds"].sum()
    )
    assert cost.total_seconds == pytest.approx(epochs["elapsed_seconds"].iloc[-1])
    assert epochs["elapsed_seconds"].is_monotonic_increasing
    assert cost.test_seconds > 0


@pytest.mark.parametrize(("optimiser", "epochs"), [("sgd", 6), ("sgd", 1), ("adam", 1)])
def test_a_diverging_run_ends_in_one_line_and_leaves_no_record(
    toy_values: dict[str, Any], optimiser: str, epochs: int
) -> None:
    toy_values["backbones"]["stid"]["optimisation"] = {
        "learning_rate": 1e30,
        "optimiser": optimiser,
        "clip_norm": 0.0,
    }
    toy_values["training"] |= {"epochs": epochs}
    config = parse_config(toy_values, "the toy configuration")
    listener = Listener()
    with pytest.raises(TrainingDivergedError) as caught:
        train(config, key_of("full"), [listener])
    assert "\n" not in str(caught.value)
    assert "learning rate" in str(caught.value)
    assert "toy/stid/full/p0/s0" in str(caught.value)
    assert listener.told[-1] == "failed TrainingDivergedError"
    assert files_below(experiment_layout(config).root) in ([], ["last.pt"])


def test_weights_that_break_in_the_last_step_are_divergence_too(
    toy_values: dict[str, Any],
) -> None:
    """One batch an epoch: the loss is finite, but the weights after its step are not."""
    toy_values["backbones"]["stid"]["optimisation"] = {"learning_rate": 1e38, "optimiser": "sgd"}
    toy_values["training"] |= {"epochs": 1, "batch_size": 1000}
    config = parse_config(toy_values, "the toy configuration")
    with pytest.raises(TrainingDivergedError, match="validation"):
        train(config, key_of("full"), [])
    assert "metrics.json" not in files_below(experiment_layout(config).root)


def test_validation_can_be_rarer_and_end_the_run_early(toy_values: dict[str, Any]) -> None:
    toy_values["training"] |= {"epochs": 5, "validate_every": 2}
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), [])
    _, epochs = outcome(config, key_of("full"))
    validated = [epoch for epoch, mae in enumerate(epochs["validation_mae"]) if mae == mae]
    assert validated == [1, 3, 4]
    # At so high a rate some epoch soon is the best for two more.
    toy_values["backbones"]["stid"]["optimisation"] = {"learning_rate": 0.5}
    toy_values["training"] = {"epochs": 40, "patience": 2, "batch_size": 32}
    patient = elsewhere(parse_config(toy_values, "the toy configuration"), "patient")
    record = train(patient, key_of("full"), [])
    assert record.cost.epochs == record.best_epoch + 1 + 2 < 40
    # Testing uses the weights of the best epoch, as if training had ended there.
    toy_values["training"] = {"epochs": record.best_epoch + 1, "batch_size": 32}
    ended = elsewhere(parse_config(toy_values, "the toy configuration"), "ended")
    assert train(ended, key_of("full"), []).test == record.test


def trained_once(config: ExperimentConfig, data: ForecastData, selection: Selection) -> Engine:
    """An engine after one epoch of exactly ``selection``."""

    class Fixed:
        def select(self, epoch: int) -> Selection:
            return selection

        def observe(self, *_: Any) -> None:
            pass

        def planned_epochs(self) -> int:
            return 1

    engine = Engine(run_spec(config, key_of("full")), data, Fabric(accelerator="cpu", devices=1))
    pruner: Any = Fixed()
    engine.pruner = pruner
    engine.train_epoch()
    return engine


def test_a_windows_weight_is_its_share_of_the_loss(
    toy_values: dict[str, Any], toy_forecast: ForecastData
) -> None:
    """Weight 2 on half of a batch and 0 on the rest is that half alone."""
    toy_values["training"] |= {"batch_size": 1000}
    toy_values["backbones"]["stid"] = {
        "options": {"dropout": 0.0},
        "optimisation": {"optimiser": "sgd", "momentum": 0.0, "learning_rate": 0.01},
    }
    config = parse_config(toy_values, "the toy configuration")
    weights = np.tile(np.array([2, 0], np.float32), 144)
    whole = trained_once(config, toy_forecast, Selection(np.arange(288), weights))
    evens = Selection(np.arange(0, 288, 2), np.ones(144, np.float32))
    half = trained_once(config, toy_forecast, evens)
    assert whole.records[0].train_loss == pytest.approx(half.records[0].train_loss, rel=1e-5)
    initial = build_model(whole.spec, toy_forecast, 0).state_dict()
    for name, values in whole.network.state_dict().items():
        torch.testing.assert_close(values, half.network.state_dict()[name])
    changed = [
        name
        for name, values in whole.network.state_dict().items()
        if not torch.equal(values, initial[name])
    ]
    assert "regression.weight" in changed


def test_data_that_are_not_prepared_are_a_users_mistake(
    config: ExperimentConfig, tmp_path: Path
) -> None:
    empty = config.model_copy(update={"data_directory": tmp_path / "nowhere"})
    with pytest.raises(DataError, match="stprune data prepare toy"):
        train(empty, key_of("full"), [])
    assert files_below(experiment_layout(empty).root) == []
