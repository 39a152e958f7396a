"""The same run gives the same bits: twice, beside others, elsewhere; and nearly so on 2 threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_workflow import CONFIG, RUN, copy_project

from stprune.base.layout import RunKey
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout
from stprune.records.run import RunRecord, read_record
from stprune.training.rerun import compare_runs
from stprune.training.run import train

KEY = RunKey("toy", "stid", "st_prune", 0.5, 0)
SHARED = {"compute": {"own_cores": False}}


def record_here(values: dict[str, Any]) -> tuple[RunRecord, Path]:
    """Train the run in this process."""
    config = parse_config(values, "the configuration")
    return train(config, KEY, []), experiment_layout(config).metrics(KEY)


@pytest.mark.slow
def test_a_run_in_another_folder_and_beside_others_has_the_same_bits(
    toy_data: Path, tmp_path: Path
) -> None:
    places = {"data_directory": str(toy_data), "results_directory": str(tmp_path / "results")}
    here = record_here(CONFIG | SHARED | places)
    # A copy of the project has its own sources, prepares its own data, and is no git clone.
    project = copy_project(tmp_path / "a name with spaces")
    prepared = project.python("-m", "stprune", "data", "prepare", "toy", "--config", "toy.yaml")
    assert prepared.returncode == 0, prepared.stderr
    names = ("first", "second")
    for name in names:
        project.configure(name, **SHARED)
    train_words = [sys.executable, "-m", "stprune", "train", *RUN, "--config"]
    options: dict[str, Any] = {"cwd": project.root, "env": project.environment, "text": True}
    together = [
        subprocess.Popen([*train_words, f"{name}.yaml"], stderr=subprocess.PIPE, **options)
        for name in names
    ]
    for name, process in zip(names, together, strict=True):
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        metrics = project.root / "results" / name / "runs" / KEY.path / "metrics.json"
        found = compare_runs(here, (read_record(metrics), metrics))
        assert found.bit_equal, found.results[:5]
        # Neither the configuration nor a source or checksum knows of a path.
        around = {change.name for change in found.circumstances}
        assert around <= {"environment.git_commit", "environment.git_dirty"}


def test_two_threads_change_nothing_but_rounding(toy_values: dict[str, Any]) -> None:
    one = record_here(toy_values)
    toy_values["experiment"] = "two"
    toy_values["compute"] |= {"threads": 2}
    two = record_here(toy_values)
    again = record_here(toy_values | {"experiment": "again"})
    assert compare_runs(two, again).bit_equal
    found = compare_runs(one, two)
    # Which windows are kept may hang on the last bit of a score; at this size none does.
    assert all(change.relative < 1e-4 for change in found.results), found.results[:5]
    names = {change.name for change in found.circumstances}
    assert {"fingerprint", "config.compute.threads"} <= names
