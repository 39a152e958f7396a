"""A cosine by steps falls to its end over the steps that a pruned run really makes."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from toy_runs import Listener, StoppedError, elsewhere, key_of, outcome

import stprune.training.run
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.training.engine import Engine
from stprune.training.run import train

START = 0.01


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step of all runs of a test."""
    noted: list[float] = []

    class Noting(Engine):
        def _step(self, *arguments: Any) -> Any:
            loss = super()._step(*arguments)
            noted.append(self.optimiser.param_groups[0]["lr"])
            return loss

    monkeypatch.setattr(stprune.training.run, "Engine", Noting)
    return noted


def with_cosine(values: dict[str, Any], pruner: str, budget: str) -> ExperimentConfig:
    values["training"] |= {"epochs": 6, "budget": budget}
    values["pruners"] = dict.fromkeys(["full", pruner])
    optimisation = {"learning_rate": START, "schedule": "cosine"}
    values["backbones"]["stid"]["optimisation"] = optimisation
    return parse_config(values, "toy.yaml")


@pytest.mark.parametrize("budget", ["epochs", "total_windows", "steps"])
@pytest.mark.parametrize("pruner", ["full_fewer_epochs", "random_dynamic"])
def test_each_step_has_its_place_on_the_curve(
    toy_values: dict[str, Any], rates: list[float], pruner: str, budget: str
) -> None:
    record = train(with_cosine(toy_values, pruner, budget), key_of(pruner, 0.5), [])
    steps = record.cost.gradient_steps
    curve = [START / 2 * (1 + math.cos(math.pi * k / steps)) for k in range(steps)]
    assert rates == pytest.approx(curve)


def test_infobatch_falls_to_the_end_though_its_steps_are_not_known_ahead(
    toy_values: dict[str, Any], rates: list[float]
) -> None:
    train(with_cosine(toy_values, "infobatch", "epochs"), key_of("infobatch", 0.5), [])
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == START
    assert rates[-1] < 0.1 * START


@pytest.mark.parametrize("pruner", ["random_dynamic", "infobatch"])
def test_a_stopped_run_goes_on_along_the_same_curve(
    toy_values: dict[str, Any], rates: list[float], pruner: str
) -> None:
    config, key = with_cosine(toy_values, pruner, "epochs"), key_of(pruner, 0.5)
    stopped = elsewhere(config, "stopped")
    train(config, key, [])
    whole = list(rates)
    rates.clear()
    for epoch in (0, 2):
        with pytest.raises(StoppedError):
            train(stopped, key, [Listener(epoch)])
    train(stopped, key, [])
    assert rates == whole
    (one, epochs), (other, other_epochs) = outcome(config, key), outcome(stopped, key)
    assert one == other
    pd.testing.assert_frame_equal(epochs, other_epochs, check_exact=True)
