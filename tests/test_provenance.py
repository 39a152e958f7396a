"""Provenance: a run depends on its own pruner and backbone, and on what the files hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stprune.backbones.base import BACKBONES
from stprune.pruning.base import PRUNERS
from stprune.training import provenance

COMPONENT_FOLDERS = ("stprune/backbones", "baselines")


def names(files: list[Path]) -> set[str]:
    return {path.relative_to(provenance.REPOSITORY).as_posix() for path in files}


@pytest.mark.parametrize("pruner", PRUNERS.ids())
def test_a_run_depends_on_its_own_pruner_and_no_other(pruner: str) -> None:
    found = names(provenance.run_sources("stid", pruner))
    components = {name for name in found if name.rpartition("/")[0] in COMPONENT_FOLDERS}
    own = PRUNERS.path(pruner).relative_to(provenance.REPOSITORY).as_posix()
    of_backbones = {"stprune/backbones/base.py", "stprune/backbones/stid.py"}
    assert components | {own} == {*of_backbones, own}
    methods = {name for name in found if name == "stprune/pruning/st_prune.py"}
    assert methods == ({own} if pruner == "st_prune" else set())


@pytest.mark.parametrize("backbone", BACKBONES.ids())
def test_a_run_depends_on_its_own_backbone_and_no_other(backbone: str) -> None:
    found = names(provenance.run_sources(backbone, "full"))
    components = {name for name in found if name.rpartition("/")[0] == "stprune/backbones"}
    assert components == {"stprune/backbones/base.py", f"stprune/backbones/{backbone}.py"}


def test_a_run_depends_on_the_engine_and_not_on_what_comes_after() -> None:
    found = names(provenance.run_sources("stid", "st_prune"))
    training = ("training/engine", "training/evaluation", "pruning/batch_order")
    for part in (*training, "pruning/base", "data/windows", "data/scaler"):
        assert f"stprune/{part}.py" in found
    # Only st_prune selects by complexity and strata.
    full = names(provenance.run_sources("stid", "full"))
    for part in ("complexity", "selection", "dynamic"):
        assert f"stprune/pruning/{part}.py" in found
        assert f"stprune/pruning/{part}.py" not in full
    after = ("paper/tables", "results/summary", "workflow/progress", "__main__")
    for file in (f"stprune/{part}.py" for part in after):
        assert Path(file).exists()
        assert file not in found
    rooms = ("paper", "tracking", "commands", "statistics")
    assert not [name for name in found if name.startswith(tuple(f"stprune/{r}/" for r in rooms))]


def test_a_data_set_depends_on_its_own_format() -> None:
    found = names(provenance.dataset_sources("wide_csv"))
    formats = {name for name in found if name.startswith("stprune/data/formats/")}
    assert formats == {"stprune/data/formats/base.py", "stprune/data/formats/wide_csv.py"}
    assert "stprune/training/engine.py" not in found


def test_the_digest_is_that_of_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a = 1\n")
    two.write_text("b = 2\n")
    before = provenance.source_digest([one, two])
    assert provenance.source_digest([two, one]) == before
    assert provenance.source_digest([one]) != before
    two.touch()
    assert provenance.source_digest([one, two]) == before
    two.write_text("b = 3\n")
    changed = provenance.source_digest([one, two])
    assert changed != before
    (tmp_path / "renamed.py").write_text(one.read_text())
    alone = provenance.source_digest([one])
    assert provenance.source_digest([tmp_path / "renamed.py"]) != alone
    # Swapped code is another program.
    one.write_text("b = 3\n")
    two.write_text("a = 1\n")
    assert provenance.source_digest([one, two]) not in (before, changed)


def test_comments_docstrings_and_layout_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    file = tmp_path / "one.py"
    file.write_text('"""One."""\n\n\ndef f(a):\n    """Double."""\n    return 2 * a\n')
    before = provenance.source_digest([file])
    file.write_text('"""Uno."""\n# why\ndef f(a):\n    """Twice."""\n    return (2 * a)  # so\n')
    assert provenance.source_digest([file]) == before
    file.write_text('"""One."""\n\n\ndef f(a):\n    """Double."""\n    return 3 * a\n')
    assert provenance.source_digest([file]) != before
    # A docstring is not the same as any other text.
    file.write_text('def f():\n    return "a"\n')
    text = provenance.source_digest([file])
    file.write_text('def f():\n    return "b"\n')
    assert provenance.source_digest([file]) != text


def test_imports_are_followed_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    (tmp_path / "pack").mkdir()
    sources = {
        "start": "import pack.plain\nfrom pack import named\nimport os, json\n",
        "plain": "def f():\n    from pack.late import thing\n",
        "named": "from pack.start import x  # a circle\n",
        "late": "thing = 1\n",
        "alone": "thing = 2\n",
    }
    for name, text in sources.items():
        (tmp_path / "pack" / f"{name}.py").write_text(text)
    found = provenance.import_closure([tmp_path / "pack" / "start.py"])
    assert [path.stem for path in found] == ["late", "named", "plain", "start"]


def test_the_environment_can_stand_in_a_record() -> None:
    environment = provenance.environment()
    json.dumps(environment, allow_nan=False)
    assert environment["versions"]["torch"].startswith("2.")
    assert environment["processor"]


def test_outside_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_state() == {"git_commit": None, "git_dirty": None}
