"""Generated pages say what the code says, and the environment is that of the pins."""

from pathlib import Path

import pytest
import yaml

from stprune.pruning.base import PRUNERS
from workflow import maintain as lock

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_in_the_lock_needs_a_compiler():
    names = {name for file in lock.LOCKS for name in lock.pinned(file)}
    assert not names & {"torch-sparse", "torch-scatter", "torch-cluster"}


def test_conda_has_the_same_pins():
    values = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "nodefaults" in values["channels"]
    (listed,) = (item["pip"] for item in values["dependencies"] if isinstance(item, dict))
    assert lock.pins(listed) == lock.pinned(lock.LOCKS[0]), "run `make lock`"


def test_this_environment_follows_the_lock():
    # Packages of one's own beside it change no result; `workflow.maintain check` names them too.
    wrong = [line for line in lock.differences() if "the lock says nothing" not in line]
    assert not wrong, "installed differs from the lock; run `make setup`"


@pytest.mark.parametrize(
    ("path", "text"), [pytest.param(p, t, id=p.name) for p, t in lock.pages().items()]
)
def test_page_is_up_to_date(path, text):
    assert path.read_text() == text, "run `make reference`"


def test_every_option_of_a_pruner_is_explained():
    for name in PRUNERS.ids():
        for option, field in PRUNERS.load(name).Options.model_fields.items():
            assert field.description, f"{name}.{option} has no description"
