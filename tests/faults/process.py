"""A command in a process of its own, forked from one that has imported everything, and its end."""

import itertools
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stprune.training import run as training

ROOT = Path(__file__).resolve().parents[2]
SEARCHED = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
CHANGES = frozenset(("os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.utime"))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
GIVE_UP_SECONDS = 300.0


class Fault(NamedTuple):
    """What happens to a process: a signal to its whole group, and what it cannot do.

    ``number`` is sent after ``seconds`` (to it ``alone``, not to what it started), or at its
    ``operation`` on files, counted from 1. No file can have more bytes than ``file_limit``, and its
    memory can grow by ``memory_limit`` bytes. It works as the user ``account``. With
    ``jumping_clock`` the time of day goes back by an hour whenever it is asked for.
    """

    seconds: float | None = None
    operation: int | None = None
    number: int = signal.SIGKILL
    alone: bool = False
    file_limit: int | None = None
    memory_limit: int | None = None
    account: int | None = None
    jumping_clock: bool = False


class End(NamedTuple):
    """How a process ended: exit status (negative: the signal), its words, what it took."""

    code: int
    said: str
    seconds: float
    operations: int

    @property
    def last_line(self) -> str:
        """The last line it wrote."""
        return self.said.strip().rpartition("\n")[2]


def run(words: Sequence[str], folder: Path, fault: Fault | None = None) -> End:
    """Run `stprune` (or `snakemake`) with ``words`` in ``folder`` while ``fault`` waits for it."""
    fault, start = fault or Fault(), time.monotonic()
    said_here, said_there = os.pipe()
    count_here, count_there = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(said_here)
        os.close(count_here)
        _live(words, folder, fault, said_there, count_there)
    os.close(said_there)
    os.close(count_there)
    descriptor = os.pidfd_open(process)
    if not _ended(descriptor, GIVE_UP_SECONDS if fault.seconds is None else fault.seconds):
        (os.kill if fault.alone else os.killpg)(process, fault.number)
    if not _ended(descriptor, GIVE_UP_SECONDS):
        os.killpg(process, signal.SIGKILL)
    os.close(descriptor)
    _, status = os.waitpid(process, 0)
    seconds = time.monotonic() - start
    with open(said_here, encoding="utf-8", errors="replace") as said, open(count_here) as count:
        code = os.waitstatus_to_exitcode(status)
        return End(code, said.read(), seconds, int(count.read() or 0))


def _ended(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


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
        training.SAVE_SECONDS = 0.0  # a checkpoint after every epoch
        operations = _count_operations(folder, fault)
        if words[0] == "snakemake":
            from snakemake.cli import main as snakemake

            snakemake(list(words[1:]))
        else:
            from stprune.__main__ import main

            code = main(list(words))
        os.write(count, str(operations[0]).encode())
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
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


def _count_operations(folder: Path, fault: Fault) -> list[int]:
    """Count what changes files below ``folder`` from now on; strike just before the fault's."""
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
            if counted[0] == fault.operation:
                os.killpg(os.getpgrp(), fault.number)

    sys.addaudithook(notice)
    return counted


def import_everything() -> None:
    """All that a command will import, so that a forked process starts at once."""
    import stprune.__main__
    import stprune.data.formats.wide_csv
    import stprune.data.prepare
    import stprune.paper.figures
    import stprune.paper.tables
    import stprune.tracking.run
    import stprune.workflow.train  # noqa: F401
    from faults.project import PRUNERS as USED
    from stprune.backbones.base import BACKBONES
    from stprune.data.tasks.base import TASKS
    from stprune.pruning.base import PRUNERS

    # Python imports it late, which a process without rights could not.
    "".encode("unicode_escape")
    BACKBONES.load("stid")
    TASKS.load("forecast")
    for pruner in USED:
        PRUNERS.load(pruner)
