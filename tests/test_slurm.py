"""Runs on a real Slurm cluster of one node: what they ask for, and that a killed one goes on.

The cluster is started in a folder, without root, accounting or cgroups: `squeue` knows how a job
ended, and Slurm itself looks every second whether one has too much memory. A job that is started
again waits until the credential of its first start has expired, two minutes elsewhere.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_workflow import Project, copy_project

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
START_SECONDS = 30.0
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
MinJobAge=600
SlurmdParameters=config_overrides
MailProg=/bin/true
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=10000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
MISSING = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up, with its configuration, state and logs in ``folder``."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Lets Slurm's commands find this cluster."""
        path = f"{self.folder / 'bin'}{os.pathsep}{SEARCHED}"
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def command(self, *words: str) -> str:
        """What a command of Slurm says."""
        options: Any = {"capture_output": True, "text": True, "timeout": 60}
        return subprocess.run(words, env=self.environment, **options).stdout.strip()


@contextmanager
def one_node_cluster() -> Iterator[Cluster]:
    """Start a cluster, and end all that it has started."""
    # A socket's path is short, and pytest's folders are not.
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    cluster = Cluster(folder)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _configure(folder)
        kinds = ("socket", "key-file", "pid-file", "seed-file", "log-file")
        files = [f"--{kind}={folder}/munge.{kind.partition('-')[0]}" for kind in kinds]
        # `--force`: it would rather not run below a folder that everybody can write to.
        stack.enter_context(_running(cluster, ["munged", "--foreground", "--force", *files]))
        for daemon in ("slurmctld", "slurmd"):
            words = [daemon, "-D", "-c", "-f", f"{folder}/slurm.conf"]
            stack.enter_context(_running(cluster, words))
        try:
            _wait(lambda: cluster.command("sinfo", "--noheader", "--format=%T") == "idle")
        except TimeoutError:
            logs = [path.read_text()[-2000:] for path in sorted(folder.glob("*.out"))]
            raise RuntimeError("\n".join(["the cluster does not start", *logs])) from None
        try:
            yield cluster
        finally:
            cluster.command("scancel", "--me")
            with suppress(TimeoutError):
                _wait(lambda: cluster.command("squeue", "--noheader") == "")


def _wait(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError
        time.sleep(0.2)


def _configure(folder: Path) -> None:
    folder.chmod(0o755)
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    text = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0],
        user=getpass.getuser(),
        folder=folder,
        controller_port=_free_port(),
        node_port=_free_port(),
        cpus=min(2, os.cpu_count() or 1),
    )
    (folder / "slurm.conf").write_text(text)
    # Snakemake takes SLURM_CONF from the `srun` of a job, which then looks in /etc only.
    wrapper = folder / "bin" / "srun"
    real = shutil.which("srun", path=SEARCHED)
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    wrapper.chmod(0o755)
    # Any device file stands for a GPU: Slurm only counts it and gives out its number.
    (folder / "gres.conf").write_text("Name=gpu File=/dev/zero\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(cluster: Cluster, words: list[str]) -> Iterator[None]:
    with (cluster.folder / f"{words[0]}.out").open("w") as output:
        process = subprocess.Popen(words, env=cluster.environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(START_SECONDS)
        process.kill()
        process.wait()


pytestmark = [
    pytest.mark.slow,
    # A minute on two idle cores; a busy machine must not make it fail.
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"needs Debian's slurm-wlm and munge (there is no {', '.join(MISSING)})",
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
    def snakemake(
        self, config: str, *paths: str, options: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Let Snakemake train some blocks; it ends well after the body."""
        experiment = Path(config).stem
        targets = [f"results/{experiment}/blocks/{path}.json" for path in paths]
        log = self.project.root / f"{experiment}.snakemake"
        command = [sys.executable, "-m", "snakemake", *HERE, "--configfile", config, *options, "--"]
        with log.open("w") as output:
            process = subprocess.Popen(
                [*command, *targets],
                cwd=self.project.root,
                env={**self.cluster.environment, "PYTHONPATH": str(self.project.root)},
                stdout=output,
                stderr=output,
            )
            try:
                yield process
                assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()
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

    def wait_for_checkpoint(self, process: subprocess.Popen[bytes], experiment: str) -> None:
        folder = self.project.root / "results" / experiment / "checkpoints" / ENDED / "s0"
        limit = time.monotonic() + PATIENCE_SECONDS
        while not (folder / "last.pt").exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.1)

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
    with site.snakemake(config, "toy/ended/s0", "toy/short/s0") as process:
        site.wait_for_checkpoint(process, "killed")
        jobs = site.requests(before)
        ended = next(job for job, (_, memory, _) in jobs.items() if memory == GENEROUS)
        site.cluster.command("scancel", ended)
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
    with site.snakemake(config, "toy/ended/s0") as process:
        site.wait_for_checkpoint(process, "again")
        (job,) = site.requests(before)
        site.cluster.command("scontrol", "requeue", job)
    states = {number: state for number, (state, *_) in site.requests(before).items()}
    assert states == {job: "COMPLETED"}
    _assert_went_on(site.project.record("again", f"{ENDED}/s0"), undisturbed)


def test_the_runs_of_a_block_are_a_job_that_has_a_gpu(site: Site) -> None:
    # The node says that it has one; without a GPU, `cuda` would end in a line.
    pruners = dict.fromkeys(["full", "random_dynamic"])
    config = site.configure("together", pruners=pruners)
    site.stprune("data", "prepare", "toy", "--config", config)
    before = site.requests()
    with site.snakemake(config, "toy/stid/s0", options=["--set-resources", "train:gpu=1"]):
        pass
    jobs = site.requests(before).values()
    assert [(state, gpus) for state, _, gpus in jobs] == [("COMPLETED", "gres:gpu:1")]
    for path in ("toy/stid/full/p0/s0", "toy/stid/random_dynamic/p0.5/s0"):
        assert site.metrics("together", path).exists()
