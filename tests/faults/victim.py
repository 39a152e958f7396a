"""A command in a process of its own, forked from one that has imported everything, and its death.

A process dies by `kill -9` of its whole group: once it has used so much time of a processor, which
does not depend on what else runs on the machine, or at one of its operations on files.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

CHANGES = frozenset(("os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.utime"))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
GIVE_UP_SECONDS = 300.0


class Fault(NamedTuple):
    """What happens to a process.

    Args:
        processor_seconds: It gets the signal after so much time of a processor ...
        operation: ... or dies at this operation on files, counted from 1.
        number: The signal, sent to the whole group.
        file_limit: No file can be larger than this many bytes.
        memory_limit: It cannot have more than this many bytes of memory beyond what it has.
        account: It works as this user.
        jumping_clock: The time of day goes back by an hour whenever it is asked for.
    """

    processor_seconds: float | None = None
    operation: int | None = None
    number: int = signal.SIGKILL
    file_limit: int | None = None
    memory_limit: int | None = None
    account: int | None = None
    jumping_clock: bool = False


@dataclass(frozen=True)
class End:
    """How a process ended.

    Args:
        code: Exit status; negative for the signal that killed it.
        said: What it wrote.
        processor_seconds: Time of a processor that it took.
        operations: Operations on files, if it lived to count them.
    """

    code: int
    said: str
    processor_seconds: float
    operations: int

    @property
    def last_line(self) -> str:
        """The last line it wrote."""
        return self.said.strip().rpartition("\n")[2]


def run(words: Sequence[str], folder: Path, fault: Fault | None = None) -> End:
    """Run `stprune` with ``words`` in ``folder`` while ``fault`` waits for it."""
    fault = fault or Fault()
    said_here, said_there = os.pipe()
    count_here, count_there = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(said_here)
        os.close(count_here)
        _live(words, folder, fault, said_there, count_there)
    os.close(said_there)
    os.close(count_there)
    seconds = _watch(process, fault)
    _, status = os.waitpid(process, 0)
    with open(said_here, encoding="utf-8", errors="replace") as said, open(count_here) as count:
        counted = json.loads(count.read() or "{}")
        operations, taken = counted.get("operations", 0), counted.get("seconds", seconds)
        return End(os.waitstatus_to_exitcode(status), said.read(), taken, operations)


def _watch(process: int, fault: Fault) -> float:
    """Wait for the end, and bring it about when its time has come; returns processor seconds."""
    clock = (~process << 3) | 2  # the kernel's name for the clock of another process
    limit = time.monotonic() + GIVE_UP_SECONDS
    waiting = fault.processor_seconds
    used = 0.0
    descriptor = os.pidfd_open(process)
    try:
        while not _ended(descriptor):
            used = time.clock_gettime(clock)
            if waiting is not None and used >= waiting:
                os.killpg(process, fault.number)
                waiting = None
            if time.monotonic() > limit:
                os.killpg(process, signal.SIGKILL)
    except (ProcessLookupError, OSError):
        pass  # it ended between two looks
    finally:
        os.close(descriptor)
    return used


def _ended(descriptor: int) -> bool:
    import select

    return bool(select.select([descriptor], [], [], 0.002)[0])


def _live(words: Sequence[str], folder: Path, fault: Fault, said: int, count: int) -> None:
    """What the process does from its fork on; it never returns."""
    code = 70
    try:
        os.setsid()
        # Tests started in the background may have it ignored, and Python keeps that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(folder)
        _restrict(fault)
        operations = _count_operations(folder, fault.operation)
        from stprune.__main__ import main

        code = main(words)
        seconds = time.process_time()
        text = json.dumps({"operations": operations[0], "seconds": seconds})
        os.write(count, text.encode())
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _restrict(fault: Fault) -> None:
    if fault.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.file_limit, fault.file_limit))
    if fault.memory_limit is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + fault.memory_limit
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if fault.jumping_clock:
        jumps = itertools.count()
        time.time = lambda: 1e9 - 3600.0 * next(jumps)
    if fault.account is not None:
        os.setgroups([])
        os.setgid(fault.account)
        os.setuid(fault.account)


def _count_operations(folder: Path, last: int | None) -> list[int]:
    """Count what changes files below ``folder`` from now on; die just before number ``last``."""
    counted, below = [0], str(folder)

    def notice(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & WRITING:
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(below):
            counted[0] += 1
            if counted[0] == last:
                os.killpg(os.getpid(), signal.SIGKILL)

    sys.addaudithook(notice)
    return counted
