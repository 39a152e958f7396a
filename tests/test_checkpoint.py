"""Checkpoints and kept weights: read as written, refused if foreign, damaged or hostile."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
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
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout, run_spec
from stprune.records.run import read_record
from stprune.training.checkpoint import load_checkpoint, save_checkpoint
from stprune.training.recorded_model import open_recorded_model
from stprune.training.run import train

IDENTITY = {"configuration": "a", "source code": "b", "data": "c"}


def a_state() -> dict[str, Any]:
    """What an engine saves: tensors, numbers, nested lists, large integers of a generator."""
    return {
        "weights": {"layer.weight": torch.arange(6.0).view(2, 3)},
        "rng": np.random.default_rng(5).bit_generator.state,
        "records": [{"epoch": 0, "loss": 0.1 + 0.2, "validation_mae": None}],
    }


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "last.pt"
    save_checkpoint(path, a_state(), IDENTITY)
    return path


def test_a_state_is_read_as_written(checkpoint: Path) -> None:
    state, reason = load_checkpoint(checkpoint, IDENTITY)
    assert reason == ""
    assert state is not None
    expected = a_state()
    assert torch.equal(
        state.pop("weights")["layer.weight"], expected.pop("weights")["layer.weight"]
    )
    assert state == expected
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.pt"]


def test_the_checkpoint_of_another_run_is_not_used(checkpoint: Path) -> None:
    state, reason = load_checkpoint(checkpoint, IDENTITY | {"data": "other"})
    assert state is None
    assert "data" in reason


def assert_one_line_error(path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, IDENTITY)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content", [[1, 2], {"identity": IDENTITY}, {"identity": "abc", "state": {}}], ids=str
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "last.pt")
    assert_one_line_error(tmp_path / "last.pt")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(checkpoint: Path, share: float) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(share * len(content))])
    assert_one_line_error(checkpoint)


class Hostile:
    """Runs a command when it is unpickled without care."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("plain", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, plain: bool) -> None:
    path, trace = tmp_path / "last.pt", tmp_path / "was here"
    content = {"identity": IDENTITY, "state": Hostile(trace)}
    if plain:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    assert_one_line_error(path)
    assert not trace.exists()


@pytest.fixture
def metrics(toy_values: dict[str, Any], tmp_path: Path) -> Path:
    """The record of a run whose weights were kept, with its configuration where it belongs."""
    toy_values |= {"keep_weights": True, "pruners": {"full": None}, "prune_ratios": [0.0]}
    toy_values["training"] |= {"epochs": 2}
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    layout = experiment_layout(config)
    (layout.root / "config.yaml").write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    return layout.metrics(key_of("full"))


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


def record_says_otherwise(metrics: Path) -> None:
    values = json.loads(metrics.read_text(encoding="utf-8"))
    values["validation_mae"] *= 1.1
    metrics.write_text(json.dumps(values), encoding="utf-8")


def weights_of_another_run(metrics: Path) -> None:
    path = metrics.with_name("weights.pt")
    content = torch.load(path, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in content["state"].values())
    content["identity"]["source code"] = "another"
    torch.save(content, path)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (record_says_otherwise, RecordError),
        (weights_of_another_run, CheckpointError),
        (lambda metrics: metrics.with_name("weights.pt").unlink(), CheckpointError),
    ],
)
def test_weights_that_do_not_fit_their_record_are_refused(
    metrics: Path, damage: Callable[[Path], object], error: type[Exception]
) -> None:
    damage(metrics)
    with pytest.raises(error):
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
