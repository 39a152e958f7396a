"""The pins for pip and for conda are the same, and this environment follows them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workflow import maintain as lock

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_in_the_lock_needs_a_compiler() -> None:
    names = {name for file in lock.LOCKS for name in lock.pinned(file)}
    assert not names & {"torch-sparse", "torch-scatter", "torch-cluster"}
    assert "nodefaults" in (ROOT / "environment.yml").read_text()


def test_this_environment_follows_the_lock() -> None:
    # Packages of one's own beside it change no result; `workflow.maintain check` names them too.
    wrong = [line for line in lock.differences() if "the lock says nothing" not in line]
    assert not wrong, "installed differs from the lock; run `make setup`"


def test_copies_on_the_path_are_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = lock.installed()
    carried = tmp_path / "packaging-1.0.dist-info"
    carried.mkdir()
    (carried / "METADATA").write_text("Metadata-Version: 2.1\nName: packaging\nVersion: 1.0\n")
    # setuptools puts the packages that it carries on the path like this when it is imported.
    monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path)])
    assert lock.installed() == before


def test_each_difference_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = {"numpy": "2.0.0", "own": "1.0"}
    monkeypatch.setattr(lock, "installed", lambda: here)
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    (tmp_path / "requirements.lock").write_text("# Pins.\nNumPy==2.1.0\nscipy==1.5\n")
    (tmp_path / "requirements-no-deps.lock").write_text("torch_geometric.temporal==0.56\n")
    (tmp_path / "requirements-test.lock").write_text("")
    text = "dependencies:\n  - python =3.11\n  - pip:\n      - numpy==2.1.0\n"
    (tmp_path / "environment.yml").write_text(text)
    assert lock.differences() == [
        "numpy: the lock says 2.1.0, this environment has 2.0.0",
        "own: the lock says nothing, this environment has 1.0",
        "scipy: the lock says 1.5, this environment has nothing",
        "torch-geometric-temporal: the lock says 0.56, this environment has nothing",
        "environment.yml and requirements.lock name different packages; run `make lock`",
    ]
    assert lock.main(["check"]) == 1
    # The same is no difference.
    here.update({"numpy": "2.1.0", "scipy": "1.5", "torch-geometric-temporal": "0.56"})
    del here["own"]
    (tmp_path / "environment.yml").write_text(text + "      - scipy==1.5\n")
    assert lock.differences() == []
