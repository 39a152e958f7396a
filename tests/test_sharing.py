"""Claims of cores and GPUs, by several processes; the GPUs are made up."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from stprune.base.errors import BusyError, ConfigError
from stprune.base.gpus import VISIBLE, visible_gpus
from stprune.base.settings import ComputeSettings
from stprune.training import sharing
from stprune.training.devices import pin_process
from stprune.training.sharing import available_cores, claim, own_cores, own_gpus

FORK = get_context("fork")  # others would import this file anew, which takes longer than the tests


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Claims of this test alone, looked for often."""
    monkeypatch.setenv(VISIBLE, "")
    use_folder(tmp_path, monkeypatch.setattr)
    return tmp_path


def use_folder(folder: Path, change: Callable[[Any, str, Any], None] = setattr) -> None:
    """Three made-up GPUs; other processes have nothing of the test's but what they are given."""
    change(sharing, "claims_folder", lambda: folder)
    change(sharing, "visible_gpus", lambda: ["GPU-a", "GPU-b", "GPU-c"])
    change(sharing, "POLL_SECONDS", 0.01)


@pytest.fixture
def two_cores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine of two cores."""
    cores = available_cores()[:2]
    if not hasattr(os, "sched_setaffinity") or len(cores) < 2:
        pytest.skip("needs two cores that processes can be pinned to")
    monkeypatch.setattr(sharing, "available_cores", lambda: cores)
    return cores


def test_runs_hold_distinct_cores_all_or_none(two_cores):
    held: dict[str, list[int]] = {}
    release = threading.Event()

    def hold(name: str, count: int) -> None:
        with own_cores(count, name) as cores:
            held[name] = cores
            release.wait(60)

    before = os.sched_getaffinity(0)
    with ThreadPoolExecutor(2) as pool, own_cores(1, "first") as first:
        second = pool.submit(hold, "second", 1)
        while "second" not in held:
            time.sleep(0.01)
        assert sorted(first + held["second"]) == two_cores
        for count in (1, 2):
            with pytest.raises(BusyError, match="second"), own_cores(count, "third", 0.05):
                pass
        release.set()
        second.result()
        # One that waits for both holds none.
        with pytest.raises(BusyError, match="first"), own_cores(2, "both", 0.05):
            pass
    with own_cores(2, "both") as cores:
        assert sorted(os.sched_getaffinity(0)) == cores == two_cores
    assert os.sched_getaffinity(0) == before
    with pytest.raises(ConfigError), own_cores(3, "more than there are"):
        pass


def test_a_run_goes_on_without_cores_and_a_timing_does_not(two_cores, monkeypatch, caplog):
    for name in ("RUN_SECONDS", "ALONE_SECONDS"):
        monkeypatch.setattr(sharing, name, 0.1)
    monkeypatch.setattr(sharing, "TELL_SECONDS", 0.03)
    caplog.set_level(logging.INFO)
    compute = ComputeSettings(accelerator="cuda", threads=2, runs_per_gpu=2)
    with own_cores(1, "other/run"), claim(compute, "run") as claimed:
        assert claimed == (None, {"GPU-a": 0})
        with pytest.raises(BusyError, match="other/run"), claim(compute, "timing", alone=True):
            pass
    told = [record for record in caplog.records if record.levelname == "INFO"]
    assert len(told) > 2
    assert f"other/run (process {os.getpid()})" in told[0].getMessage()


def test_the_first_slot_of_every_gpu_comes_first(folder):
    with ExitStack() as stack:
        order = [
            stack.enter_context(own_gpus(count, "run", runs_per_gpu=2)) for count in (1, 1, 2, 2)
        ]
        assert order == [
            {"GPU-a": 0},
            {"GPU-b": 0},
            {"GPU-c": 0, "GPU-a": 1},
            {"GPU-b": 1, "GPU-c": 1},
        ]
        assert os.environ[VISIBLE] == "GPU-b,GPU-c"
        with pytest.raises(BusyError), own_gpus(1, "one more", runs_per_gpu=2, limit=0.05):
            pass
        # Of an experiment that allows more.
        assert stack.enter_context(own_gpus(1, "run", runs_per_gpu=3)) == {"GPU-a": 2}
    with pytest.raises(ConfigError), own_gpus(4, "more than there are", runs_per_gpu=2):
        pass


def test_who_wants_a_gpu_alone_waits_and_is_not_overtaken(folder, caplog):
    caplog.set_level(logging.INFO)
    alone, release = threading.Event(), threading.Event()

    def measure() -> None:
        with own_gpus(1, "timing", runs_per_gpu=1) as gpus:
            assert gpus == {"GPU-b": 0}
            alone.set()
            release.wait(60)

    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        runs = [stack.enter_context(ExitStack()) for _ in range(3)]
        for run in runs:
            run.enter_context(own_gpus(1, "run", runs_per_gpu=2))
        timing = pool.submit(measure)
        while not caplog.records:  # it says that it waits
            time.sleep(0.01)
        # There are free slots, but they are the timing's when the rest of one GPU is free.
        with pytest.raises(BusyError, match="timing"), own_gpus(1, "r", runs_per_gpu=2, limit=0.05):
            pass
        assert not alone.is_set()
        runs[1].close()
        assert alone.wait(60)
        order = [stack.enter_context(own_gpus(1, "run", runs_per_gpu=2)) for _ in range(2)]
        assert order == [{"GPU-a": 1}, {"GPU-c": 1}]
        with pytest.raises(BusyError), own_gpus(1, "one more", runs_per_gpu=2, limit=0.05):
            pass
        release.set()
        timing.result()


def claim_often(folder: Path, count: int, most: int) -> None:
    """Claim GPUs again and again; fails when a GPU has too many users."""
    use_folder(folder / "claims")
    for _ in range(4):
        with own_gpus(count, "run", runs_per_gpu=most) as gpus:
            assert os.environ[VISIBLE].split(",") == list(gpus)
            assert len(gpus) == count
            marks = [folder / "users" / f"{gpu}.{os.getpid()}" for gpu in gpus]
            for mark in marks:
                mark.touch()
                assert len(list(mark.parent.glob(f"{mark.stem}.*"))) <= most
            time.sleep(0.01)
            for mark in marks:
                mark.unlink()


def test_eight_processes_get_one_or_two_gpus_each_in_the_end(folder):
    (folder / "users").mkdir()
    wants = [(folder, 1 + number % 2, 2) for number in range(8)]
    processes = [FORK.Process(target=claim_often, args=want) for want in wants]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8


def hold_for_ever(folder: Path, holds: Any) -> None:
    use_folder(folder)
    compute = ComputeSettings(accelerator="cuda", devices=3, own_cores=False)
    with claim(compute, "killed"):
        holds.set()
        time.sleep(600)


def test_a_killed_run_holds_nothing(folder):
    holds = FORK.Event()
    process = FORK.Process(target=hold_for_ever, args=(folder, holds))
    process.start()
    assert holds.wait(60)
    with pytest.raises(BusyError, match="killed"), own_gpus(1, "n", runs_per_gpu=2, limit=0.05):
        pass
    process.kill()
    process.join()
    with own_gpus(3, "next", runs_per_gpu=1, limit=0.05) as gpus:
        assert list(gpus) == ["GPU-a", "GPU-b", "GPU-c"]


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, ["GPU-aa", "MIG-1", "MIG-2", "GPU-ab"]),
        ("", []),
        ("NoDevFiles", []),
        ("2,0", ["GPU-ab", "GPU-aa"]),
        ("1", ["MIG-1", "MIG-2"]),
        ("0,7,2", ["GPU-aa"]),
        ("0, -1, 2", ["GPU-aa"]),
        ("GPU-ab,MIG-2", ["GPU-ab", "MIG-2"]),
        ("GPU-b", ["MIG-1", "MIG-2"]),
        ("GPU-a", []),
        ("0,0", ["GPU-aa"]),
    ],
)
def test_visible_devices_are_those_that_cuda_would_show(visible, chosen, monkeypatch):
    class NotSupportedError(Exception):
        """Of a GPU that cannot be divided."""

    gpus = {"GPU-aa": None, "GPU-ba": ["MIG-1", None, "MIG-2"], "GPU-ab": []}

    def mode(name: str) -> list[int]:
        if gpus[name] is None:
            raise NotSupportedError
        return [int(bool(gpus[name])), 0]

    def part(name: str, number: int) -> str:
        found = (gpus[name] or [])[number]
        if found is None:
            raise LookupError
        return found

    nvml: Any = ModuleType("pynvml")
    nvml.NVMLError, nvml.NVMLError_NotSupported = OSError, NotSupportedError
    nvml.NVMLError_NotFound, nvml.nvmlInit = LookupError, lambda: None
    nvml.nvmlDeviceGetCount, nvml.nvmlDeviceGetHandleByIndex = gpus.__len__, list(gpus).__getitem__
    nvml.nvmlDeviceGetUUID, nvml.nvmlDeviceGetMigMode = str, mode
    nvml.nvmlDeviceGetMaxMigDeviceCount = lambda name: len(gpus[name] or [])
    nvml.nvmlDeviceGetMigDeviceHandleByIndex = part
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv(VISIBLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert visible_gpus() == chosen


def test_each_process_of_a_run_has_its_own_of_the_cores(two_cores):
    before = os.sched_getaffinity(0)
    for rank in range(2):
        fabric: Any = SimpleNamespace(world_size=2, global_rank=rank, broadcast=lambda cores: cores)
        pin_process(fabric, two_cores, 1)
        assert os.sched_getaffinity(0) == {two_cores[rank]}
        os.sched_setaffinity(0, before)
        pin_process(fabric, None, 1)
        assert os.sched_getaffinity(0) == before
