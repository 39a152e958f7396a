"""Joules of a run, where the machine counts them; None where it does not.

Processors: the energy counters of Linux' powercap (RAPL), files that hold microjoules and begin
anew at a stated maximum. Graphics processors: NVIDIA's management library through `pynvml`, if
installed, in millijoules. Both count everything that runs on the processor or device meanwhile.
They are read once an epoch.

Sources: https://docs.kernel.org/power/powercap/powercap.html and the function
nvmlDeviceGetTotalEnergyConsumption of the NVML reference.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

logger = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
# A package draws less, so within range / watts seconds a counter begins anew once at most.
MOST_WATTS = 500.0


@dataclass(frozen=True)
class Counter:
    """Something that counts energy.

    Args:
        name: What of the machine it counts.
        read: Returns the count in joules; raises if it cannot be read.
        range: Joules at which it begins anew; None if it does not.
    """

    name: str
    read: Callable[[], float]
    range: float | None = None


class Energy:
    """Adds up the counters of one start of a run.

    Args:
        counters: By kind, ``processor`` and ``device``. If one of a kind fails, the kind's sum
            is None: a part of it would mislead.
        before: Joules of earlier starts of the same run, as in ``joules``.

    Attributes:
        joules: So far, by kind; None where nothing counts.
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

    @property
    def counted(self) -> list[str]:
        """Names of all that is counted."""
        kinds = [kind for kind, joules in self.joules.items() if joules is not None]
        return [counter.name for kind in kinds for counter in self.counters[kind]]

    def update(self) -> None:
        """Add what was spent since the last call."""
        seconds, self._time = time.monotonic() - self._time, time.monotonic()
        for kind, total in self.joules.items():
            if total is None:
                continue
            try:
                now = [counter.read() for counter in self.counters[kind]]
                last = self._last.get(kind, now)
                spent = [
                    _spent(*values, seconds)
                    for values in zip(self.counters[kind], last, now, strict=True)
                ]
            except Exception as error:  # NVML's errors have no common class at import time
                logger.info("energy of the %s is not recorded: %s", kind, error)
                self.joules[kind] = None
            else:
                self.joules[kind] = total + sum(spent)
                self._last[kind] = now


def _spent(counter: Counter, last: float, now: float, seconds: float) -> float:
    spent = now - last
    if counter.range is None:
        if spent < 0:
            raise ValueError(f"{counter.name} went back")
    elif seconds * MOST_WATTS > counter.range:
        raise ValueError(f"{counter.name} may have begun anew more than once in {seconds:.0f} s")
    elif spent < 0:
        spent += counter.range
    return spent


def processor_counters(powercap: Path = POWERCAP) -> list[Counter]:
    """Counters of the processor's packages, and of memory where it has its own.

    Not those of a package's parts, which are in its count already, nor of the whole platform, nor
    the second view that some machines have of a package (`intel-rapl-mmio`).
    """

    def number(path: Path) -> float:
        return int(path.read_text(encoding="ascii")) / 1e6

    counters = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            limit = number(zone / "max_energy_range_uj")
        except (OSError, ValueError):
            continue  # a zone without a counter
        if name.startswith("package") or name == "dram":
            label = f"{name} ({zone.name})" if name == "dram" else name
            counters.append(Counter(label, partial(number, zone / "energy_uj"), limit))
    return counters


def device_counters(device: torch.device, devices: int = 1) -> list[Counter]:
    """Counters of the first ``devices`` NVIDIA devices of this process; none elsewhere."""
    if device.type != "cuda":
        return []
    places = [device.index or 0] if devices == 1 else range(devices)
    ids = [str(torch.cuda.get_device_properties(place).uuid) for place in places]
    try:
        return nvml_counters(importlib.import_module("pynvml"), ids)
    except Exception as error:  # not installed, or no driver
        logger.info("energy of the GPU is not recorded: %s", error)
        return []


def nvml_counters(nvml: Any, ids: list[str]) -> list[Counter]:
    """Counters of the devices with these unique ids, through the library ``nvml``.

    By id, because numbers depend on which devices a process is shown.
    """
    nvml.nvmlInit()

    def read(handle: Any) -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    handles = {uuid: nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in ids}
    return [Counter(f"GPU-{uuid}", partial(read, handle)) for uuid, handle in handles.items()]
