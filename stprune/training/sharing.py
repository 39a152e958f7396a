"""The cores and GPUs that a process has: lock files in one folder, which end with the process.

Processes of one user on one machine claim before they use, so that runs side by side, also of
several experiments, never share a core and are at most `compute.runs_per_gpu` on a GPU. A GPU has
slots: a run locks one of them, and who needs the GPU alone locks all.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from stprune.base.errors import BusyError, ConfigError
from stprune.base.files import naming_failure
from stprune.base.gpus import VISIBLE, visible_gpus
from stprune.base.settings import MOST_RUNS_PER_GPU, ComputeSettings

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
TELL_SECONDS = 60.0
# A run that finds no free core soon does without; short runs must not wait long each time. Who
# needs to be alone waits for runs to end, but not for ever.
RUN_SECONDS, ALONE_SECONDS = 2.0, 4 * 3600.0


class Claim(NamedTuple):
    """What a process holds: numbers of cores, None if it is not pinned; the slot on each GPU."""

    cores: list[int] | None
    gpus: dict[str, int]


class Offer(NamedTuple):
    """Something to claim: a part of ``device`` that is held by locking all of ``locks``."""

    device: str
    locks: tuple[str, ...]


@contextmanager
def claim(compute: ComputeSettings, owner: str, *, alone: bool = False) -> Iterator[Claim]:
    """Hold what a run needs of this machine; call it before CUDA starts in this process.

    ``owner`` is what others are told who wait for it. A run waits for its GPUs; without free cores
    it soon goes on unpinned, since its errors do not depend on them. ``alone``, to measure times,
    it shares no GPU, needs its cores, and raises BusyError after `ALONE_SECONDS`. A ConfigError if
    the machine has fewer cores or GPUs than the run needs.
    """
    with ExitStack() as stack:
        gpus, cores = dict[str, int](), None
        limit = ALONE_SECONDS if alone else None
        if compute.accelerator == "cuda":
            shared = 1 if alone else compute.runs_per_gpu
            held = own_gpus(compute.devices, owner, runs_per_gpu=shared, limit=limit)
            gpus = stack.enter_context(held)
        if compute.own_cores:
            count = compute.threads * compute.devices
            try:
                cores = stack.enter_context(own_cores(count, owner, limit=limit or RUN_SECONDS))
            except BusyError as error:
                if alone:
                    raise
                logger.warning("%s; goes on without cores of its own", error)
        yield Claim(cores, gpus)


def available_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(cores: Sequence[int]) -> None:
    """Let this process use no cores but these, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


@contextmanager
def own_cores(count: int, owner: str, limit: float | None = None) -> Iterator[list[int]]:
    """Hold ``count`` cores while the body runs, and pin this process to them.

    Raises ConfigError if the machine allows fewer, BusyError if others held too many for ``limit``
    seconds.
    """
    cores = available_cores()
    if count > len(cores):
        problem = f"the run wants {count} threads, but only {len(cores)} cores are available"
        raise ConfigError(f"{problem}; lower compute.threads or compute.devices")
    names = {f"core{core}": core for core in cores}
    with _held([Offer(name, (name,)) for name in names], count, "cores", owner, limit) as held:
        mine = [names[offer.device] for offer in held]
        pin(mine)
        try:
            yield mine
        finally:
            pin(cores)


@contextmanager
def own_gpus(
    count: int, owner: str, *, runs_per_gpu: int, limit: float | None = None
) -> Iterator[dict[str, int]]:
    """Hold a slot of each of ``count`` GPUs while the body runs; their ids, each with the slot.

    CUDA, once started, keeps its devices, so from here on this process sees these GPUs only, by
    their ids. With one run a GPU it holds all slots, in case others allow more. Raises as
    `own_cores` does.
    """
    visible = visible_gpus()
    if count > 1:  # CUDA shows a process no more than one part of a divided GPU
        visible = [name for name in visible if not name.startswith("MIG-")]
    if count > len(visible):
        within = f"{VISIBLE}={os.environ.get(VISIBLE, '(not set)')}; see compute.accelerator"
        problem = f"the run wants {count} GPU(s), but there are {len(visible)}"
        raise ConfigError(f"{problem} within {within}")
    slots = {name: [f"{name}.slot{j}" for j in range(MOST_RUNS_PER_GPU)] for name in visible}
    if runs_per_gpu == 1:
        offers = [Offer(name, tuple(locks)) for name, locks in slots.items()]
    else:  # the first slot of every GPU comes before the second of any
        offers = [Offer(gpu, (slots[gpu][j],)) for j in range(runs_per_gpu) for gpu in visible]
    with _held(offers, count, "GPUs", owner, limit) as held:
        os.environ[VISIBLE] = ",".join(offer.device for offer in held)
        yield {gpu: slots[gpu].index(locks[0]) for gpu, locks in held}


@contextmanager
def _held(
    offers: Sequence[Offer], count: int, kind: str, owner: str, limit: float | None
) -> Iterator[list[Offer]]:
    """Hold ``count`` of the offers, of as many devices: the first that are free, all or none.

    Who waits is first in line for every device that it could take, or one that needs several
    would be overtaken for ever by those that need one. It says at once and then every minute who
    holds what it waits for.
    """
    folder = claims_folder()
    devices = dict.fromkeys(offer.device for offer in offers)
    line = [Offer(name, (f"{name}.line",)) for name in devices]
    text, start, told = f"{count} of {len(devices)} {kind}", time.monotonic(), 0.0

    def wait_for(wanted: Sequence[Offer], number: int, note: str, stack: ExitStack) -> list[Offer]:
        nonlocal told
        while True:
            taken, busy = _take(wanted, number, folder, f"{owner} ({note})", stack)
            if taken:
                return taken
            now = time.monotonic()
            holders = ", ".join(dict.fromkeys(path.read_text() or "?" for path in busy))
            if limit is not None and now - start >= limit:
                raise BusyError(f"{text} were not free for {limit:.0f} s; held by {holders}")
            if not told or now - told >= TELL_SECONDS:
                logger.info("waiting for %s, held by %s", text, holders)
                told = now
            time.sleep(POLL_SECONDS)

    with ExitStack() as stack:
        with naming_failure(folder), ExitStack() as first:
            folder.mkdir(parents=True, exist_ok=True)
            process = f"process {os.getpid()}"
            wait_for(line, len(line), f"{process}, first in line", first)
            taken = wait_for(offers, count, process, stack)
        yield taken


def claims_folder() -> Path:
    """Where the lock files of this user's processes lie."""
    user = os.getuid() if hasattr(os, "getuid") else os.getlogin()
    return Path(tempfile.gettempdir()) / f"stprune-claims-{user}"


def _take(
    offers: Sequence[Offer], count: int, folder: Path, owner: str, stack: ExitStack
) -> tuple[list[Offer], list[Path]]:
    """``count`` offers, now held by ``stack``; or none, and the locks that others hold.

    Two that each kept half of what they need would wait for ever.
    """
    taken, busy = dict[str, Offer](), list[Path]()
    with ExitStack() as attempt:
        for offer in offers:
            if offer.device in taken:
                continue
            paths = [folder / f"{name}.lock" for name in offer.locks]
            with ExitStack() as locks:
                try:
                    for path in paths:
                        locks.enter_context(FileLock(path, timeout=0))
                except Timeout:
                    busy.append(path)
                    continue
                for path in paths:
                    path.write_text(owner)
                attempt.enter_context(locks.pop_all())
                taken[offer.device] = offer
            if len(taken) == count:
                stack.enter_context(attempt.pop_all())
                return list(taken.values()), []
    return [], busy
