"""The files that docs/extending.md shows keep the contracts; test_workflow.py runs them."""

import re
import shutil

import pytest
from test_workflow import ROOT, copy_project


@pytest.mark.slow
def test_the_contract_tests_find_and_pass_them(tmp_path):
    project = copy_project(tmp_path)
    shutil.copytree(ROOT / "tests", project.root / "tests")
    shutil.copy(ROOT / "pyproject.toml", project.root)
    tests = [f"tests/test_every_{kind}.py" for kind in ("pruner", "backbone")]
    words = ["-q", "-p", "no:cacheprovider", "-k", "middle_errors or mlp"]
    done = project.python("-m", "pytest", *words, *tests)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert int(passed[1]) > 20
