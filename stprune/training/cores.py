"""Cores of one's own: runs side by side never share a core, so that their times mean something.

Each core has a lock file; a run holds as many as it has threads and is pinned to them. A lock
is released by the operating system when its process ends, however it ends.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stprune.base.errors import ConfigError

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2


def available_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextmanager
def own_cores(count: int, directory: Path | None = None) -> Iterator[list[int]]:
    """Hold ``count`` cores while the body runs, and pin this process to them.

    Waits, and says so once, while other runs hold too many. Where the system cannot pin
    (macOS), the cores are only counted.

    Args:
        count: Cores to hold.
        directory: Folder of the lock files, the same for all runs on a machine.

    Raises:
        ConfigError: If the machine allows fewer than ``count``.
    """
    cores = available_cores()
    if count > len(cores):
        raise ConfigError(
            f"the run wants {count} threads, but only {len(cores)} cores are available;"
            " lower compute.threads (or compute.devices)"
        )
    folder = directory or _lock_directory()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        held = _claim(cores, count, folder, stack)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, held)
            stack.callback(os.sched_setaffinity, 0, cores)
        yield held


def _claim(cores: list[int], count: int, folder: Path, stack: ExitStack) -> list[int]:
    announced = False
    while True:
        # All or nothing: two runs that each hold half of what they want would wait for ever.
        with ExitStack() as attempt:
            held = []
            for core in cores:
                try:
                    attempt.enter_context(FileLock(folder / f"core{core}.lock", timeout=0))
                except Timeout:
                    continue
                held.append(core)
                if len(held) == count:
                    stack.enter_context(attempt.pop_all())
                    return held
        if not announced:
            logger.info("waiting for %d free core(s) of %d", count, len(cores))
            announced = True
        time.sleep(POLL_SECONDS)


def _lock_directory() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.getlogin()
    return Path(tempfile.gettempdir()) / f"stprune-cores-{user}"
