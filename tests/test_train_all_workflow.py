"""`stprune train-all` in a project of its own: what it makes, what Snakemake makes of that."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from test_workflow import CONFIG, RUN, RUNS, Project, copy_project

pytestmark = pytest.mark.slow

ST_PRUNE = "toy/stid/st_prune/p0.5/s0"
# On shared cores: a run must not wait for whatever else holds cores on this machine.
SHARED = {"compute": {"own_cores": False}}
LONG = {"training": {"epochs": 60, "batch_size": 8}}
# Not over before it is told to end, however busy the machine is.
ENDLESS = {"training": {"epochs": 100_000, "batch_size": 8}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose toy experiment was trained by one `train-all`, one run at a time."""
    copied = copy_project(tmp_path_factory.mktemp("project"))
    write_config(copied, "toy")
    done = copied.python("-m", "stprune", "train-all", "--config", "toy.yaml", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    (copied.root / "said.txt").write_text(done.stderr)
    return copied


def write_config(project: Project, name: str, **changes: Any) -> None:
    values = CONFIG | SHARED | {"mirror": "mirror", "experiment": name} | changes
    (project.root / f"{name}.yaml").write_text(yaml.safe_dump(values))


def train_all(project: Project, name: str = "toy") -> str:
    done = project.python("-m", "stprune", "train-all", "--config", f"{name}.yaml")
    assert done.returncode == 0, done.stderr
    return done.stderr


def record(project: Project, experiment: str, run: str = ST_PRUNE) -> dict[str, Any]:
    path = project.root / "results" / experiment / "runs" / run / "metrics.json"
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def kept(project: Project, experiment: str) -> dict[str, Any]:
    path = project.root / "results" / experiment / "runs" / ST_PRUNE / "kept.npz"
    with np.load(path) as archive:
        return dict(archive)


def test_every_run_has_a_record_a_log_and_a_line(project: Project) -> None:
    said = (project.root / "said.txt").read_text()
    finished = [line.split() for line in said.splitlines() if "test MAE" in line]
    assert [words[1] for words in finished] == [f"{i}/{RUNS}" for i in range(1, RUNS + 1)]
    paths = [words[2].rstrip(":") for words in finished]
    assert [path[-2:] for path in paths] == ["s0"] * (RUNS // 2) + ["s1"] * (RUNS // 2)
    for path in paths:
        assert f"{record(project, 'toy', path)['test']['mae']:.4g}" in said
        log = (project.results / "logs" / path / "train.log").read_text()
        assert f"{path}: test MAE" in log


def test_snakemake_trains_nothing_again(project: Project) -> None:
    assert set(project.planned()) == {"summarise", "table", "figure", "page"}


def test_snakemake_sees_a_later_change_of_the_configuration(project: Project) -> None:
    pruners = CONFIG["pruners"] | {"st_prune": {"options": {"hard_share": 0.25}}}  # type: ignore[operator]
    write_config(project, "changed", experiment="toy", pruners=pruners)
    done = project.snakemake("-n", config="changed.yaml")
    assert re.search(r"^train +2$", done.stdout + done.stderr, flags=re.MULTILINE)


def test_a_second_call_trains_nothing(project: Project) -> None:
    files = sorted(project.results.glob("runs/**/*.*"))
    before = [file.stat().st_mtime_ns for file in files]
    assert f"0 of {RUNS} runs to train" in train_all(project)
    assert [file.stat().st_mtime_ns for file in files] == before


def test_it_is_the_run_that_train_gives(project: Project) -> None:
    write_config(project, "alone")
    done = project.python("-m", "stprune", "train", "--config", "alone.yaml", *RUN)
    assert done.returncode == 0, done.stderr
    ours, theirs = record(project, "toy"), record(project, "alone")
    for name in ("test", "validation_mae", "best_epoch", "fingerprint", "source_digest", "data"):
        assert ours[name] == theirs[name]
    assert ours["environment"]["threads"] == theirs["environment"]["threads"] == 1
    archives = kept(project, "toy"), kept(project, "alone")
    assert archives[0].keys() == archives[1].keys()
    for name, values in archives[0].items():
        np.testing.assert_array_equal(values, archives[1][name])


def test_new_file_times_alone_train_nothing(project: Project) -> None:
    """A fresh checkout has new times, but the contents are what the records say."""
    shutil.rmtree(project.root / ".snakemake")
    for source in (project.root / "stprune").rglob("*.py"):
        source.touch()
    assert project.planned().get("train") == RUNS
    assert f"0 of {RUNS} runs to train" in train_all(project)
    assert "train" not in project.planned()


def test_an_edited_pruner_is_trained_again_once(project: Project) -> None:
    file = project.root / "baselines" / "infobatch.py"
    file.write_text(file.read_text() + "\n# changed\n")
    said = train_all(project)
    assert f"2 of {RUNS} runs to train (2: source code changed since the record)" in said
    assert "train" not in project.planned()


def test_what_snakemake_noted_of_an_older_record_is_replaced(project: Project) -> None:
    """Snakemake trains, an option changes, train-all trains: Snakemake accepts that."""
    small = {"pruners": {"full": None}, "seeds": [0]}
    target = "results/both/runs/toy/stid/full/p0/s0/metrics.json"
    write_config(project, "both", **small)
    assert project.snakemake("--", target, config="both.yaml").returncode == 0
    write_config(project, "both", **small, training={"epochs": 3, "batch_size": 32})
    assert "configuration changed" in train_all(project, "both")
    done = project.snakemake("-n", "--", target, config="both.yaml")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_failing_run_stops_no_other(project: Project) -> None:
    wild = {"backbone": "stid", "optimisation": {"learning_rate": 1e30}}
    backbones = {"wild": wild, **CONFIG["backbones"]}  # type: ignore[dict-item]
    write_config(project, "wild", backbones=backbones, pruners={"full": None})
    done = project.python("-m", "stprune", "train-all", "--config", "wild.yaml")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("stprune: error: 2 of 4 runs failed")
    assert all("failed: toy/wild/full/p0/s" in line for line in lines[-3:-1])
    assert all("training loss" in line for line in lines[-3:-1])
    assert record(project, "wild", "toy/stid/full/p0/s1")["seed"] == 1


def test_a_run_on_two_devices(project: Project) -> None:
    """Lightning starts the second process itself, by the words of the first."""
    compute = {"devices": 2, "own_cores": False}
    write_config(project, "two", pruners={"st_prune": None}, seeds=[0], compute=compute)
    train_all(project, "two")
    assert record(project, "two")["environment"]["devices"] == 2


def start(project: Project, name: str, ready: Callable[[Path], bool]) -> subprocess.Popen[str]:
    """Start train-all in a process group of its own and wait until it is ``ready``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stprune", "train-all", "--config", f"{name}.yaml"],
        cwd=project.root,
        env=project.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 120
    while not ready(project.root / "results" / name):
        assert process.poll() is None, "it ended before it could be disturbed"
        assert time.monotonic() < limit
        time.sleep(0.02)
    return process


def has_checkpoints(results: Path) -> bool:
    return len(list(results.glob("checkpoints/**/last.pt"))) > 0


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_killed_experiment_continues_to_the_same_bits(project: Project) -> None:
    small = LONG | {"pruners": {"st_prune": None}, "seeds": [0]}
    write_config(project, "killed", **small)
    write_config(project, "undisturbed", **small)
    process = start(project, "killed", has_checkpoints)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list((project.root / "results/killed").glob("runs/**/metrics.json"))
    train_all(project, "killed")
    train_all(project, "undisturbed")
    killed, undisturbed = record(project, "killed"), record(project, "undisturbed")
    assert (undisturbed["resumed"], killed["resumed"]) == (0, 1)
    for name in ("test", "validation_mae", "best_epoch", "fingerprint"):
        assert undisturbed[name] == killed[name]
    for name, values in kept(project, "killed").items():
        np.testing.assert_array_equal(values, kept(project, "undisturbed")[name])


def test_being_told_to_end_ends_the_runs_and_keeps_checkpoints(project: Project) -> None:
    write_config(project, "ended", **ENDLESS, pruners={"full": None})
    process = start(project, "ended", has_checkpoints)
    below = descendants(process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "which keep their checkpoints" in said
    assert said.splitlines()[-1] == (
        "stprune: interrupted; the same command continues where it stopped"
    )
    assert "Traceback" not in said
    assert psutil.wait_procs(below, timeout=30)[1] == []
    assert has_checkpoints(project.root / "results/ended")


def test_runs_end_with_whoever_started_them(project: Project) -> None:
    write_config(project, "orphans", **ENDLESS, pruners={"full": None})
    process = start(project, "orphans", has_checkpoints)
    below = descendants(process)
    process.kill()
    process.communicate(timeout=120)
    assert psutil.wait_procs(below, timeout=30)[1] == []
