"""The pins for pip and for conda are the same, and this environment follows them."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def test_conda_has_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    listed = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert dict(line.split("==") for line in listed) == pins("requirements.lock")
    assert "nodefaults" in environment["channels"]


def test_nothing_in_the_lock_needs_a_compiler() -> None:
    names = {*pins("requirements.lock"), *pins("requirements-no-deps.lock")}
    assert not names & {"torch-sparse", "torch-scatter", "torch-cluster"}


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-no-deps.lock"])
def test_this_environment_follows_the_lock(file: str) -> None:
    wrong = {}
    for package, number in pins(file).items():
        try:
            found = version(package).partition("+")[0]
        except PackageNotFoundError:
            found = "not installed"
        if found != number:
            wrong[package] = (found, number)
    assert not wrong, "installed differs from the lock; run `make setup`"
