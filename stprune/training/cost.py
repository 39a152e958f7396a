"""What a run costs: the only clock, and joules, read once an epoch where the machine counts them.

Counters of energy include whatever else runs on the processor or device meanwhile:
https://docs.kernel.org/power/powercap/powercap.html; nvmlDeviceGetTotalEnergyConsumption of NVML.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

logger = logging.getLogger(__name__)

# A package draws less, so within range / watts seconds a counter begins anew once at most.
MOST_WATTS = 500.0
Counter = Callable[[], float]  # joules since some moment; raises if they cannot be read


class Clock:
    """Adds up the seconds of named phases on one device.

    On CUDA a wall clock would measure the queueing of work: phases inside the batch loop are
    bracketed by events, which are read once at the epoch's end.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds, self._events = defaultdict[str, float](float), list[tuple[str, Any, Any]]()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what runs inside, without waiting for the device."""
        if self.device.type != "cuda":
            with self.wall(name):
                yield
            return
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        yield
        end.record()
        self._events.append((name, begin, end))

    @contextmanager
    def wall(self, name: str) -> Iterator[None]:
        """Time what runs inside by wall clock, waiting for the device before and after."""
        self.synchronise()
        start = time.perf_counter()
        yield
        self.synchronise()
        self._seconds[name] += time.perf_counter() - start

    def synchronise(self) -> None:
        """Wait until the device has done all that was queued."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def take(self) -> dict[str, float]:
        """Seconds of each phase since the last call; 0 of a phase that was not entered."""
        self.synchronise()
        for name, begin, end in self._events:
            self._seconds[name] += begin.elapsed_time(end) / 1000
        taken, self._seconds, self._events = self._seconds, defaultdict(float), []
        return taken


class Energy:
    """Adds up ``counters`` by kind, ``processor`` and ``device``, over one start of a run.

    ``joules`` of a kind include those ``before``, of earlier starts; None without a counter, or
    once one of the kind failed, because a part of the sum would mislead.
    """

    def __init__(
        self, counters: Mapping[str, list[Counter]], before: Mapping[str, float | None]
    ) -> None:
        self.counters = counters
        self.joules = {kind: before.get(kind, 0.0) if c else None for kind, c in counters.items()}
        self._last: dict[str, float] = {}
        self.update()

    def update(self) -> None:
        """Add what was spent since the last call."""
        for kind, total in self.joules.items():
            if total is None:
                continue
            try:
                now = sum(read() for read in self.counters[kind])
                self.joules[kind] = total + now - self._last.get(kind, now)
                self._last[kind] = now
            except Exception as error:  # NVML's errors have no common class at import time
                logger.info("energy of the %s is not recorded: %s", kind, error)
                self.joules[kind] = None


class RaplCounter:
    """A file of microjoules that begin anew at a stated maximum."""

    def __init__(self, zone: Path) -> None:
        self.file, self.total = zone / "energy_uj", 0.0
        self.range = _joules(zone / "max_energy_range_uj")
        self.last, self.time = _joules(self.file), time.monotonic()

    def __call__(self) -> float:
        """Joules since this object was made."""
        now, seconds = _joules(self.file), time.monotonic() - self.time
        if seconds * MOST_WATTS > self.range:
            raise ValueError(f"{self.file} may have begun anew twice in {seconds:.0f} s")
        self.total += (now - self.last) % self.range
        self.last, self.time = now, self.time + seconds
        return self.total


def processor_counters(powercap: Path = Path("/sys/class/powercap")) -> list[Counter]:
    """RAPL counters of packages and memory, not of parts, the platform or a second view."""
    counters: list[Counter] = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            if (zone / "name").read_text(encoding="ascii").startswith(("package", "dram")):
                counters.append(RaplCounter(zone))
        except (OSError, ValueError) as error:  # most systems let only root read it
            logger.info("energy of the processor is not recorded: %s", error)
            return []
    return counters


def _joules(file: Path) -> float:
    return int(file.read_text(encoding="ascii")) / 1e6


def device_counters(ids: Collection[str]) -> list[Counter]:
    """NVML counters of NVIDIA devices by their ids."""
    if not ids:
        return []
    import pynvml as nvml

    def joules(handle: Any) -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000  # millijoules

    nvml.nvmlInit()
    return [partial(joules, nvml.nvmlDeviceGetHandleByUUID(name)) for name in ids]
