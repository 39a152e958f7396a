"""What else a machine does while something is timed; what a system does not tell is None.

On Linux: how long the claimed cores were busy (``/proc/stat``) beyond this process's own time, with
what the host of a virtual machine took away; how long its threads were ready but had no core
(``/proc/<pid>/schedstat``), which containers show as well; pressure (``/proc/pressure/cpu``). On a
GPU, what other processes used of it, by NVML.
"""

import math
import os
import re
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stprune.records.timing import Sensors

# Columns of `/proc/stat`: user, nice, system, (idle, waiting for a disk,) interrupts, stolen time;
# guests are counted among users already.
BUSY = [0, 1, 2, 5, 6, 7]
# Where the cores seem to do less than this process alone, `/proc/stat` is not that of the machine.
ODD = -0.2


class Reading(NamedTuple):
    """Counters at one moment, in seconds; None for what cannot be read."""

    wall: float
    own: float  # CPU time of this process
    busy: float | None  # of the cores, by anyone
    waiting: float | None  # of this process's threads, for a core
    pressure: float | None  # while any process of the machine waited for a core


class Watch:
    """The sensors of ``cores``, and of the first of ``gpus``, named by id, if there are any."""

    def __init__(
        self, cores: Sequence[int], gpus: Collection[str] = (), proc: Path = Path("/proc")
    ) -> None:
        self.cores, self.gpu, self.proc = cores, next(iter(gpus), None), proc

    def read(self) -> Reading:
        """The counters, now."""
        others = map(_known, (self._busy, self._waiting, self._pressure))
        return Reading(time.perf_counter(), time.process_time(), *others)

    def since(self, before: Reading) -> Sensors:
        """What the machine did since a reading."""
        now = self.read()
        wall, own = now.wall - before.wall, now.own - before.own
        busy, waiting, pressure = (
            None if ours is None or theirs is None else (ours - theirs) / wall
            for ours, theirs in zip(now[2:], before[2:], strict=True)
        )
        others = None if busy is None else (busy - own / wall) / len(self.cores)
        if self.gpu is not None:
            others = others_on_gpu(self.gpu, wall)
        return Sensors(
            busy=own / wall,
            others=others,
            waiting=waiting and waiting / len(self.cores),
            pressure=pressure,
            megahertz=_known(self._megahertz),
        )

    def _busy(self) -> float:
        rows = map(str.split, (self.proc / "stat").read_text(encoding="ascii").splitlines())
        ticks = {name: np.array(numbers[:8], dtype=np.float64) for name, *numbers in rows}
        busy = sum(ticks[f"cpu{core}"][BUSY].sum() for core in self.cores)
        return float(busy) / os.sysconf("SC_CLK_TCK")

    def _waiting(self) -> float:
        threads = (self.proc / "self" / "task").iterdir()
        texts = [(thread / "schedstat").read_text(encoding="ascii") for thread in threads]
        return sum(int(text.split()[1]) for text in texts) / 1e9

    def _pressure(self) -> float:
        text = (self.proc / "pressure" / "cpu").read_text(encoding="ascii")
        return int(text.splitlines()[0].rpartition("total=")[2]) / 1e6

    def _megahertz(self) -> float:
        text = (self.proc / "cpuinfo").read_text(encoding="utf-8")
        clocks = re.findall(r"^cpu MHz\s*: ([\d.]+)$", text, re.MULTILINE)
        return float(np.mean([float(clocks[core]) for core in self.cores]))


def others_on_gpu(gpu: str, seconds: float) -> float | None:
    """Share of a GPU's time that other processes used in the last ``seconds``.

    None where NVML does not list this process, as in a container that numbers processes itself: it
    cannot be told from the others then.
    """
    import pynvml as nvml

    since = int((time.time() - seconds) * 1e6)
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(gpu)
        samples = nvml.nvmlDeviceGetProcessUtilization(handle, since)
    except nvml.NVMLError:  # of a part of a GPU, or no process was seen
        return None
    used = {sample.pid: sample.smUtil for sample in samples}
    return None if used.pop(os.getpid(), None) is None else sum(used.values()) / 100


def mean_of(epochs: pd.DataFrame) -> Sensors:
    """Means of the sensors of epochs, weighted by ``train_seconds``; None where one is missing."""
    shares = epochs["train_seconds"] / epochs["train_seconds"].sum()
    means = epochs[list(Sensors.model_fields)].astype(float).mul(shares, axis=0).sum(skipna=False)
    # Time of cores is counted in ticks, so that nothing may come out just below zero.
    means["others"] = math.nan if means["others"] < ODD else max(means["others"], 0.0)
    known = {name: None if math.isnan(mean) else mean for name, mean in means.items()}
    return Sensors.model_validate(known)


def _known(read: Callable[[], float]) -> float | None:
    """What ``read`` gives, None on a system that has no such file, or a shorter one."""
    try:
        return read()
    except (OSError, LookupError, ValueError):
        return None
