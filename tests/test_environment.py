"""The pins for pip and for conda are the same, and this environment follows them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from workflow import maintain as lock

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_in_the_lock_needs_a_compiler() -> None:
    names = {name for file in lock.LOCKS for name in lock.pinned(file)}
    assert not names & {"torch-sparse", "torch-scatter", "torch-cluster"}


def test_conda_has_the_same_pins() -> None:
    values = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "nodefaults" in values["channels"]
    (listed,) = (item["pip"] for item in values["dependencies"] if isinstance(item, dict))
    assert lock.pins(listed) == lock.pinned(lock.LOCKS[0]), "run `make lock`"


def test_this_environment_follows_the_lock() -> None:
    # Packages of one's own beside it change no result; `workflow.maintain check` names them too.
    wrong = [line for line in lock.differences() if "the lock says nothing" not in line]
    assert not wrong, "installed differs from the lock; run `make setup`"


def test_each_difference_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = {"numpy": "2.0.0", "own": "1.0"}
    monkeypatch.setattr(lock, "installed", lambda: here)
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    (tmp_path / "requirements.lock").write_text("# Pins.\nNumPy==2.1.0\nscipy==1.5\n")
    (tmp_path / "requirements-no-deps.lock").write_text("torch_geometric.temporal==0.56\n")
    (tmp_path / "requirements-test.lock").write_text("")
    assert [line.split(":")[0] for line in lock.differences()] == [
        *("numpy", "own", "scipy", "torch-geometric-temporal")
    ]
    assert lock.main("check") == 1
    # The same is no difference.
    here.update({"numpy": "2.1.0", "scipy": "1.5", "torch-geometric-temporal": "0.56"})
    del here["own"]
    assert lock.main("check") == 0
