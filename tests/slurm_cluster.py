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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
PATIENCE_SECONDS = 30.0
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


def missing_programs() -> list[str]:
    """Programs of the cluster that this machine does not have."""
    return [name for name in PROGRAMS if shutil.which(name, path=_search_path()) is None]


def _search_path(*first: str) -> str:
    return os.pathsep.join([*first, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up, with its configuration, state and logs in ``folder``."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Lets Slurm's commands find this cluster."""
        path = _search_path(str(self.folder / "bin"))
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def command(self, *words: str) -> str:
        """What a command of Slurm says."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


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
            _wait(lambda: _says(cluster, "sinfo", "--noheader", "--format=%T") == "idle")
        except TimeoutError:
            logs = [path.read_text()[-2000:] for path in sorted(folder.glob("*.out"))]
            raise RuntimeError("\n".join(["the cluster does not start", *logs])) from None
        try:
            yield cluster
        finally:
            subprocess.run(["scancel", "--me"], env=cluster.environment, timeout=60)
            with suppress(TimeoutError):
                _wait(lambda: _says(cluster, "squeue", "--noheader") == "")


def _says(cluster: Cluster, *words: str) -> str:
    done = subprocess.run(words, env=cluster.environment, capture_output=True, text=True)
    return done.stdout.strip()


def _wait(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
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
    real = shutil.which("srun", path=_search_path())
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
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
