"""Whole runs of other tasks and protocols: they train, resume to the same bits, and say so."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from toy_runs import Listener, StoppedError, elsewhere, key_of, outcome

from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.training.run import train

IMPUTE = {"task": "impute", "task_options": {"points": 0.2, "blocks": 0.1, "show_hidden": True}}
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "impute": (IMPUTE, "paper"),
    "few_shot": ({"task": "few_shot", "task_options": {"share": 0.4}}, "legacy"),
    "strict": ({}, "strict"),
}


@pytest.fixture(params=KINDS)
def experiment(request: pytest.FixtureRequest, toy_values: dict[str, Any]) -> ExperimentConfig:
    entry, protocol = KINDS[request.param]
    toy_values["datasets"] = {"toy": entry}
    toy_values["protocol"] = protocol
    return parse_config(toy_values, "the toy configuration")


def test_a_stopped_run_ends_as_an_undisturbed_one(experiment: ExperimentConfig) -> None:
    key, disturbed = key_of("st_prune", 0.5), elsewhere(experiment, "disturbed")
    record = train(experiment, key, [])
    with pytest.raises(StoppedError):
        train(disturbed, key, [Listener(1)])
    train(disturbed, key, [])
    (expected, expected_epochs), (results, epochs) = (
        outcome(experiment, key),
        outcome(disturbed, key),
    )
    assert results == expected
    pd.testing.assert_frame_equal(epochs, expected_epochs, check_exact=True)
    assert epochs["train_loss"].iloc[-1] < epochs["train_loss"].iloc[0]
    assert set(record.scores_by_rule) == {"paper", "st_ttc", "largest", "opencity"}
    rule = "st_ttc" if experiment.protocol == "legacy" else "paper"
    assert record.test == record.scores_by_rule[rule]


def test_static_pruners_score_windows_to_be_imputed(toy_values: dict[str, Any]) -> None:
    toy_values["datasets"] = {"toy": IMPUTE}
    toy_values["pruners"] = {"el2n": None}
    config = parse_config(toy_values, "the toy configuration")
    record = train(config, key_of("el2n", 0.5), [])
    assert record.cost.realised_keep_ratio == pytest.approx(0.5, abs=0.01)
    assert record.test.mae is not None
