"""The real workflow on toy data, in a project with the files that docs/extending.md shows."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import toy
import yaml

from stprune.__main__ import main
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
# Whole files, each under its path.
SHOWN = re.compile(r"^`(\S+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRUNERS = ["full", "full_fewer_epochs", "random_dynamic", "infobatch", "st_prune", "middle_errors"]
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
ST_PRUNE = "toy/stid/st_prune/p0.5/s0"
RUN = ["--dataset", "toy", "--backbone", "stid", "--pruner", "st_prune", "--prune-ratio", "0.5"]


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

    def trained(self) -> dict[str, float]:
        """How long each run of the toy experiment trained: no two trainings take the same time."""
        root, seconds = self.results / "runs", {}
        for path in root.rglob("metrics.json"):
            with suppress(ValueError):  # a test damaged it
                cost = json.loads(path.read_text())["cost"]
                seconds[path.parent.relative_to(root).as_posix()] = cost["train_seconds"]
        return seconds


def copy_project(target: Path) -> Project:
    target.mkdir(exist_ok=True)
    for name in COPIED:
        source, ignore = ROOT / name, shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    for path, text in SHOWN.findall((ROOT / "docs" / "extending.md").read_text("utf-8")):
        (target / path).write_text(text)
    toy.write_toy(target / "data", target / "mirror")
    project = Project(target)
    project.configure("toy")
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the toy experiment has run once."""
    copied = copy_project(tmp_path_factory.mktemp("project") / "a name with spaces")
    done = copied.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    (copied.root / "said.txt").write_text(done.stderr)
    return copied


def edit(file: Path, line: str) -> None:
    file.write_text(f"{file.read_text()}\n{line}\n")


def test_yields_every_product_and_says_how_each_run_went(project):
    summary = pd.read_csv(project.results / "summary.csv")
    assert len(summary) == RUNS
    assert set(summary["pruner"]) == set(PRUNERS)
    assert summary[["test_mae", "test_rmse"]].gt(0).all(axis=None)
    assert summary["total_seconds"].isna().all(), "nothing was timed"
    for name in ("tables/main.csv", "tables/main.tex"):
        assert (project.results / name).stat().st_size > 0
    assert (project.results / "figures/tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert (project.results / "figures/tradeoff.pdf").read_bytes().startswith(b"%PDF")
    # The page's pruner and table.
    assert "Middle errors" in (project.results / "tables/main.md").read_text("utf-8")
    ranges = pd.read_csv(project.results / "tables/seed_range.csv")
    assert set(ranges["pruner"]) == set(PRUNERS)
    assert "Range over seeds" in (project.results / "report.html").read_text("utf-8")
    assert not list(project.results.glob("checkpoints/**/*.pt"))
    said = (project.root / "said.txt").read_text()
    lines = re.findall(r"(\d+)/6 (toy/\S+): test MAE (\S+),", said)
    assert sorted(int(number) for number, _, _ in lines) == sorted([*range(1, 7)] * 2)
    for _, path, mae in lines:
        record = json.loads((project.results / "runs" / path / "metrics.json").read_text())
        assert f"{record['test']['mae']:.4g}" == mae
        assert record["environment"]["threads"] == len(record["environment"]["cores"]) == 1
        assert f"{path}: test MAE" in (project.results / "logs" / path / "train.log").read_text()


def test_a_run_of_stprune_train_elsewhere_is_the_same(project, toy_data, tmp_path):
    """From this folder's sources and data of its own, and not beside another block."""
    places = {"data_directory": str(toy_data), "results_directory": str(tmp_path)}
    values = CONFIG | places | {"pruners": {"st_prune": None}, "compute": {"own_cores": False}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
    assert main(["train", "--config", str(tmp_path / "toy.yaml"), *RUN]) == 0
    results = project.results, tmp_path / "toy"
    files = [folder / "runs" / ST_PRUNE / "metrics.json" for folder in results]
    difference = compare_runs(*((read_record(file), file) for file in files))
    assert difference.bit_equal, difference.results[:5]
    # Neither the configuration nor a source or checksum knows of a path; a copy is no git clone.
    around = {change.name for change in difference.circumstances}
    assert around <= {"environment.git_commit", "environment.git_dirty"}


def test_touched_sources_comments_and_figures_retrain_nothing(project):
    for source in (project.root / "stprune" / "training").rglob("*.py"):
        source.touch()
    edit(project.root / "baselines" / "infobatch.py", "# changed")
    edit(project.root / "paper_figures" / "fig_tradeoff.py", "# changed")
    planned = project.planned("all", "data/described/toy/statistics.png")
    assert planned == {"describe": 1, "products": 1}


def test_what_is_not_valid_or_new_is_trained_and_nothing_else(project):
    """Records that were deleted, damaged or are another run's, and those of an edited pruner."""
    rivals = ("random_dynamic", "middle_errors", "st_prune")
    deleted, damaged, foreign = (f"toy/stid/{name}/p0.5/s1" for name in rivals)
    runs = project.results / "runs"
    shutil.rmtree(runs / deleted)
    metrics = runs / damaged / "metrics.json"
    metrics.write_text(metrics.read_text()[:-100])
    shutil.copy(runs / ST_PRUNE / "metrics.json", runs / foreign)
    # Noticed by a target after the summary, while that is there.
    planned = project.planned("results/toy/report.html")
    assert (planned["train"], planned["summarise"]) == (1, 1)
    edit(project.root / "baselines" / "infobatch.py", "CHANGED = 1")
    more = CONFIG["pruners"] | {"random_static": None}
    changes = {"seeds": [0, 1, 2], "pruners": more, "timing": {"rounds": 3}}
    project.configure("more", experiment="toy", **changes)
    before = project.trained()
    done = project.snakemake("--", "results/toy/summary.csv", config="more.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    again = {run for run, seconds in project.trained().items() if before.get(run) != seconds}
    edited_and_new = {
        f"toy/stid/{name}/p0.5/s{seed}"
        for name in ("infobatch", "random_static")
        for seed in (0, 1)
    }
    seed_2 = {run for run in again if run.endswith("s2")}
    assert again - seed_2 == {deleted, damaged, foreign} | edited_and_new
    assert len(seed_2) == len(more)
    # Times were measured apart, and are again when measuring changes.
    summary = pd.read_csv(project.results / "summary.csv")
    assert summary["timing"].isin(["steady", "noisy", "disturbed"]).all()
    assert summary[["epoch_seconds", "total_seconds"]].gt(0).all(axis=None)
    edit(project.root / "stprune" / "training" / "timing.py", "CHANGED = 1")
    planned = project.planned("--", "results/toy/summary.csv", config="more.yaml")
    assert planned == {"time": 1, "summarise": 1}


def test_a_wrong_key_is_one_line(project):
    project.configure("wrong", training={"epochss": 3})
    done = project.snakemake(config="wrong.yaml")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "profile" not in line]
    assert len(lines) == 1
    assert "`epochss`" in lines[0]


def test_what_fails_is_named_and_stops_no_other(project):
    """A data set whose files are nowhere, and runs that diverge; the page's backbone trains."""
    data = project.root / "data"
    shutil.copy(data / "toy.yaml", data / "lost.yaml")
    wild = {"backbone": "stid", "optimisation": {"learning_rate": 1e30}}
    backbones = {"mlp": None, "wild": wild}
    changes: dict[str, Any] = {"datasets": {"toy": None, "lost": None}, "mirror": "nowhere"}
    changes |= {"pruners": dict.fromkeys(["full", "st_prune"]), "seeds": [0]}
    project.configure("wild", backbones=backbones, **changes)
    words = ("--keep-going", "--", "results/wild/summary.csv")
    done = project.snakemake(*words, config="wild.yaml")
    assert done.returncode != 0
    failed = re.findall(r"failed: (toy/wild/\S+): .*training loss.*train\.log", done.stderr)
    assert set(failed) == {"toy/wild/full/p0/s0", "toy/wild/st_prune/p0.5/s0"}
    results = project.root / "results" / "wild"
    stamps = [path.relative_to(results / "blocks") for path in results.rglob("s0.json")]
    assert stamps == [Path("toy/mlp/s0.json")]
    assert not (results / "summary.csv").exists()
    log = (data / "processed/logs/lost.log").read_text()
    assert "Traceback" not in log
    assert "nowhere" in log
    assert not (data / "processed/lost/meta.json").exists()


def test_the_whole_study_is_planned(project):
    """`snakemake -n` looks at each of its blocks."""
    for card in (ROOT / "data").glob("*.yaml"):
        shutil.copy(card, project.root / "data")
    study = load_config(ROOT / "config" / "paper.yaml")
    assert len(run_keys(study)) < 10_000
    assert project.planned(config="config/paper.yaml")["train"] == len(make_blocks(study))


def test_the_real_parts_of_published_data_train(project):
    mirror = os.environ.get("STPRUNE_MIRROR")
    if not mirror:
        pytest.skip("set STPRUNE_MIRROR to a mirror of the published files")
    parts = ["pems_bay_67", "metr_la_29", "pems08_tail", "urban_ev_45"]
    for name in parts:
        shutil.copy(ROOT / "data" / f"{name}.yaml", project.root / "data")
    small = {"blocks": 1, "layers": 2, "residual_channels": 4, "embedding_rank": 2}
    project.configure(
        "parts",
        datasets={name: {"window_stride": 100, "evaluation_stride": 100} for name in parts},
        backbones={"stid": None, "gwnet": {"options": small}},
        pruners={"full": None},
        seeds=[0],
        training={"epochs": 1, "batch_size": 32},
        mirror=mirror,
    )
    done = project.snakemake("--", "results/parts/summary.csv", config="parts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = pd.read_csv(project.root / "results" / "parts" / "summary.csv")
    assert sorted(set(summary["dataset"])) == sorted(parts)
    assert summary["backbone"].value_counts().to_dict() == {"stid": 4, "gwnet": 4}
    assert (summary["test_mae"] > 0).all()
