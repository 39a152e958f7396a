"""The real workflow on toy data: products, blocks of runs, what is trained again, killed blocks."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import toy
import yaml

from stprune.config.experiment import load_config
from stprune.config.grid import run_keys
from stprune.records.run import read_record
from stprune.training.rerun import compare_runs
from stprune.workflow.blocks import make_blocks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    *("Snakefile", "environment.yml", "workflow", "profiles", "config"),
    *("stprune", "baselines", "paper_figures"),
)
PRUNERS = ("full", "full_fewer_epochs", "random_dynamic", "infobatch", "st_prune")
CONFIG: dict[str, Any] = {
    "experiment": "toy",
    "datasets": {"toy": None},
    "backbones": {"stid": {"options": {"series_width": 8, "node_width": 8}}},
    "pruners": dict.fromkeys(PRUNERS),
    "prune_ratios": [0.5],
    "seeds": [0, 1],
    "training": {"epochs": 4, "batch_size": 32},
    "timing": {"rounds": 0},
    "tracking": {"mode": "disabled"},
    "mirror": "mirror",
}
RUNS = 2 * len(PRUNERS)
BLOCK, ST_PRUNE = "toy/stid/s0", "toy/stid/st_prune/p0.5/s0"
RUN = ["--dataset", "toy", "--backbone", "stid", "--pruner", "st_prune", "--prune-ratio", "0.5"]
LONG = {
    "pruners": {"st_prune": None},
    "seeds": [0],
    "training": {"epochs": 60, "batch_size": 8},
    # A run must not wait for whatever else holds cores on this machine.
    "compute": {"own_cores": False},
}


@dataclass(frozen=True)
class Project:
    """A copy of the project, whose sources a test may change."""

    root: Path

    def snakemake(self, *words: str, config: str = "toy.yaml") -> subprocess.CompletedProcess[str]:
        return self.python("-m", "snakemake", "--cores", "2", "--configfile", config, *words)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    def train_block(self, name: str, block: str = BLOCK) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "stprune", "train-block", block, "--config", f"{name}.yaml")

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root)}

    @property
    def results(self) -> Path:
        return self.root / "results" / "toy"

    def planned(self, *words: str, config: str = "toy.yaml") -> dict[str, int]:
        """Jobs that a dry run would start, by rule."""
        done = self.snakemake("-n", *words, config=config)
        assert done.returncode == 0, done.stderr
        if "Nothing to be done" in done.stdout + done.stderr:
            return {}
        rows = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}

    def configure(self, name: str, **changes: Any) -> None:
        """Write a configuration of toy runs."""
        values = CONFIG | {"experiment": name} | changes
        (self.root / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    def record(self, experiment: str, run: str = ST_PRUNE) -> dict[str, Any]:
        path = self.root / "results" / experiment / "runs" / run / "metrics.json"
        return dict(json.loads(path.read_text()))

    def trained(self) -> dict[str, float]:
        """How long each run of the toy experiment trained: no two trainings take the same time."""
        root, seconds = self.results / "runs", {}
        for path in root.rglob("metrics.json"):
            with suppress(ValueError):  # a test damaged it
                cost = json.loads(path.read_text())["cost"]
                seconds[path.parent.relative_to(root).as_posix()] = cost["train_seconds"]
        return seconds

    def trained_again(self, config: str = "toy.yaml") -> set[str]:
        """Let the workflow train what it wants to; returns the runs that it trained."""
        before = self.trained()
        done = self.snakemake("--", "results/toy/summary.csv", config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        return {run for run, seconds in self.trained().items() if before.get(run) != seconds}


def copy_project(target: Path) -> Project:
    target.mkdir(exist_ok=True)
    for name in COPIED:
        source, ignore = ROOT / name, shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    toy.write_toy(target / "data", target / "mirror")
    project = Project(target)
    project.configure("toy")
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the toy experiment has run once."""
    copied = copy_project(tmp_path_factory.mktemp("project"))
    done = copied.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    (copied.root / "said.txt").write_text(done.stderr)
    return copied


def edit(file: Path, line: str) -> None:
    file.write_text(f"{file.read_text()}\n{line}\n")


def test_yields_every_product_and_says_how_each_run_went(project: Project) -> None:
    summary = pd.read_csv(project.results / "summary.csv")
    assert len(summary) == RUNS
    assert set(summary["pruner"]) == set(PRUNERS)
    assert summary[["test_mae", "test_rmse"]].gt(0).all(axis=None)
    for name in ("tables/main.csv", "tables/main.md", "tables/main.tex", "report.html"):
        assert (project.results / name).stat().st_size > 0
    assert (project.results / "figures/tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert (project.results / "figures/tradeoff.pdf").read_bytes().startswith(b"%PDF")
    assert not list(project.results.glob("checkpoints/**/*.pt"))
    said = (project.root / "said.txt").read_text()
    lines = re.findall(r"(\d+)/5 (toy/\S+): test MAE (\S+),", said)
    assert sorted(int(number) for number, _, _ in lines) == sorted([1, 2, 3, 4, 5] * 2)
    for _, path, mae in lines:
        record = project.record("toy", path)
        assert f"{record['test']['mae']:.4g}" == mae
        assert record["environment"]["threads"] == len(record["environment"]["cores"]) == 1
        assert f"{path}: test MAE" in (project.results / "logs" / path / "train.log").read_text()


def assert_same_run(project: Project, *experiments: str) -> None:
    """Whatever a run yields but times: scores, epochs, kept windows, and what it depends on."""
    files = [project.root / "results" / n / "runs" / ST_PRUNE / "metrics.json" for n in experiments]
    one, other = ((read_record(file), file) for file in files)
    difference = compare_runs(one, other)
    assert difference.bit_equal, difference.results[:5]
    assert difference.circumstances == []


def test_a_single_run_is_the_same(project: Project) -> None:
    project.configure("alone")
    done = project.python("-m", "stprune", "train", "--config", "alone.yaml", *RUN)
    assert done.returncode == 0, done.stderr
    assert_same_run(project, "toy", "alone")


def test_nothing_is_done_twice_and_comments_and_figures_retrain_nothing(project: Project) -> None:
    for source in (project.root / "stprune" / "training").rglob("*.py"):
        source.touch()
    edit(project.root / "baselines" / "infobatch.py", "# changed")
    assert project.planned("all", "data/described/toy/statistics.png") == {"describe": 1}
    edit(project.root / "paper_figures" / "fig_tradeoff.py", "# changed")
    assert "train" not in project.planned()


def test_records_that_are_not_valid_are_noticed_and_made_again(project: Project) -> None:
    """Also by a target after the summary, while that is there."""
    deleted, damaged, foreign = (f"toy/stid/{name}/p0.5/s1" for name in PRUNERS[2:])
    runs = project.results / "runs"
    shutil.rmtree(runs / deleted)
    metrics = runs / damaged / "metrics.json"
    metrics.write_text(metrics.read_text()[:-100])
    shutil.copy(runs / ST_PRUNE / "metrics.json", runs / foreign)
    assert (project.results / "summary.csv").exists()
    planned = project.planned("results/toy/report.html")
    assert (planned["train"], planned["summarise"]) == (1, 1)
    assert project.trained_again() == {deleted, damaged, foreign}


def test_times_are_measured_apart_and_again_when_measuring_changes(project: Project) -> None:
    assert pd.read_csv(project.results / "summary.csv")["total_seconds"].isna().all()
    project.configure("timed", experiment="toy", timing={"rounds": 3})
    done = project.snakemake("--", "results/toy/summary.csv", config="timed.yaml")
    assert done.returncode == 0, done.stderr
    summary = pd.read_csv(project.results / "summary.csv")
    assert summary["timing"].isin(["steady", "noisy", "disturbed"]).all()
    assert summary[["epoch_seconds", "total_seconds"]].gt(0).all(axis=None)
    edit(project.root / "stprune" / "training" / "timing.py", "CHANGED = 1")
    planned = project.planned("--", "results/toy/summary.csv", config="timed.yaml")
    assert planned == {"time": 1, "summarise": 1}
    shutil.rmtree(project.results / "timing")


def test_an_edited_pruner_trains_exactly_its_runs(project: Project) -> None:
    edit(project.root / "baselines" / "infobatch.py", "CHANGED = 1")
    assert project.trained_again() == {f"toy/stid/infobatch/p0.5/s{seed}" for seed in (0, 1)}


def test_a_new_seed_or_pruner_trains_only_what_is_new(project: Project) -> None:
    more = CONFIG["pruners"] | {"random_static": None}
    project.configure("more", experiment="toy", seeds=[0, 1, 2], pruners=more)
    again = project.trained_again("more.yaml")
    new = {f"toy/stid/random_static/p0.5/s{seed}" for seed in (0, 1)}
    assert {run for run in again if not run.endswith("s2")} == new
    assert len(again) == 2 + len(more)
    assert project.trained_again() == set()


def test_a_wrong_key_is_one_line(project: Project) -> None:
    project.configure("wrong", training={"epochss": 3})
    done = project.snakemake(config="wrong.yaml")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "profile" not in line]
    assert len(lines) == 1
    assert "`epochss`" in lines[0]


def test_a_missing_raw_file_is_one_line_in_the_log(project: Project) -> None:
    project.configure("lost", mirror="nowhere", data_directory="lost")
    toy.write_toy(project.root / "lost", project.root / "unused")
    done = project.snakemake(config="lost.yaml")
    assert done.returncode != 0
    log = (project.root / "lost/processed/logs/toy.log").read_text()
    assert "Traceback" not in log
    assert "nowhere" in log
    assert not (project.root / "lost/processed/toy/meta.json").exists()


def test_the_whole_study_is_planned(project: Project) -> None:
    """`snakemake -n` looks at each of its blocks."""
    for card in (ROOT / "data").glob("*.yaml"):
        shutil.copy(card, project.root / "data")
    study = load_config(ROOT / "config" / "paper.yaml")
    assert len(run_keys(study)) < 10_000
    assert project.planned(config="config/paper.yaml")["train"] == len(make_blocks(study))


def test_a_failing_run_is_named_and_stops_no_other(project: Project) -> None:
    wild = {"backbone": "stid", "optimisation": {"learning_rate": 1e30}}
    project.configure("wild", backbones={"wild": wild}, pruners=dict.fromkeys(["full", "st_prune"]))
    done = project.train_block("wild", "toy/wild/s0")
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if "failed: toy/wild/" in line]
    assert len(failed) == 2
    assert all("training loss" in line and "train.log" in line for line in failed)
    assert not list((project.root / "results/wild/blocks").rglob("*.json"))
    done = project.snakemake("--", "results/wild/summary.csv", config="wild.yaml")
    assert done.returncode != 0
    assert not (project.root / "results/wild/summary.csv").exists()


def test_a_run_on_two_devices(project: Project) -> None:
    """Lightning starts the second process itself, by the words of the first."""
    two = {"compute": {"devices": 2, "own_cores": False}, "training": {"epochs": 2}}
    project.configure("two", **LONG | two)
    assert project.train_block("two").returncode == 0
    assert project.record("two")["environment"]["devices"] == 2


def start(project: Project, name: str) -> subprocess.Popen[str]:
    """Start a block in a process group of its own and wait for the first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stprune", "train-block", BLOCK, "--config", f"{name}.yaml"],
        cwd=project.root,
        env=project.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 300
    while not list((project.root / "results" / name).glob("checkpoints/**/last.pt")):
        assert process.poll() is None, "it ended before it could be disturbed"
        assert time.monotonic() < limit
        time.sleep(0.02)
    return process


def test_a_killed_block_continues_to_the_same_bits(project: Project) -> None:
    for name in ("killed", "undisturbed"):
        project.configure(name, **LONG)
    process = start(project, "killed")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list((project.root / "results/killed").glob("runs/**/metrics.json"))
    for name in ("killed", "undisturbed"):
        assert project.train_block(name).returncode == 0
    assert project.record("killed")["resumed"] == 1
    assert project.record("undisturbed")["resumed"] == 0
    assert_same_run(project, "killed", "undisturbed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_runs_end_with_their_block_and_keep_checkpoints(
    project: Project, number: signal.Signals
) -> None:
    name = f"ended{number}"
    project.configure(name, **LONG | {"training": {"epochs": 100_000, "batch_size": 8}})
    process = start(project, name)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in said
    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert list((project.root / "results" / name).glob("checkpoints/**/last.pt"))
