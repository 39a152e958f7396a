"""Weights & Biases: offline files that hold the run, and a record that does not depend on it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import wandb
import wandb_stand_in
from wandb_files import read_offline, without_own

from stprune.__main__ import main
from stprune.base.layout import RunKey
from stprune.base.settings import TrackingSettings
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import experiment_layout, run_spec
from stprune.records.run import RunRecord, read_record
from stprune.tracking import told as wandb_run
from stprune.tracking.finished_runs import recorded_run
from stprune.tracking.live import WandbTracking
from stprune.tracking.told import permitted_mode
from stprune.training.run import train

KEY = RunKey("toy", "stid", "st_prune", 0.5, 0)


def comparable(record: RunRecord) -> dict[str, Any]:
    """What must not depend on tracking."""
    values = record.model_dump(include={"test", "validation_mae", "best_epoch", "config"})
    return values | {"fingerprint": record.fingerprint, "windows": record.cost.windows_visited}


def test_an_offline_run_is_its_record(toy_config: ExperimentConfig, tmp_path: Path) -> None:
    folder = tmp_path / "tracked"
    with wandb_stand_in.wandb_alone(tmp_path / "home"):
        record = train(toy_config, KEY, [WandbTracking(TrackingSettings(mode="offline"), folder)])
        # The service writes behind the run's back; the end of the process waits for it, as here.
        wandb.teardown()
    files = list(folder.rglob("*.wandb"))
    assert len(files) == 1
    run = read_offline(files[0])
    assert run.name == "toy/stid/st_prune/p0.5/s0"
    assert run.group == "toy/toy/stid/st_prune/p0.5"
    assert run.job_type == "train"
    assert run.tags == {"toy", "stid", "st_prune", "p0.5"}
    assert ("*", "elapsed_seconds") in run.axes
    assert run.exit_codes == [0]
    # What `stprune wandb sync` would make of the record.
    recorded = recorded_run(experiment_layout(toy_config).metrics(KEY))
    assert recorded.record == record
    assert run.identity == recorded.tracked.identity
    assert without_own(run.config) == {"experiment": "toy", **record.config}
    assert [without_own(row) for row in run.history] == list(recorded.history.values())
    assert len(run.history) == record.cost.epochs
    assert without_own(run.summary) == recorded.summary
    assert run.summary["validation_mae"] == record.validation_mae


def test_a_run_tracked_online_and_continued_needs_no_sync(
    toy_config: ExperimentConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, spec = TrackingSettings(mode="online"), run_spec(toy_config, KEY)
    train(toy_config, KEY, [])
    layout = experiment_layout(toy_config)
    recorded = recorded_run(layout.metrics(KEY))
    epochs = list(recorded.epochs)
    with wandb_stand_in.wandb_service(tmp_path / "home") as service:
        killed = WandbTracking(settings, tmp_path / "tracked")
        killed.run_started(spec, len(epochs), [])
        for epoch in epochs[:2]:
            killed.epoch_finished(epoch)
        killed.run_failed(KeyboardInterrupt())
        again = WandbTracking(settings, tmp_path / "tracked")
        again.run_started(spec, len(epochs), epochs[:2])
        for epoch in epochs[2:]:
            again.epoch_finished(epoch)
        again.run_finished(recorded.record)
        (run,) = service.projects["stprune"].values()
        assert [without_own(row) for row in run.history] == list(recorded.history.values())
        assert without_own(run.summary) == recorded.summary
        writes = list(service.writes)
        assert main(["wandb", "sync", str(layout.root)]) == 0
        assert "1 runs: 0 created, 0 updated, 1 unchanged" in capsys.readouterr().out
        assert service.writes == writes
    # Whoever tracks lets wandb tell W&B of the machine: nothing else was asked.
    assert service.surprises == []


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


@pytest.mark.parametrize(
    "broken", ["import", "login", "init", "define_metric", "log", "summary", "finish"]
)
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

    def login(**_: Any) -> bool:
        run._call("login")
        return True

    fake.setup, fake.login, fake.init, fake.Settings = dict, login, init, dict
    # None in place of a module makes its import fail.
    monkeypatch.setitem(sys.modules, "wandb", None if broken == "import" else fake)
    tracking = WandbTracking(TrackingSettings(mode="online"), tmp_path / "tracked")
    assert comparable(train(toy_config, KEY, [tracking])) == comparable(expected)
    assert caplog.text.count("Weights & Biases is left out for this run") == 1
    # After the first failure the service is left alone.
    assert run.calls.count(broken) == (0 if broken == "import" else 1)


def test_without_a_key_nobody_is_asked_and_the_record_is_the_same(
    toy_config: ExperimentConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = train(toy_config, KEY, [])
    with wandb_stand_in.wandb_alone(tmp_path / "home"):
        tracking = WandbTracking(TrackingSettings(mode="online"), tmp_path / "tracked")
        assert comparable(train(toy_config, KEY, [tracking])) == comparable(expected)
    assert "there is no key; `stprune wandb sync` sends the records later" in caplog.text


def test_a_service_that_takes_nothing_holds_no_run_up(
    toy_config: ExperimentConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(wandb_run, "END_SECONDS", 0.5)
    with wandb_stand_in.wandb_service(tmp_path / "home") as service:
        service.deaf = True
        tracking = WandbTracking(TrackingSettings(mode="online"), tmp_path / "tracked")
        record = train(toy_config, KEY, [tracking])
    assert read_record(experiment_layout(toy_config).metrics(KEY)) == record
    assert "Weights & Biases is left out for this run: Timed out" in caplog.text


def test_the_mode_of_the_environment_keeps_an_online_run_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for told, mode in (("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled")):
        monkeypatch.setenv("WANDB_MODE", told)
        assert permitted_mode("online") == mode
    monkeypatch.setenv("WANDB_MODE", "online")
    assert permitted_mode("online") == "online"
    assert permitted_mode("offline") == "offline"
    monkeypatch.delenv("WANDB_MODE")
    assert permitted_mode("disabled") == "disabled"


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
