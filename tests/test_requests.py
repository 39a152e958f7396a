"""What runs ask of a cluster: hand-worked from a record, generous without one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import toy
from toy_runs import key_of

from stprune.base.layout import DataLayout
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout
from stprune.training.run import train
from stprune.workflow.estimate import data_bytes
from stprune.workflow.requests import RunRequests

FULL, HALF = key_of("full"), key_of("st_prune", 0.5)


@pytest.fixture
def known(toy_values: dict[str, Any]) -> ExperimentConfig:
    """An experiment with one record, by which a window takes a second to train on, none to test."""
    config = parse_config(toy_values, "the toy configuration")
    train(config, FULL, [])
    table = experiment_layout(config).run_epochs(FULL)
    epochs = pd.read_csv(table)
    epochs["step_seconds"] = epochs["windows"].astype(float)
    epochs[["data_seconds", "validation_seconds"]] = 0.0
    epochs.to_csv(table, index=False)
    change(config, lambda record: record["cost"].update(peak_memory_bytes=2_000_000_000))
    return config


def change(config: ExperimentConfig, edit: Any) -> dict[str, Any]:
    """Change the record; returns what it says then."""
    file = experiment_layout(config).metrics(FULL)
    record: dict[str, Any] = json.loads(file.read_text())
    edit(record)
    file.write_text(json.dumps(record))
    return record


def test_time_is_that_of_the_windows_a_run_visits(known: ExperimentConfig) -> None:
    windows = change(known, lambda record: None)["cost"]["training_windows"]
    requests = RunRequests(known)
    # Four epochs of all windows, a second each, three times that, and ten minutes.
    assert requests.minutes([FULL]) == 10 + math.ceil(3 * 4 * windows / 60)
    assert requests.minutes([FULL._replace(seed=5)]) == requests.minutes([FULL])
    # A full epoch, two of half the windows, and a full one.
    half = 2 * windows + 2 * (windows - windows // 2)
    assert abs(requests.minutes([HALF]) - (10 + 3 * half / 60)) <= 1
    both = 10 + math.ceil(3 * (4 * windows + half) / 60)
    assert abs(requests.minutes([FULL, HALF]) - both) <= 1
    assert requests.minutes([HALF], attempt=3) == 3 * requests.minutes([HALF])


def test_memory_is_that_of_records_and_doubles_with_each_attempt(known: ExperimentConfig) -> None:
    requests = RunRequests(known)
    # 800 MB beside one and a half times 2000 MB.
    assert [requests.megabytes(*HALF[:2], attempt) for attempt in (1, 2, 3)] == [3800, 7600, 15200]


def test_what_is_not_known_is_asked_for_generously(
    toy_config: ExperimentConfig, toy_data: Path
) -> None:
    requests = RunRequests(toy_config)
    assert requests.minutes([FULL]) == 730
    more = 2 * data_bytes(toy.DATASET, DataLayout(toy_data)) / 1e6
    assert requests.megabytes(*FULL[:2]) == 100 * math.ceil((4000 + more) / 100)


def test_peaks_of_a_gpu_say_nothing_about_memory(known: ExperimentConfig) -> None:
    change(known, lambda record: record["environment"].update(device="Some GPU"))
    assert RunRequests(known).megabytes(*FULL[:2]) == 4100


def test_records_of_other_settings_or_versions_do_not_count(
    known: ExperimentConfig, caplog: pytest.LogCaptureFixture
) -> None:
    change(known, lambda record: record["config"]["training"].update(batch_size=7))
    assert RunRequests(known).minutes([FULL]) == 730
    change(known, lambda record: record.update(record_version=0))
    assert RunRequests(known).minutes([FULL]) == 730
    assert "record version 0" in caplog.text
    assert RunRequests(known).megabytes(*FULL[:2]) == 4100
