"""What else a machine does while something is timed.

On Linux: the time that the claimed cores were busy (``/proc/stat``) less this process's own, where
what the host of a virtual machine took away counts as others'; how long this process's threads were
ready to run but had no core (``/proc/<pid>/schedstat``), which containers show as well; pressure
(``/proc/pressure/cpu``). On a GPU, what other processes used of it, by NVML. What a system does not
tell is None.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
        return Reading(
            wall=time.perf_counter(),
            own=time.process_time(),
            busy=_known(self._busy),
            waiting=_known(self._waiting),
            pressure=_known(self._pressure),
        )

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
        lines = dict(
            line.split(maxsplit=1)
            for line in (self.proc / "stat").read_text(encoding="ascii").splitlines()
        )
        rows = [lines[f"cpu{core}"].split() for core in self.cores]
        ticks = np.array(rows, dtype=np.float64)[:, BUSY].sum()
        return float(ticks) / os.sysconf("SC_CLK_TCK")

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


def mean_of(sensors: Sequence[tuple[float, Sensors]]) -> Sensors:
    """Means of sensors, each with the seconds that it stands for; None where one is."""
    weights, parts = zip(*sensors, strict=True)
    means: dict[str, float | None] = {}
    for name in Sensors.model_fields:
        values = [getattr(part, name) for part in parts]
        means[name] = None if None in values else float(np.average(values, weights=weights))
    others = means["others"]
    if others is not None:
        # Time of cores is counted in ticks, so that nothing may come out just below zero.
        means["others"] = None if others < ODD else max(0.0, others)
    return Sensors.model_validate(means)


def _known(read: Callable[[], float]) -> float | None:
    """What ``read`` gives, None on a system that has no such file, or a shorter one."""
    try:
        return read()
    except (OSError, LookupError, ValueError):
        return None
