"""The model of a record, from its kept weights: its errors, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
import yaml
from toy_runs import key_of
from toy_union import KEY, union_values, write_union

from stprune.base.errors import CheckpointError, ConfigError, RecordError
from stprune.base.layout import DataLayout
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout, run_spec
from stprune.records.run import read_record
from stprune.training.checkpoint import load_checkpoint
from stprune.training.recorded_model import open_recorded_model
from stprune.training.run import train


@pytest.fixture(scope="module")
def experiment(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run whose weights were kept, with its configuration."""
    folder = tmp_path_factory.mktemp("kept")
    values = {
        "experiment": "toy",
        "datasets": {toy.DATASET: None},
        "backbones": {"stid": {"options": {"series_width": 8, "node_width": 8}}},
        "pruners": {"full": None},
        "prune_ratios": [0.0],
        "seeds": [0],
        "training": {"epochs": 2, "batch_size": 32},
        "compute": {"own_cores": False},
        "tracking": {"mode": "disabled"},
        "keep_weights": True,
        "data_directory": str(toy_data),
        "results_directory": str(folder),
    }
    config = parse_config(values, "the toy configuration")
    train(config, key_of("full"), ())
    (folder / "toy" / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder / "toy"


@pytest.fixture
def metrics(experiment: Path, tmp_path: Path) -> Path:
    """The record of the run in a copy that a test may damage."""
    shutil.copytree(experiment, tmp_path / "toy")
    return next((tmp_path / "toy").rglob("metrics.json"))


def test_errors_of_the_model_are_those_of_its_record(metrics: Path) -> None:
    model = open_recorded_model(metrics)
    errors, stride = model.node_errors("test")
    record = read_record(metrics)
    assert stride == 1
    assert errors.shape == (len(model.data.test), toy.NODES)
    # Weighted by what was observed, node errors add up to the pooled error.
    store = model.data.test
    counts = store.gather(torch.arange(len(store))).mask.sum(1).numpy()
    pooled = (np.nan_to_num(errors) * counts).sum() / counts.sum()
    assert pooled == pytest.approx(record.test.mae, rel=1e-4)


def test_of_more_windows_than_fit_every_kth_is_taken(
    metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_recorded_model(metrics)
    whole, _ = model.node_errors("train")
    monkeypatch.setattr("stprune.training.recorded_model.KEPT_ERRORS", 100 * toy.NODES)
    part, stride = model.node_errors("train")
    assert (stride, len(part)) == (3, 97)
    np.testing.assert_allclose(part, whole[::3], rtol=1e-5)


def test_kept_weights_are_tensors_and_are_asked_for_where_they_lack(metrics: Path) -> None:
    record = read_record(metrics)
    state, _ = load_checkpoint(
        metrics.with_name("weights.pt"),
        {"configuration": record.fingerprint, "data": record.data["checksum"]},
    )
    assert state
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    metrics.with_name("weights.pt").unlink()
    with pytest.raises(CheckpointError):
        open_recorded_model(metrics)


def test_weights_of_another_run_are_refused(metrics: Path) -> None:
    path = metrics.with_name("weights.pt")
    content = torch.load(path, weights_only=True)
    content["identity"]["source code"] = "another"
    torch.save(content, path)
    with pytest.raises(CheckpointError):
        open_recorded_model(metrics)


def test_weights_that_do_otherwise_than_the_record_says_are_refused(metrics: Path) -> None:
    values = json.loads(metrics.read_text(encoding="utf-8"))
    values["validation_mae"] *= 1.1
    metrics.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(RecordError):
        open_recorded_model(metrics)


def test_another_configuration_is_refused_and_a_missing_one_asked_for(metrics: Path) -> None:
    path = metrics.parents[6] / "config.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    other = path.with_name("other.yaml")
    values["training"]["epochs"] = 3
    other.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ConfigError):
        open_recorded_model(metrics, other)
    path.unlink()
    with pytest.raises(ConfigError):
        open_recorded_model(metrics)


def test_other_data_than_those_of_the_record_are_refused(
    metrics: Path, toy_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(toy_data, folder)
    meta = DataLayout(folder).processed(toy.DATASET) / "meta.json"
    values = json.loads(meta.read_text(encoding="utf-8"))
    values["checksum"] = "0" * 64
    meta.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(RecordError):
        open_recorded_model(metrics, data_directory=folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "legacy"},
        {"datasets": {toy.DATASET: {"task": "impute", "task_options": {"points": 0.3}}}},
    ],
    ids=["legacy", "impute"],
)
def test_models_of_other_protocols_and_tasks_are_read_as_well(
    changes: dict[str, Any], toy_values: dict[str, Any], tmp_path: Path
) -> None:
    toy_values["training"] |= {"epochs": 1}
    toy_values |= {"keep_weights": True, **changes}
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    # Opening it sees that the validation error is that of the record.
    model = open_recorded_model(experiment_layout(config).metrics(key_of("full")), path)
    errors, _ = model.node_errors("validation")
    assert np.isfinite(errors).any()


def test_a_run_of_a_union_is_refused(metrics: Path, tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path)
    path = tmp_path / "union.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    spec = run_spec(parse_config(values, "the union"), KEY)
    record = json.loads(metrics.read_text(encoding="utf-8"))
    record |= {**KEY._asdict(), "fingerprint": spec.fingerprint}
    metrics.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ConfigError):
        open_recorded_model(metrics, path)


def test_without_the_option_no_weights_are_left(toy_values: dict[str, Any]) -> None:
    toy_values["training"] |= {"epochs": 1}
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    layout = experiment_layout(config)
    assert layout.metrics(key_of("full")).exists()
    assert not layout.weights(key_of("full")).exists()
