"""Joules of a run, read once an epoch where the machine counts them; None where it does not.

Both kinds of counter include whatever else runs on the processor or device meanwhile. Sources:
https://docs.kernel.org/power/powercap/powercap.html; nvmlDeviceGetTotalEnergyConsumption of NVML.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

logger = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
# A package draws less, so within range / watts seconds a counter begins anew once at most.
MOST_WATTS = 500.0


class Counter(NamedTuple):
    """A counter of joules, which begins anew at ``range`` if that is not None."""

    name: str
    read: Callable[[], float]
    range: float | None = None


class Energy:
    """Adds up ``counters`` by kind, ``processor`` and ``device``, over one start of a run.

    Attributes:
        joules: By kind, with those ``before``, of earlier starts; None without a counter, or once
            one of the kind failed, because a part of the sum would mislead.
    """

    def __init__(
        self,
        counters: Mapping[str, list[Counter]],
        before: Mapping[str, float | None] | None = None,
    ) -> None:
        self.counters = counters
        self.joules = {
            kind: (before or {}).get(kind, 0.0) if some else None for kind, some in counters.items()
        }
        self._last: dict[str, list[float]] = {}
        self._time = time.monotonic()
        self.update()

    def update(self) -> None:
        """Add what was spent since the last call."""
        seconds, self._time = time.monotonic() - self._time, time.monotonic()
        for kind, total in self.joules.items():
            if total is None:
                continue
            try:
                now = [counter.read() for counter in self.counters[kind]]
                readings = zip(self.counters[kind], self._last.get(kind, now), now, strict=True)
                spent = [_spent(*reading, seconds) for reading in readings]
            except Exception as error:  # NVML's errors have no common class at import time
                logger.info("energy of the %s is not recorded: %s", kind, error)
                self.joules[kind] = None
            else:
                self.joules[kind], self._last[kind] = total + sum(spent), now


def _spent(counter: Counter, last: float, now: float, seconds: float) -> float:
    """Joules between two readings; raises where that is not certain."""
    spent = now - last
    if counter.range is not None:
        if seconds * MOST_WATTS > counter.range:
            raise ValueError(f"{counter.name} may have begun anew twice in {seconds:.0f} s")
        spent %= counter.range
    if spent < 0:
        raise ValueError(f"{counter.name} went back")
    return spent


def processor_counters(powercap: Path = POWERCAP) -> list[Counter]:
    """RAPL counters of the processor's packages, and of memory where it has its own.

    Not those of a package's parts, which are in its count already, nor of the whole platform, nor
    the second view that some machines have of a package (`intel-rapl-mmio`).
    """

    def joules(path: Path) -> float:
        return int(path.read_text(encoding="ascii")) / 1e6

    counters = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            limit = joules(zone / "max_energy_range_uj")
        except (OSError, ValueError):
            continue  # a zone without a counter
        if name.startswith("package") or name == "dram":
            counters.append(Counter(name, partial(joules, zone / "energy_uj"), limit))
    return counters


def device_counters(device: torch.device, devices: int = 1) -> list[Counter]:
    """NVML counters of the first ``devices`` NVIDIA devices of this process; none elsewhere."""
    if device.type != "cuda":
        return []
    places = [device.index or 0] if devices == 1 else range(devices)
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        # By unique id: numbers of devices depend on which of them a process is shown.
        ids = [f"GPU-{torch.cuda.get_device_properties(place).uuid}" for place in places]
        handles = [nvml.nvmlDeviceGetHandleByUUID(name) for name in ids]
    except Exception as error:  # not installed, or no driver
        logger.info("energy of the GPU is not recorded: %s", error)
        return []

    def joules(handle: Any) -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    pairs = zip(ids, handles, strict=True)
    return [Counter(name, partial(joules, handle)) for name, handle in pairs]
