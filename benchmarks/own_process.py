"""Measuring in a process of its own, whose memory is touched by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

Result = TypeVar("Result")
STATUS = Path("/proc/self/status")
FORGET = Path("/proc/self/clear_refs")


def own_process() -> ProcessPoolExecutor:
    """A fresh process that calls functions of modules, one after another, and keeps its state."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def in_own_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function of a module in a fresh process; what it raises is raised here."""
    with own_process() as process:
        return process.submit(function, *arguments).result()


def resident(entry: Literal["VmRSS", "VmHWM"]) -> int:
    """Bytes of memory that this process has resident now, or had at its peak."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(entry + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(entry)


def forget_peak() -> None:
    """Let the peak begin at what is resident now."""
    FORGET.write_text("5", encoding="ascii")
