"""Generated pages say what the code says."""

from pathlib import Path

import pytest

from stprune.backbones.base import BACKBONES
from stprune.pruning.base import PRUNERS
from workflow.maintain import pages


@pytest.mark.parametrize(
    ("path", "text"), [pytest.param(p, t, id=p.name) for p, t in pages().items()]
)
def test_page_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make reference`"


@pytest.mark.parametrize("registry", [PRUNERS, BACKBONES], ids=["pruners", "backbones"])
def test_every_option_is_explained(registry: object) -> None:
    for name in registry.ids():  # type: ignore[attr-defined]
        for option, field in registry.load(name).Options.model_fields.items():  # type: ignore[attr-defined]
            assert field.description, f"{name}.{option} has no description"
