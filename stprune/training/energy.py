"""Joules of a run, where the machine counts them; where it does not, nothing is put in their place.

Processors: the energy counters of Linux' powercap (RAPL), files that hold microjoules and begin
anew at a stated maximum. Graphics processors: NVIDIA's management library through `pynvml`, if
that is installed, in millijoules. Both count everything that runs on the processor or device
meanwhile, so a run beside another is charged with both.

Sources: https://docs.kernel.org/power/powercap/powercap.html and the function
nvmlDeviceGetTotalEnergyConsumption of the NVML reference.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import torch

logger = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
# A counter of 262 kJ, a usual maximum, begins anew after nine minutes at 500 W; once is seen, twice
# would not be.
READ_EVERY_SECONDS = 20.0


@dataclass(frozen=True)
class Counter:
    """Something that counts energy.

    Args:
        name: What of the machine it counts.
        read: The count in joules.
        range: Joules at which it begins anew; None if it does not.
    """

    name: str
    read: Callable[[], float]
    range: float | None = None


class CounterError(Exception):
    """A counter that cannot be read; what it would have said is absent."""


@dataclass(frozen=True)
class Energy:
    """What a stretch of time took.

    Args:
        joules: None if it could not be read.
        counted: Names of what was read; empty if nothing was.
    """

    joules: float | None
    counted: tuple[str, ...] = ()


class EnergyMeter:
    """Adds up counters from ``__enter__`` to ``__exit__``, in a thread of its own.

    Args:
        counters: All of one kind. One that fails makes the sum absent: part of it would mislead.
        before: Joules of earlier starts of the same run; None if they are not known.
    """

    def __init__(self, counters: Sequence[Counter], before: float | None = 0.0) -> None:
        self.counters, self.total = tuple(counters), before
        self._last: list[float] = []
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to count."""
        if self.counters and self.total is not None:
            try:
                self._last = [counter.read() for counter in self.counters]
            except CounterError as error:
                self._give_up(error)
            else:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop."""
        self.take()
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def take(self) -> Energy:
        """The sum so far."""
        self._read()
        if not self.counters or self.total is None:
            return Energy(None)
        return Energy(self.total, tuple(counter.name for counter in self.counters))

    def _watch(self) -> None:
        while self.total is not None and not self._over.wait(READ_EVERY_SECONDS):
            self._read()

    def _read(self) -> None:
        with self._lock:
            if self._over.is_set() or self.total is None or not self._last:
                return
            try:
                now = [counter.read() for counter in self.counters]
            except CounterError as error:
                self._give_up(error)
                return
            for counter, last, count in zip(self.counters, self._last, now, strict=True):
                spent = count - last
                if spent < 0 and counter.range is not None:
                    spent += counter.range
                if spent < 0:
                    self._give_up(CounterError(f"{counter.name} went back"))
                    return
                self.total += spent
            self._last = now

    def _give_up(self, error: CounterError) -> None:
        self.total = None
        logger.info("energy is not recorded: %s", error)


class RunEnergy:
    """The meters of one start of a run.

    Args:
        device: What it trains on.
        devices: How many of them.
        before: Joules of earlier starts, as :meth:`state` had them.
    """

    def __init__(
        self, device: torch.device, devices: int, before: Mapping[str, float | None] | None = None
    ) -> None:
        before = before or {}
        self.processor = EnergyMeter(processor_counters(), before.get("processor", 0.0))
        self.device = EnergyMeter(device_counters(device, devices), before.get("device", 0.0))

    def __enter__(self) -> Self:
        """Begin to count."""
        self.processor.__enter__()
        self.device.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop."""
        self.processor.__exit__()
        self.device.__exit__()

    def state(self) -> dict[str, float | None]:
        """Joules so far by what counts them, None where nothing does."""
        return {"processor": self.processor.take().joules, "device": self.device.take().joules}

    @property
    def counted(self) -> list[str]:
        """Names of all that is counted."""
        return [*self.processor.take().counted, *self.device.take().counted]


def processor_counters(powercap: Path | None = None) -> list[Counter]:
    """Counters of the processor's packages, and of memory where it has its own.

    Not those of a package's parts, which it holds already, nor of the whole platform, nor the
    second view that some machines have of a package (`intel-rapl-mmio`).
    """
    counters = []
    for zone in sorted((powercap or POWERCAP).glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            limit = int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
        except (OSError, ValueError):
            continue  # a zone without a counter
        if name.startswith("package") or name == "dram":
            label = f"{name} ({zone.name})" if name == "dram" else name
            counters.append(Counter(label, _file_reader(zone / "energy_uj"), limit))
    return counters


def _file_reader(path: Path) -> Callable[[], float]:
    def read() -> float:
        try:
            return int(path.read_text(encoding="ascii")) / 1e6
        except PermissionError:
            raise CounterError(f"{path} may not be read by this user") from None
        except (OSError, ValueError) as error:
            raise CounterError(f"{path} cannot be read ({error})") from None

    return read


def device_counters(device: torch.device, devices: int = 1) -> list[Counter]:
    """Counters of the first ``devices`` NVIDIA devices of this process; none elsewhere."""
    if device.type != "cuda":
        return []
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        logger.info("energy of the GPU is not recorded: there is no `pynvml`; pip install it")
        return []
    first = device.index or 0
    places = [first] if devices == 1 else range(devices)
    ids = [str(torch.cuda.get_device_properties(place).uuid) for place in places]
    return nvml_counters(nvml, ids)


def nvml_counters(nvml: ModuleType | Any, ids: Sequence[str]) -> list[Counter]:
    """Counters of the devices with these unique ids, through the library ``nvml``.

    Ids, since numbers depend on which devices a process is shown.
    """
    try:
        nvml.nvmlInit()
        handles = {uuid: nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in ids}
    except nvml.NVMLError as error:
        logger.info("energy of the GPU is not recorded: %s", error)
        return []

    def reader(handle: Any) -> Callable[[], float]:
        def read() -> float:
            try:
                return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
            except nvml.NVMLError as error:
                raise CounterError(f"the GPU's counter cannot be read ({error})") from None

        return read

    return [Counter(f"GPU-{uuid}", reader(handle)) for uuid, handle in handles.items()]
