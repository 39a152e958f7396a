"""Weights & Biases: offline files that hold the run, and a record that does not depend on it."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import wandb

from stprune.config import ExperimentConfig, TrackingSettings
from stprune.layout import RunKey
from stprune.records import RunRecord
from stprune.run import train
from stprune.tracking import WandbTracking

KEY = RunKey("toy", "stid", "st_prune", 0.5, 0)
BLOCK, HEADER = 32768, 7
FULL, FIRST, LAST = 1, 2, 4


def records_of(path: Path) -> Iterator[Any]:
    """The protobuf records of an offline file: a log of blocks, as in LevelDB."""
    from wandb.proto import wandb_internal_pb2

    content, position, parts = path.read_bytes(), HEADER, b""
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + HEADER])
        position += HEADER
        data = content[position : position + length]
        position += length
        parts = data if kind in (FULL, FIRST) else parts + data
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record


def values_of(items: Any) -> dict[str, Any]:
    """Keys (nested ones joined by dots) and decoded values."""
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def comparable(record: RunRecord) -> dict[str, Any]:
    """What must not depend on tracking."""
    values = record.model_dump(include={"test", "validation_mae", "best_epoch", "config"})
    return values | {"fingerprint": record.fingerprint, "windows": record.cost.windows_visited}


def test_an_offline_run_can_be_read_back(toy_config: ExperimentConfig, tmp_path: Path) -> None:
    folder = tmp_path / "tracked"
    record = train(toy_config, KEY, [WandbTracking(TrackingSettings(mode="offline"), folder)])
    # The service writes behind the run's back; the end of the process waits for it, as here.
    wandb.teardown()
    files = list(folder.rglob("*.wandb"))
    assert len(files) == 1
    records = list(records_of(files[0]))
    runs = [entry.run for entry in records if entry.WhichOneof("record_type") == "run"]
    assert runs[0].display_name == "toy/stid/st_prune/p0.5/s0"
    assert runs[0].run_group == "toy/toy/stid/st_prune/p0.5"
    assert runs[0].job_type == "train"
    assert set(runs[0].tags) == {"toy", "stid", "st_prune", "p0.5"}
    config: dict[str, Any] = {}
    for run in runs:
        config |= values_of(run.config.update)
    assert config["experiment"] == "toy"
    assert config["prune_ratio"] == 0.5
    assert config["pruner"]["id"] == "st_prune"
    assert config["training"]["epochs"] == 4
    history = [
        values_of(entry.history.item)
        for entry in records
        if entry.WhichOneof("record_type") == "history"
    ]
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert min(row["validation_mae"] for row in history) == record.validation_mae
    assert all(row["elapsed_seconds"] > 0 for row in history)
    summary: dict[str, Any] = {}
    for entry in records:
        if entry.WhichOneof("record_type") == "summary":
            summary |= values_of(entry.summary.update)
    assert summary["test"]["mae"] == record.test.mae
    assert summary["cost"]["windows_visited"] == record.cost.windows_visited
    metrics = [entry.metric for entry in records if entry.WhichOneof("record_type") == "metric"]
    assert ("*", "elapsed_seconds") in [(m.glob_name, m.step_metric) for m in metrics]
    assert [e.exit.exit_code for e in records if e.WhichOneof("record_type") == "exit"] == [0]


class BrokenRun:
    """A run of the service that fails at ``broken``."""

    def __init__(self, broken: str) -> None:
        self.broken, self.calls = broken, [""]
        self.summary = self

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.broken:
            raise ConnectionError("the service is down")

    def define_metric(self, *_: Any, **__: Any) -> None:
        self._call("define_metric")

    def log(self, *_: Any, **__: Any) -> None:
        self._call("log")

    def update(self, *_: Any) -> None:
        self._call("summary")

    def finish(self, **_: Any) -> None:
        self._call("finish")


@pytest.mark.parametrize("broken", ["import", "init", "define_metric", "log", "summary", "finish"])
def test_a_failing_service_changes_nothing_in_the_record(
    toy_config: ExperimentConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    expected = train(toy_config, KEY, [])
    fake: Any = ModuleType("wandb")
    run = BrokenRun(broken)

    def init(**_: Any) -> BrokenRun:
        run._call("init")
        return run

    fake.init, fake.Settings = init, dict
    # None in place of a module makes its import fail.
    monkeypatch.setitem(sys.modules, "wandb", None if broken == "import" else fake)
    tracking = WandbTracking(TrackingSettings(mode="online"), tmp_path / "tracked")
    assert comparable(train(toy_config, KEY, [tracking])) == comparable(expected)
    assert caplog.text.count("Weights & Biases is left out for this run") == 1
    # After the first failure the service is left alone.
    assert run.calls.count(broken) == (0 if broken == "import" else 1)


def test_a_failed_run_is_closed_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = WandbTracking(TrackingSettings(mode="offline"), tmp_path)
    codes: list[int] = []

    class Run:
        def finish(self, exit_code: int) -> None:
            codes.append(exit_code)

    tracking.run = Run()
    tracking.run_failed(KeyboardInterrupt())
    tracking.run_failed(KeyboardInterrupt())
    assert codes == [1]
