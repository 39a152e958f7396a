"""Runs on a real Slurm cluster of one node: what they ask for, and that a killed one goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster, missing_programs, one_node_cluster
from test_workflow import Project, copy_project

pytestmark = [
    pytest.mark.slow,
    # A minute on two idle cores; a busy machine must not make it fail.
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        bool(missing_programs()),
        reason=f"needs Debian's slurm-wlm and munge (there is no {', '.join(missing_programs())})",
    ),
]

PATIENCE_SECONDS = 1500.0
TOO_LITTLE, ENOUGH = "700M", "1400M"
GENEROUS, TWICE_GENEROUS = "4100M", "8200M"
# Of a cluster without accounts, and asking often: a test has no hour to wait.
HERE = (
    *("--profile", "profiles/slurm", "--workflow-profile", "none", "--latency-wait", "10"),
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "1"),
)
STID = {"backbone": "stid", "options": {"series_width": 8, "node_width": 8}}
CHANGES: dict[str, Any] = {
    "backbones": {"ended": STID, "short": STID},
    "pruners": {"st_prune": None},
}
LONG = {"batch_size": 8, "validate_every": 1, "epochs": 60}
ENDED, SHORT = (f"toy/{name}/st_prune/p0.5" for name in CHANGES["backbones"])


@dataclass(frozen=True)
class Submission:
    """A Snakemake that submits jobs."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, path: Path) -> None:
        """Until a file is there."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not path.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < limit, self.log.read_text()
            time.sleep(0.1)

    def wait(self) -> None:
        """Until its end, which is to be a good one."""
        assert self.process.wait(PATIENCE_SECONDS) == 0, self.log.read_text()


@dataclass(frozen=True)
class Site:
    """A project on a cluster."""

    project: Project
    cluster: Cluster

    def configure(self, name: str, **changes: Any) -> str:
        """Write a configuration of toy runs; returns its file."""
        # No run waits for cores that something else on this machine holds.
        shared = {"compute": {"own_cores": False}, "seeds": [0]}
        self.project.configure(name, **shared | changes)
        return f"{name}.yaml"

    @contextmanager
    def snakemake(self, config: str, *paths: str) -> Iterator[Submission]:
        """Let Snakemake train some blocks; it ends with the body."""
        experiment = Path(config).stem
        targets = [f"results/{experiment}/blocks/{path}.json" for path in paths]
        log = self.project.root / f"{experiment}.snakemake"
        command = [sys.executable, "-m", "snakemake", *HERE, "--configfile", config, "--"]
        with log.open("w") as output:
            process = subprocess.Popen(
                [*command, *targets],
                cwd=self.project.root,
                env={**self.cluster.environment, "PYTHONPATH": str(self.project.root)},
                stdout=output,
                stderr=output,
            )
            try:
                yield Submission(process, log)
            finally:
                process.kill()
                process.wait()

    def stprune(self, *words: str) -> None:
        """Do something in the project, outside the cluster."""
        done = self.project.python("-m", "stprune", *words)
        assert done.returncode == 0, done.stderr

    def train(self, config: str, backbone: str, seed: int = 0) -> None:
        where = ["--dataset", "toy", "--backbone", backbone, "--seed", str(seed)]
        pruner = ["--pruner", "st_prune", "--prune-ratio", "0.5"]
        self.stprune("train", "--config", config, *where, *pruner)

    def metrics(self, experiment: str, path: str) -> Path:
        return self.project.root / "results" / experiment / "runs" / path / "metrics.json"

    def checkpoint(self, experiment: str, path: str) -> Path:
        return self.project.root / "results" / experiment / "checkpoints" / path / "last.pt"

    def requests(self, before: Collection[str] = ()) -> dict[str, tuple[str, str, str]]:
        """State, memory and GPUs of every job but those ``before``, by its number."""
        asked = "--Format=JobID,State,MinMemory,tres-per-job"
        lines = self.cluster.command("squeue", "--states=all", "--noheader", asked).splitlines()
        jobs = (line.split() for line in lines)
        return {
            job: (state, memory, gpus) for job, state, memory, gpus in jobs if job not in before
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with one_node_cluster() as cluster:
        yield Site(copy_project(tmp_path_factory.mktemp("site")), cluster)


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> dict[str, Any]:
    """The record of a run that nothing happened to."""
    config = site.configure("undisturbed", **CHANGES, training=LONG)
    site.stprune("data", "prepare", "toy", "--config", config)
    site.train(config, "ended")
    return site.project.record("undisturbed", f"{ENDED}/s0")


def _assert_went_on(record: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    assert record["resumed"] == 1
    for name in ("test", "validation_mae", "best_epoch", "fingerprint"):
        assert record[name] == undisturbed[name]


def test_a_cancelled_run_goes_on_and_one_without_memory_gets_more(
    site: Site, undisturbed: dict[str, Any]
) -> None:
    # By the record of another seed, which is wrong, `short` needs less than Snakemake alone.
    other = site.configure("killed", **CHANGES, training=LONG | {"epochs": 1}, seeds=[1])
    site.train(other, "short", seed=1)
    record = site.project.record("killed", f"{SHORT}/s1")
    record["cost"]["peak_memory_bytes"] = -(10**8)
    site.metrics("killed", f"{SHORT}/s1").write_text(json.dumps(record))
    config = site.configure("killed", **CHANGES, training=LONG)
    before = site.requests()
    with site.snakemake(config, "toy/ended/s0", "toy/short/s0") as submission:
        submission.wait_for(site.checkpoint("killed", f"{ENDED}/s0"))
        jobs = site.requests(before)
        ended = next(job for job, (_, memory, _) in jobs.items() if memory == GENEROUS)
        site.cluster.command("scancel", ended)
        submission.wait()
    jobs = site.requests(before)
    attempts = [jobs[number] for number in sorted(jobs, key=int)]
    # What is not known yet is generous, what is known is not; each next attempt gets twice that.
    assert sorted(memory for _, memory, _ in attempts[:2]) == [GENEROUS, TOO_LITTLE]
    assert sorted(attempts[2:]) == [
        ("COMPLETED", memory, "N/A") for memory in (ENOUGH, TWICE_GENEROUS)
    ]
    _assert_went_on(site.project.record("killed", f"{ENDED}/s0"), undisturbed)


def test_a_run_that_slurm_starts_again_goes_on(site: Site, undisturbed: dict[str, Any]) -> None:
    """As after a node failed, or another's job took it."""
    config = site.configure("again", **CHANGES, training=LONG)
    before = site.requests()
    with site.snakemake(config, "toy/ended/s0") as submission:
        submission.wait_for(site.checkpoint("again", f"{ENDED}/s0"))
        (job,) = site.requests(before)
        site.cluster.command("scontrol", "requeue", job)
        submission.wait()
    states = {number: state for number, (state, *_) in site.requests(before).items()}
    assert states == {job: "COMPLETED"}
    _assert_went_on(site.project.record("again", f"{ENDED}/s0"), undisturbed)


def test_the_runs_of_a_block_are_a_job_that_has_a_gpu(site: Site) -> None:
    # Without a GPU here, `auto` is the processor; the node says that it has one.
    compute = {"own_cores": False, "accelerator": "auto"}
    pruners = dict.fromkeys(["full", "random_dynamic"])
    config = site.configure("together", compute=compute, pruners=pruners)
    site.stprune("data", "prepare", "toy", "--config", config)
    before = site.requests()
    with site.snakemake(config, "toy/stid/s0") as submission:
        submission.wait()
    jobs = site.requests(before).values()
    assert [(state, gpus) for state, _, gpus in jobs] == [("COMPLETED", "gres:gpu:1")]
    for path in ("toy/stid/full/p0/s0", "toy/stid/random_dynamic/p0.5/s0"):
        assert site.metrics("together", path).exists()
