"""A run that was stopped ends as an undisturbed one, or says why it cannot go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from toy_runs import Listener, StoppedError, elsewhere, files_below, key_of, outcome

from stprune.base.errors import CheckpointError
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout
from stprune.training.checkpoint import discard_checkpoints, previous_checkpoint
from stprune.training.run import train


@pytest.mark.parametrize("pruner", ["full", "el2n", "infobatch", "st_prune", "random_dynamic"])
@pytest.mark.parametrize("stops", [(0,), (2,), (5,), (0, 1, 4)], ids=str)
def test_a_stopped_run_ends_as_an_undisturbed_one(
    all_pruners: ExperimentConfig, pruner: str, stops: tuple[int, ...]
) -> None:
    key, disturbed = key_of(pruner), elsewhere(all_pruners, "disturbed")
    train(all_pruners, key, [])
    layout = experiment_layout(disturbed)
    for stop in stops:
        listener = Listener(stop)
        with pytest.raises(StoppedError):
            train(disturbed, key, [listener])
        assert listener.told[-1] == "failed StoppedError"
        left = ["last.pt"] if stop == 0 else ["last.pt", "previous.pt"]
        assert files_below(layout.root) == left
        torch.rand(3)  # a process of its own would not have this state either
    listener = Listener()
    record = train(disturbed, key, [listener])
    assert [epoch.epoch for epoch in listener.done] == list(range(stops[-1] + 1))
    assert record.resumed == len(stops)
    assert files_below(layout.root) == ["epochs.csv", "kept.npz", "metrics.json"]
    undisturbed = experiment_layout(all_pruners).kept(key)
    assert layout.kept(key).read_bytes() == undisturbed.read_bytes()
    (expected, expected_epochs), (results, epochs) = (
        outcome(all_pruners, key),
        outcome(disturbed, key),
    )
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


def test_damaged_checkpoints_are_not_passed_over(all_pruners: ExperimentConfig) -> None:
    key = key_of("full")
    with pytest.raises(StoppedError):
        train(all_pruners, key, [Listener(1)])
    path = experiment_layout(all_pruners).checkpoint(key)
    for damaged in (path, previous_checkpoint(path)):
        damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="delete both"):
        train(all_pruners, key, [])
    discard_checkpoints(path)
    assert train(all_pruners, key, []).resumed == 0


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip_a_bit(path: Path) -> None:
    """Of a weight: nothing that the reader would stumble over."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip_a_bit, Path.unlink])
def test_a_damaged_checkpoint_costs_an_epoch_and_no_bit(
    all_pruners: ExperimentConfig,
    damage: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key, disturbed = key_of("st_prune"), elsewhere(all_pruners, "disturbed")
    train(all_pruners, key, [])
    with pytest.raises(StoppedError):
        train(disturbed, key, [Listener(3)])
    damage(experiment_layout(disturbed).checkpoint(key))
    listener = Listener()
    train(disturbed, key, [listener])
    assert len(listener.done) == 3
    said = "continuing from" in caplog.text and "an epoch earlier" in caplog.text
    assert said == (damage is not Path.unlink)
    assert outcome(disturbed, key)[0] == outcome(all_pruners, key)[0]
    pd.testing.assert_frame_equal(outcome(disturbed, key)[1], outcome(all_pruners, key)[1])
