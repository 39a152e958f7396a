"""Cores of one's own, between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stprune.base.errors import ConfigError
from stprune.training.devices import available_cores, own_cores

# Tells which cores it holds and is pinned to, then holds them until its input ends.
HOLDER = """
import os, sys
from pathlib import Path
from stprune.training.devices import own_cores
import stprune.training.devices
stprune.training.devices.available_cores = lambda: [int(c) for c in sys.argv[3].split(",")]
stprune.training.devices.POLL_SECONDS = 0.02
print("asking", flush=True)
with own_cores(int(sys.argv[1]), Path(sys.argv[2])) as held:
    print(held, sorted(os.sched_getaffinity(0)), flush=True)
    sys.stdin.read()
"""

needs_two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(available_cores()) < 2,
    reason="needs two cores that processes can be pinned to",
)


class Holder:
    """A process that asks for ``count`` of two cores."""

    def __init__(self, count: int, folder: Path) -> None:
        cores = ",".join(str(core) for core in available_cores()[:2])
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(count), str(folder), cores],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "asking"

    def line(self) -> str:
        """The next line it says, once it says it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def release(self) -> None:
        """Let it end by itself."""
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[int], Holder]]:
    """Starts holders, which are gone after the test."""
    started: list[Holder] = []

    def start(count: int) -> Holder:
        started.append(Holder(count, tmp_path))
        return started[-1]

    yield start
    for holder in started:
        holder.process.kill()
        holder.process.communicate()


def held_of(line: str) -> set[int]:
    """Cores in a holder's line; those it holds are those it is pinned to."""
    held, _, pinned = line.partition("] [")
    assert held.strip("[]") == pinned.strip("[]")
    return {int(core) for core in held.strip("[]").split(",")}


@needs_two_cores
def test_two_processes_hold_distinct_cores_and_a_third_waits(hold: Callable[[int], Holder]) -> None:
    first, second = hold(1), hold(1)
    one, two = held_of(first.line()), held_of(second.line())
    assert len(one) == len(two) == 1
    assert one.isdisjoint(two)
    third = hold(1)
    heard: list[str] = []
    listener = threading.Thread(target=lambda: heard.append(third.line()))
    listener.start()
    listener.join(timeout=0.3)
    assert heard == []
    second.release()
    listener.join()
    assert held_of(heard[0]) == two


@needs_two_cores
def test_a_process_that_waits_for_two_holds_none(hold: Callable[[int], Holder]) -> None:
    first = hold(1)
    one = held_of(first.line())
    greedy = hold(2)
    modest = hold(1)
    two = held_of(modest.line())
    assert one.isdisjoint(two)
    first.release()
    modest.release()
    assert held_of(greedy.line()) == one | two


@needs_two_cores
def test_a_killed_process_holds_nothing(hold: Callable[[int], Holder]) -> None:
    first = hold(2)
    both = held_of(first.line())
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert held_of(hold(2).line()) == both


def test_the_pin_ends_with_the_body(tmp_path: Path) -> None:
    before = available_cores()
    with own_cores(1, tmp_path) as held:
        if hasattr(os, "sched_getaffinity"):
            assert sorted(os.sched_getaffinity(0)) == held
    assert available_cores() == before
    with pytest.raises(RuntimeError), own_cores(1, tmp_path):
        raise RuntimeError
    assert available_cores() == before
    with own_cores(len(before), tmp_path) as held:
        assert held == before


def test_more_cores_than_there_are_is_a_users_mistake(tmp_path: Path) -> None:
    count = len(available_cores())
    with (
        pytest.raises(ConfigError, match=rf"wants {count + 1} threads, but only {count} cores"),
        own_cores(count + 1, tmp_path),
    ):
        pass
