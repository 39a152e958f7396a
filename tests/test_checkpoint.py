"""Files appear whole or not at all; checkpoints and kept weights are read as written or refused."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
import yaml
from toy_runs import key_of

from stprune.base.errors import CheckpointError, ConfigError, RecordError, WriteError
from stprune.base.files import atomic_path, write_json, write_text
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout
from stprune.records.run import read_record
from stprune.training.checkpoint import load_checkpoint, save_checkpoint
from stprune.training.rerun import node_errors, open_recorded_model
from stprune.training.run import train

IDENTITY = {"configuration": "a", "source code": "b", "data": "c"}


# What an engine saves: tensors, numbers, nested lists, large integers of a generator.
WEIGHTS = torch.arange(6.0).view(2, 3)
STATE = {
    "rng": np.random.default_rng(5).bit_generator.state,
    "records": [{"epoch": 0, "loss": 0.1 + 0.2, "validation_mae": None}],
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "last.pt"
    save_checkpoint(path, {**STATE, "weights": WEIGHTS}, IDENTITY)
    return path


def test_a_state_is_read_as_written_and_not_by_another_run(checkpoint):
    state, reason = load_checkpoint(checkpoint, IDENTITY)
    assert torch.equal(state.pop("weights"), WEIGHTS)
    assert (state, reason) == (STATE, "")
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.pt"]
    state, reason = load_checkpoint(checkpoint, IDENTITY | {"data": "other"})
    assert state is None
    assert "data" in reason


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"identity": "abc", "state": {}}, path),
    ],
)
def test_a_damaged_file_is_refused(checkpoint, damage):
    damage(checkpoint)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(checkpoint, IDENTITY)
    assert str(checkpoint) in str(caught.value)


def trained(values: dict[str, Any]) -> Path:
    """The record of a run whose weights were kept, with its configuration where it belongs."""
    values["keep_weights"] = True
    values["training"] |= {"epochs": 2}
    config = parse_config(values, "the toy configuration")
    train(config, key_of("full"), ())
    layout = experiment_layout(config)
    (layout.root / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return layout.metrics(key_of("full"))


def test_errors_of_a_model(toy_values, monkeypatch):
    metrics = trained(toy_values)
    model = open_recorded_model(metrics)
    errors, stride = node_errors(model, "test")
    ((_, data),) = model.members
    assert (stride, errors.shape) == (1, (len(data.test), toy.NODES))
    # Weighted by what was observed, node errors add up to the pooled error.
    counts = data.test.gather(torch.arange(len(data.test))).mask.sum(1).numpy()
    pooled = (np.nan_to_num(errors) * counts).sum() / counts.sum()
    assert pooled == pytest.approx(read_record(metrics).test.mae, rel=1e-4)
    # Of more windows than fit every k-th is taken.
    whole, _ = node_errors(model, "train")
    monkeypatch.setattr("stprune.training.rerun.KEPT_ERRORS", 100 * toy.NODES)
    part, stride = node_errors(model, "train")
    assert (stride, len(part)) == (3, 97)
    np.testing.assert_allclose(part, whole[::3], rtol=1e-5)


def record_says_otherwise(metrics: Path, config: Path) -> None:
    values = json.loads(metrics.read_text(encoding="utf-8"))
    values["validation_mae"] *= 1.1
    metrics.write_text(json.dumps(values), encoding="utf-8")


def another_configuration(metrics: Path, config: Path) -> None:
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    values["training"]["epochs"] = 3
    config.write_text(yaml.safe_dump(values), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (record_says_otherwise, RecordError),
        (another_configuration, CheckpointError),
        (lambda metrics, _: metrics.with_name("weights.pt").unlink(), CheckpointError),
        (lambda _, config: config.unlink(), ConfigError),
    ],
)
def test_weights_that_do_not_fit_their_record_are_refused(toy_values, damage, error):
    metrics = trained(toy_values)
    damage(metrics, metrics.parents[6] / "config.yaml")
    with pytest.raises(error):
        open_recorded_model(metrics)


# Files appear whole or not at all


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a" / "b.csv"
    write_text(target, "Grüße\n")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".csv"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text(encoding="utf-8") == "Grüße\n"
    assert os.listdir(target.parent) == ["b.csv"]


def test_json_holds_numbers_exactly_and_no_nan(tmp_path):
    target = tmp_path / "b.json"
    write_json(target, {"third": 1 / 3, "none": None})
    assert json.loads(target.read_text()) == {"third": 1 / 3, "none": None}
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"mae": float("nan")})
    assert json.loads(target.read_text())["none"] is None


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
    others = {f".b.{os.getppid()}.partial.txt", ".c.k1ll3d.partial.txt"}  # that of another file
    for name in {".b.k1ll3d.partial.txt", *others}:
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "b.txt", "whole")
    assert set(os.listdir(tmp_path)) == {*others, "b.txt"}


def test_a_refusal_behind_a_librarys_error_is_a_line(tmp_path):
    full = OSError(errno.ENOSPC, "No space")
    with pytest.raises(WriteError, match=r"b\.txt .*No space"), atomic_path(tmp_path / "b.txt"):
        raise RuntimeError("unexpected pos 704 vs 598") from full
    assert os.listdir(tmp_path) == []
