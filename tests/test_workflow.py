"""The real workflow on toy data: products, re-runs, mistakes, a killed run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import toy
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    *("Snakefile", "environment.yml", "workflow", "profiles", "config"),
    *("stprune", "baselines", "paper_figures"),
)
PRUNERS = ("full", "full_fewer_epochs", "random_dynamic", "infobatch", "st_prune")
CONFIG = {
    "experiment": "toy",
    "datasets": {"toy": None},
    "backbones": {"stid": {"options": {"series_width": 8, "node_width": 8}}},
    "pruners": dict.fromkeys(PRUNERS),
    "prune_ratios": [0.5],
    "seeds": [0, 1],
    "training": {"epochs": 4, "batch_size": 32},
    "tracking": {"mode": "disabled"},
}
RUNS = 2 * len(PRUNERS)
RUN = ["--dataset", "toy", "--backbone", "stid", "--pruner", "st_prune", "--prune-ratio", "0.5"]


@dataclass(frozen=True)
class Project:
    """A copy of the project, whose sources a test may change."""

    root: Path

    def snakemake(self, *words: str, config: str = "toy.yaml") -> subprocess.CompletedProcess[str]:
        command = ["snakemake", "--cores", "2", "--configfile", config, *words]
        return self.python("-m", *command)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root)}

    @property
    def results(self) -> Path:
        return self.root / "results" / "toy"

    def planned(self, *words: str) -> dict[str, int]:
        """Jobs that a dry run would start, by rule."""
        done = self.snakemake("-n", *words)
        assert done.returncode == 0, done.stderr
        if "Nothing to be done" in done.stdout + done.stderr:
            return {}
        rows = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}


def copy_project(target: Path) -> Project:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    toy.write_toy(target / "data", target / "mirror")
    text = yaml.safe_dump(CONFIG | {"mirror": "mirror"}, sort_keys=False)
    (target / "toy.yaml").write_text(text)
    return Project(target)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the toy experiment has run once."""
    copied = copy_project(tmp_path_factory.mktemp("project"))
    done = copied.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return copied


def test_yields_every_product(project: Project) -> None:
    summary = pd.read_csv(project.results / "summary.csv")
    assert len(summary) == RUNS
    assert set(summary["pruner"]) == set(PRUNERS)
    assert summary[["test_mae", "test_rmse", "epoch_seconds"]].gt(0).all(axis=None)
    for name in ("tables/main.csv", "tables/main.md", "tables/main.tex", "report.html"):
        assert (project.results / name).stat().st_size > 0
    assert (project.results / "figures/tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert (project.results / "figures/tradeoff.pdf").read_bytes().startswith(b"%PDF")
    assert not list(project.results.glob("checkpoints/**/*.pt"))


def test_records_say_how_the_run_was_made(project: Project) -> None:
    record = json.loads(
        (project.results / "runs/toy/stid/st_prune/p0.5/s1/metrics.json").read_text()
    )
    assert record["environment"]["threads"] == 1
    assert len(record["environment"]["cores"]) == 1
    assert record["cost"]["nominal_keep_ratio"] == 0.5
    assert record["cost"]["realised_keep_ratio"] == pytest.approx(0.5, abs=0.01)


def test_command_line_gives_the_same_run(project: Project) -> None:
    there = project.results / "runs/toy/stid/st_prune/p0.5/s0/metrics.json"
    text = (project.root / "toy.yaml").read_text().replace("experiment: toy", "experiment: alone")
    (project.root / "alone.yaml").write_text(text)
    done = project.python("-m", "stprune", "train", "--config", "alone.yaml", *RUN)
    assert done.returncode == 0, done.stderr
    here = project.root / "results/alone/runs/toy/stid/st_prune/p0.5/s0/metrics.json"
    first, second = json.loads(there.read_text()), json.loads(here.read_text())
    assert first["test"] == second["test"]
    assert first["fingerprint"] == second["fingerprint"]


def test_nothing_is_done_twice(project: Project) -> None:
    assert project.planned() == {}


def test_an_edited_pruner_reruns_only_its_runs(project: Project) -> None:
    file = project.root / "baselines" / "infobatch.py"
    text = file.read_text()
    try:
        file.write_text(text + "\n# changed\n")
        planned = project.planned()
        assert planned.pop("train") == 2
        assert set(planned) == {"summarise", "table", "figure", "page"}
    finally:
        file.write_text(text)


def test_an_edited_figure_retrains_nothing(project: Project) -> None:
    file = project.root / "paper_figures" / "fig_tradeoff.py"
    text = file.read_text()
    try:
        file.write_text(text + "\n# changed\n")
        assert set(project.planned()) <= {"figure", "page"}
    finally:
        file.write_text(text)


def test_a_description_is_made_of_what_is_prepared(project: Project) -> None:
    assert project.planned("data/described/toy/statistics.png") == {"describe": 1}


def test_a_changed_option_reruns_only_its_runs(project: Project) -> None:
    changed = CONFIG | {"mirror": "mirror", "pruners": dict(CONFIG["pruners"])}  # type: ignore[call-overload]
    changed["pruners"]["st_prune"] = {"options": {"hard_share": 0.25}}  # type: ignore[index]
    (project.root / "changed.yaml").write_text(yaml.safe_dump(changed))
    done = project.snakemake("-n", config="changed.yaml")
    assert re.search(r"^train +2$", done.stdout + done.stderr, flags=re.MULTILINE)


def test_a_wrong_key_is_one_line(project: Project) -> None:
    wrong = CONFIG | {"training": {"epochss": 3}}
    (project.root / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    done = project.snakemake(config="wrong.yaml")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "profile" not in line]
    assert len(lines) == 1
    assert "`epochss`" in lines[0]
    assert "did you mean `epochs`" in lines[0]


def test_a_missing_raw_file_is_one_line_in_the_log(project: Project) -> None:
    lost = CONFIG | {"mirror": "nowhere", "data_directory": "lost"}
    (project.root / "lost.yaml").write_text(yaml.safe_dump(lost))
    toy.write_toy(project.root / "lost", project.root / "unused")
    done = project.snakemake(config="lost.yaml")
    assert done.returncode != 0
    log = (project.root / "lost/processed/logs/toy.log").read_text()
    assert "Traceback" not in log
    assert "nowhere" in log
    assert not (project.root / "lost/processed/toy/meta.json").exists()


@pytest.mark.parametrize("config", sorted(p.name for p in (ROOT / "config").glob("*.yaml")))
def test_each_shipped_configuration_plans_alone(project: Project, config: str) -> None:
    (project.root / "data").mkdir(exist_ok=True)
    for card in (ROOT / "data").glob("*.yaml"):
        shutil.copy(card, project.root / "data")
    done = project.snakemake("-n", config=f"config/{config}")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^train +[1-9]", done.stdout + done.stderr, flags=re.MULTILINE)


def test_a_killed_run_continues_to_the_same_bits(project: Project) -> None:
    longer = CONFIG | {"mirror": "mirror", "training": {"epochs": 60, "batch_size": 8}}
    records = []
    for name in ("undisturbed", "killed"):
        text = yaml.safe_dump(longer | {"experiment": name})
        (project.root / f"{name}.yaml").write_text(text)
        command = ["-m", "stprune", "train", "--config", f"{name}.yaml", *RUN]
        run = project.root / "results" / name
        if name == "killed":
            kill_during(project, command, run / "checkpoints/toy/stid/st_prune/p0.5/s0/last.pt")
            assert not list(run.glob("runs/**/metrics.json"))
        done = project.python(*command)
        assert done.returncode == 0, done.stderr
        records.append(
            json.loads((run / "runs/toy/stid/st_prune/p0.5/s0/metrics.json").read_text())
        )
    undisturbed, killed = records
    assert (undisturbed["resumed"], killed["resumed"]) == (0, 1)
    for name in ("test", "validation_mae", "best_epoch", "fingerprint", "source_digest"):
        assert undisturbed[name] == killed[name]


def kill_during(project: Project, command: list[str], checkpoint: Path) -> None:
    """Start a run and kill -9 it once it has written a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=project.root,
        env=project.environment,
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
