"""A Slurm cluster of one node, started by hand in a folder: no root, accounting or cgroups needed.

Debian's `slurm-wlm` and `munge` have everything. Without accounting, `squeue` is what knows how a
job ended; without cgroups, Slurm itself looks every second whether a job has too much memory. A job
that is started again waits until the credential of its first start has expired, two minutes
elsewhere.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "squeue",
    "scancel",
    "scontrol",
    "sinfo",
)
PATIENCE_SECONDS = 30.0
CPUS, MEMORY_MB = 2, 10_000
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
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Programs of the cluster that this machine does not have."""
    return [name for name in PROGRAMS if shutil.which(name, path=_search_path()) is None]


def _search_path(*first: str) -> str:
    return os.pathsep.join([*first, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up.

    Args:
        folder: Of its configuration, state and logs.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Lets Slurm's commands find this cluster."""
        return {
            **os.environ,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": _search_path(str(self.folder / "bin")),
        }

    def command(self, *words: str) -> str:
        """What a command of Slurm says."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """State of every job by its number, ended ones included."""
        lines = self.command("squeue", "--states=all", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)


@contextmanager
def one_node_cluster() -> Iterator[Cluster]:
    """Start a cluster, and end all that it has started."""
    # A socket's path is short, and pytest's folders are not.
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with ExitStack() as stack:
            _configure(folder)
            cluster = Cluster(folder)
            for words in _daemons(folder):
                stack.enter_context(_running(cluster, words))
            _wait_until_idle(cluster)
            try:
                yield cluster
            finally:
                subprocess.run(["scancel", "--me"], env=cluster.environment, timeout=60)
                _wait_until_ended(cluster)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path) -> None:
    for name in ("state", "spool"):
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
        cpus=min(CPUS, os.cpu_count() or 1),
        memory=MEMORY_MB,
    )
    (folder / "slurm.conf").write_text(text)
    _write_srun(folder)
    # Any device file stands for a GPU: Slurm only counts it and gives out its number.
    (folder / "gres.conf").write_text("Name=gpu File=/dev/zero\n")


def _write_srun(folder: Path) -> None:
    """Snakemake takes SLURM_CONF from the `srun` of a job, which then looks in /etc only."""
    real = shutil.which("srun", path=_search_path())
    wrapper = folder / "bin" / "srun"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    wrapper.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _daemons(folder: Path) -> list[list[str]]:
    files = [f"--{kind}={folder}/munge.{kind.partition('-')[0]}" for kind in _MUNGE_FILES]
    # `--force`: it would rather not run below a folder that everybody can write to.
    return [
        ["munged", "--foreground", "--force", *files],
        ["slurmctld", "-D", "-c", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-D", "-c", "-f", f"{folder}/slurm.conf"],
    ]


_MUNGE_FILES = ("socket", "key-file", "pid-file", "seed-file", "log-file")


@contextmanager
def _running(cluster: Cluster, words: list[str]) -> Iterator[None]:
    with (cluster.folder / f"{words[0]}.out").open("w") as output:
        process = subprocess.Popen(words, env=cluster.environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_idle(cluster: Cluster) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while True:
        words = ["sinfo", "--noheader", "--format=%T"]
        done = subprocess.run(words, env=cluster.environment, capture_output=True, text=True)
        if done.stdout.strip() == "idle":
            return
        if time.monotonic() > limit:
            logs = [path.read_text()[-2000:] for path in sorted(cluster.folder.glob("*.out"))]
            raise RuntimeError("\n".join(["the cluster does not start", done.stderr, *logs]))
        time.sleep(0.2)


def _wait_until_ended(cluster: Cluster) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    going = {"RUNNING", "PENDING", "COMPLETING"}
    while going & set(cluster.jobs().values()) and time.monotonic() < limit:
        time.sleep(0.2)
