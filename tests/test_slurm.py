"""Blocks on a real Slurm cluster of one node: what they ask for, and that a killed one goes on.

The cluster is started in a folder, without root, accounting or cgroups: `squeue` knows how a job
ended, and Slurm itself looks every second whether one has too much memory. A job that is started
again waits until the credential of its first start has expired, two minutes elsewhere.
"""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import toy
from test_workflow import Project, copy_project

from stprune.__main__ import main
from stprune.base.layout import DataLayout
from stprune.data.prepare import prepare

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
MinJobAge=6000
SlurmdParameters=config_overrides
MailProg=/bin/true
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=20000 Gres=gpu:3 State=UNKNOWN
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
    )
    (folder / "slurm.conf").write_text(text)
    # Snakemake takes SLURM_CONF from the `srun` of a job, which then looks in /etc only.
    wrapper = folder / "bin" / "srun"
    real = shutil.which("srun", path=SEARCHED)
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    wrapper.chmod(0o755)
    # Any device file stands for a GPU: Slurm only counts it and gives out its number.
    devices = [f"Name=gpu File=/dev/{name}\n" for name in ("full", "null", "zero")]
    (folder / "gres.conf").write_text("".join(devices))


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
# Of a cluster without accounts.
HERE = (
    *("--profile", "profiles/slurm", "--workflow-profile", "none", "--latency-wait", "10"),
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "1"),
    # The node says that it has GPUs; without one, `cuda` would end in a line.
    *("--set-resources", "train:gpu=1"),
)
# Snakemake waits ten seconds longer after every look at which no job has ended; a test has no time.
IMPATIENT = """\
import asyncio
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
RemoteExecutor.sleep = lambda self: asyncio.sleep(1)
main()
"""
STID = {"backbone": "stid", "options": {"series_width": 8, "node_width": 8}}
CANCELLED, SHORT = BACKBONES = ("cancelled", "short")
CHANGES: dict[str, Any] = {
    "backbones": dict.fromkeys(BACKBONES, STID),
    "pruners": {"st_prune": None},
    "training": {"batch_size": 8, "validate_every": 1, "epochs": 60},
    "seeds": [0],
    # No run waits for cores that something else on this machine holds.
    "compute": {"own_cores": False},
}


@dataclass(frozen=True)
class Site:
    """A project on a cluster."""

    project: Project
    cluster: Cluster

    @contextmanager
    def snakemake(self, experiment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Let Snakemake train all blocks; it ends well after the body."""
        blocks = [f"results/{experiment}/blocks/toy/{name}/s0.json" for name in BACKBONES]
        command = [sys.executable, "-c", IMPATIENT, *HERE, "--configfile", f"{experiment}.yaml"]
        log = self.project.root / f"{experiment}.snakemake"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*command, "--", *blocks],
                cwd=self.project.root,
                env={**self.cluster.environment, "PYTHONPATH": str(self.project.root)},
                stdout=output,
                stderr=output,
            )
            try:
                yield process
                process.wait(PATIENCE_SECONDS)
            finally:
                process.kill()
                assert process.wait() == 0, log.read_text()

    def jobs(self) -> list[tuple[str, ...]]:
        """Number, state, memory, GPUs and block of every job, in the order of submission."""
        asked = "--Format=JobID,State,MinMemory,tres-per-job,Comment:200"
        lines = self.cluster.command("squeue", "--states=all", "--noheader", asked).splitlines()
        return sorted((tuple(line.split()) for line in lines), key=lambda job: int(job[0]))

    def run(self, experiment: str, backbone: str, seed: int = 0) -> Path:
        """The folder of a run's record."""
        place = f"toy/{backbone}/st_prune/p0.5/s{seed}"
        return self.project.root / "results" / experiment / "runs" / place

    def record(self, experiment: str, backbone: str) -> dict[str, Any]:
        return dict(json.loads((self.run(experiment, backbone) / "metrics.json").read_text()))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with one_node_cluster() as cluster:
        yield Site(copy_project(tmp_path), cluster)


def test_blocks_are_jobs_with_a_gpu_and_go_on_after_what_happens_to_them(site):
    """One is cancelled; one has too little memory, then is started again as after a node failed."""
    data, results = site.project.root / "data", site.project.root / "results"
    prepare(toy.DATASET, DataLayout(data), str(site.project.root / "mirror"))
    places = {"data_directory": str(data), "results_directory": str(results)}
    site.project.configure("undisturbed", **CHANGES, **places)
    site.project.configure("disturbed", **CHANGES)
    words = ["train", "--config", str(site.project.root / "undisturbed.yaml"), "--dataset", "toy"]
    run = ["--backbone", CANCELLED, "--pruner", "st_prune", "--prune-ratio", "0.5", "--seed", "0"]
    assert main([*words, *run]) == 0
    undisturbed = site.record("undisturbed", CANCELLED)
    # By the record of another seed, which is wrong, `short` needs less than Snakemake alone.
    other = site.run("disturbed", SHORT, seed=1)
    shutil.copytree(site.run("undisturbed", CANCELLED), other)
    wrong = json.loads(json.dumps(undisturbed))
    wrong["config"]["backbone"]["name"] = SHORT
    wrong["cost"]["peak_memory_bytes"] = -(10**8)
    (other / "metrics.json").write_text(json.dumps(wrong))

    with site.snakemake("disturbed") as process:
        disturb = {CANCELLED: ["scancel"], SHORT: ["scontrol", "requeue"]}
        limit = time.monotonic() + PATIENCE_SECONDS
        while disturb:
            assert process.poll() is None
            assert time.monotonic() < limit
            for path in site.project.root.glob("results/disturbed/checkpoints/toy/*/**/last.pt"):
                backbone = next(name for name in BACKBONES if name in path.parts)
                if command := disturb.pop(backbone, None):
                    *_, job = (number for number, *_, block in site.jobs() if backbone in block)
                    site.cluster.command(*command, job)
            time.sleep(0.1)

    # What is not known yet is generous, what is known is not; each next attempt gets twice that.
    requests = {CANCELLED: [GENEROUS, TWICE_GENEROUS], SHORT: [TOO_LITTLE, ENOUGH]}
    for backbone, attempts in requests.items():
        jobs = [job for job in site.jobs() if backbone in job[-1]]
        assert [memory for _, _, memory, *_ in jobs] == attempts
        assert jobs[-1][1] == "COMPLETED"
        assert all(gpus == "gres:gpu:1" for *_, gpus, _ in jobs)
        record = site.record("disturbed", backbone)
        assert record["resumed"] == 1
        for name in ("test", "validation_mae", "best_epoch"):
            assert record[name] == undisturbed[name]
