"""Checkpoints: read as written, refused if foreign, damaged or hostile."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stprune.base.errors import CheckpointError
from stprune.training.checkpoint import load_checkpoint, save_checkpoint

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


def test_another_run_is_named_as_such(checkpoint: Path) -> None:
    state, reason = load_checkpoint(checkpoint, IDENTITY | {"data": "other", "source code": "x"})
    assert state is None
    assert reason == "its data, source code changed since the checkpoint"


def assert_one_line_error(path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, IDENTITY)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "delete it" in message


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(checkpoint: Path, share: float) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(share * len(content))])
    assert_one_line_error(checkpoint)


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        torch.zeros(3),
        "text",
        {"identity": IDENTITY},
        {"identity": "abc", "state": {}},
        {"identity": IDENTITY, "state": [1]},
    ],
    ids=lambda content: type(content).__name__,
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "last.pt")
    assert_one_line_error(tmp_path / "last.pt")


def test_damaged_bytes_never_end_in_a_traceback(checkpoint: Path) -> None:
    """A damaged byte is harmless (padding, a number) or a one-line error, never a traceback."""
    content = checkpoint.read_bytes()
    refused = []
    for position in range(0, len(content), max(1, len(content) // 150)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        checkpoint.write_bytes(bytes(damaged))
        try:
            load_checkpoint(checkpoint, IDENTITY)
        except CheckpointError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in message for message in refused)


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


def test_a_failed_save_leaves_the_old_checkpoint(checkpoint: Path) -> None:
    before = checkpoint.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_checkpoint(checkpoint, {"bad": lambda: None}, IDENTITY)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.pt"]
