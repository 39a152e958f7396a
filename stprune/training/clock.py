"""The only clock: where an epoch's time goes.

On a CUDA device work is queued, and a wall clock around a phase would measure the queueing. Phases
inside the batch loop are therefore bracketed by events, which are read once at the epoch's end.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Clock:
    """Adds up the seconds of named phases on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, Any, Any]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what runs inside, without waiting for the device."""
        if self.device.type == "cuda":
            begin = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            begin.record()
            yield
            end.record()
            self._events.append((name, begin, end))
        else:
            start = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - start

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
        """Seconds of each phase since the last call; starts anew."""
        self.synchronise()
        for name, begin, end in self._events:
            self._seconds[name] += begin.elapsed_time(end) / 1000
        taken = dict(self._seconds)
        self._seconds.clear()
        self._events.clear()
        return taken
