"""The files that docs/extending.md shows are found, keep the contracts and run in the workflow."""

from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest
from test_workflow import ROOT, Project, copy_project

pytestmark = pytest.mark.slow

SHOWN = re.compile(r"^`(\S+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = (
    "baselines/middle_errors.py",
    "stprune/backbones/mlp.py",
    "paper_figures/tab_seed_range.py",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project with the files of the page."""
    copied = copy_project(tmp_path_factory.mktemp("extended"))
    for path, text in SHOWN.findall((ROOT / "docs" / "extending.md").read_text("utf-8")):
        (copied.root / path).write_text(text)
    return copied


def test_the_contract_tests_find_and_pass_them(project: Project) -> None:
    assert all((project.root / path).exists() for path in FILES)
    for name in ("tests", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, project.root / name)
    tests = [f"tests/test_every_{kind}.py" for kind in ("pruner", "backbone")]
    words = ["-q", "-p", "no:cacheprovider", "-k", "middle_errors or mlp"]
    done = project.python("-m", "pytest", *words, *tests)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 20


def test_they_run_through_the_workflow(project: Project) -> None:
    pruners = dict.fromkeys(["full", "random_dynamic", "full_fewer_epochs", "middle_errors"])
    project.configure("extended", backbones={"mlp": None}, pruners=pruners)
    done = project.snakemake(config="extended.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    results = project.root / "results" / "extended"
    ranges = pd.read_csv(results / "tables" / "seed_range.csv")
    assert set(ranges["pruner"]) == set(pruners)
    assert (ranges["range"] >= 0).all()
    assert "Middle errors" in (results / "tables" / "main.md").read_text("utf-8")
    assert "Range over seeds" in (results / "report.html").read_text("utf-8")
