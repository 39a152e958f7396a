"""`stprune wandb sync`: runs at W&B that are their records, made once and then left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic_records as synthetic
import wandb_stand_in
from wandb_files import read_offline, without_own
from wandb_stand_in import KEY, HeldRun, StandIn

from stprune.__main__ import main
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.tracking import sync as wandb_sync
from stprune.tracking import told as wandb_run
from stprune.tracking.account import without_key
from stprune.tracking.finished_runs import RecordedRun, recorded_experiment
from stprune.tracking.project import send_run
from stprune.tracking.told import TrackedRun


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The service; it is asked nothing else, and nobody else is."""
    monkeypatch.setattr(wandb_sync, "AGAIN", (0.0,))
    with wandb_stand_in.wandb_service(tmp_path / "home") as service:
        yield service
    assert service.surprises == []


@pytest.fixture
def layout(tmp_path: Path) -> ExperimentLayout:
    """Two seeds each of full training and of ST-Prune."""
    return synthetic.write_experiment(
        tmp_path / "results" / "synthetic", pruners=["st_prune"], ratios=[0.5], seeds=[0, 1]
    )


def held(run: RecordedRun, epochs: int | None = None, **changes: Any) -> HeldRun:
    """What W&B holds of a run after so many epochs; of all, after its end."""
    steps = range(len(run.epochs) if epochs is None else epochs)
    history = [{**run.history[step], "_step": step} for step in steps]
    summary = run.summary if epochs is None else (history[-1] if history else {})
    values: dict[str, Any] = {
        "name": run.tracked.identity,
        "display_name": run.tracked.name,
        "group": run.tracked.group,
        "tags": run.tracked.tags,
        "config": {
            "_wandb": {"value": {"t": {}}},
            **{key: {"value": value} for key, value in run.tracked.values.items()},
        },
        "summary": {**summary, "_step": len(history) - 1},
        "history": history,
    }
    return HeldRun(**(values | changes))


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was printed, none of which is the key."""
    printed = capsys.readouterr()
    assert KEY not in printed.out + printed.err
    return printed.out + printed.err


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_addressed_by_its_cell_and_seed() -> None:
    run = TrackedRun("demo", RunKey("roads", "stid", "st_prune", 0.7, 3), {"seed": 3})
    # sha256 of "demo/roads/stid/st_prune/p0.7/s3".
    assert run.identity == "2ccc54b83fbb2692"
    assert run.group == "demo/roads/stid/st_prune/p0.7"
    assert run.tags == ["demo", "roads", "stid", "st_prune", "p0.7"]
    assert run.values == {"experiment": "demo", "seed": 3}


def test_a_sync_makes_runs_of_the_records_and_the_next_changes_nothing(
    service: StandIn,
    layout: ExperimentLayout,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents(layout.root)
    assert main(["wandb", "sync", str(layout.root)]) == 0
    assert "4 runs: 4 created, 0 updated, 0 unchanged" in told(capsys)
    runs = service.projects["stprune"]
    for recorded in recorded_experiment(layout):
        run = runs[recorded.tracked.identity]
        assert run.finished
        assert run.display_name == recorded.tracked.name
        assert run.group == recorded.tracked.group
        assert set(run.tags) == set(recorded.tracked.tags)
        config = {key: told["value"] for key, told in run.config.items() if key != "_wandb"}
        assert config == recorded.tracked.values
        assert [without_own(row) for row in run.history] == list(recorded.history.values())
        assert [row["_step"] for row in run.history] == list(range(len(recorded.epochs)))
        assert without_own(run.summary) == recorded.summary
    writes = list(service.writes)
    assert main(["wandb", "sync", str(layout.root)]) == 0
    assert "4 runs: 0 created, 0 updated, 4 unchanged" in told(capsys)
    assert service.writes == writes
    assert contents(layout.root) == before
    assert all(KEY.encode() not in content for content in contents(tmp_path).values())


def test_what_is_not_the_record_is_updated_and_another_training_is_left_alone(
    service: StandIn, layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    done, cut, other, changed = recorded_experiment(layout)
    curves = [{**row, "_step": step, "train_loss": 0.5} for step, row in other.history.items()]
    service.projects["stprune"] = {
        done.tracked.identity: held(done, tags=[*done.tracked.tags, "a reader's"]),
        cut.tracked.identity: held(cut, 3, tags=["a reader's"]),
        other.tracked.identity: held(other, history=curves, summary={"test": {"mae": 9.0}}),
        changed.tracked.identity: held(changed, summary=changed.summary | {"best_epoch": 0}),
    }
    service.projects["stprune"][changed.tracked.identity].config["epochs"] = {"value": 99}
    before = service.projects["stprune"][other.tracked.identity].node()
    assert main(["wandb", "sync", "--results", str(layout.root.parent)]) == 1
    said = told(capsys)
    assert "4 runs: 0 created, 2 updated, 2 unchanged" in said
    assert f"{other.tracked.name}: W&B keeps the curves of another training" in said
    assert "1 of 4 runs at W&B are not what their records say" in said
    runs = service.projects["stprune"]
    assert runs[other.tracked.identity].node() == before
    for recorded in (cut, changed):
        run = runs[recorded.tracked.identity]
        assert without_own(run.summary) == recorded.summary
        assert [without_own(row) for row in run.history] == list(recorded.history.values())
        assert run.config["epochs"] == {"value": synthetic.EPOCHS}
    assert set(runs[cut.tracked.identity].tags) == {*cut.tracked.tags, "a reader's"}


def test_an_interrupted_sync_goes_on_where_it_stopped(
    service: StandIn,
    layout: ExperimentLayout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent: list[str] = []

    def interrupted(tracked: TrackedRun, *arguments: Any, **options: Any) -> None:
        if len(sent) == 2:
            raise KeyboardInterrupt
        sent.append(tracked.name)
        send_run(tracked, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(wandb_sync, "send_run", interrupted)
        assert main(["wandb", "sync", str(layout.root)]) == 130
    assert {run.display_name for run in service.projects["stprune"].values()} == set(sent)
    assert main(["wandb", "sync", str(layout.root)]) == 0
    assert "4 runs: 2 created, 0 updated, 2 unchanged" in told(capsys)


def test_an_empty_part_of_a_configuration_is_no_difference(
    service: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = ExperimentLayout(tmp_path / "one")
    config = {"pruner": {"name": "full", "options": {}}, "training": {"clip": None, "rate": 1e-3}}
    run = synthetic.record(RunKey("roads", "stid", "full", 0.0, 0), config=config)
    synthetic.write_run(layout, run, synthetic.epochs(2))
    assert main(["wandb", "sync", str(layout.root)]) == 0
    assert main(["wandb", "sync", str(layout.root)]) == 0
    assert "1 runs: 0 created, 0 updated, 1 unchanged" in told(capsys)


def test_a_summary_that_did_not_arrive_is_told(
    service: StandIn, layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    service.forgets = "parameters"
    assert main(["wandb", "sync", str(layout.root), "--project", "elsewhere"]) == 1
    lines = told(capsys).splitlines()
    missing = "summary parameters is missing at W&B, 12345 in the record"
    assert [line for line in lines if missing in line] == [
        f"{run.tracked.name}: {missing}" for run in recorded_experiment(layout)
    ]
    assert set(service.projects) == {"elsewhere"}


def test_a_service_that_takes_nothing_is_one_line(
    service: StandIn,
    layout: ExperimentLayout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(wandb_run, "END_SECONDS", 0.5)
    service.deaf = True
    assert main(["wandb", "sync", str(layout.root)]) == 1
    assert told(capsys) == "stprune: error: Weights & Biases: Timed out finishing run\n"


def test_a_dry_run_asks_and_changes_nothing(
    service: StandIn, layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_ = recorded_experiment(layout)
    service.projects["stprune"] = {first.tracked.identity: held(first)}
    assert main(["wandb", "sync", str(layout.root), "--dry-run"]) == 0
    assert "4 runs: would be 3 created, 0 updated, 1 unchanged" in told(capsys)
    assert service.writes == []


def test_a_wrong_key_is_one_line_and_touches_nothing(
    service: StandIn, layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    service.key = "f" * 40
    before = contents(layout.root)
    assert main(["wandb", "sync", str(layout.root)]) == 2
    said = told(capsys)
    assert said.count("\n") == 1
    assert "Weights & Biases does not let us in" in said
    assert contents(layout.root) == before


@pytest.mark.parametrize("key", [None, KEY])
def test_without_a_key_or_a_network_is_one_line_and_touches_nothing(
    layout: ExperimentLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str | None,
) -> None:
    before = contents(layout.root)
    with wandb_stand_in.wandb_alone(tmp_path / "home"):
        if key:
            monkeypatch.setenv("WANDB_API_KEY", key)
        assert main(["wandb", "sync", str(layout.root)]) == 2
    said = told(capsys)
    assert said.count("\n") == 1
    assert ("check key and network" if key else "run `wandb login`") in said
    assert "--offline" in said
    assert contents(layout.root) == before


def test_what_goes_wrong_is_told_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_stand_in.wandb_alone(tmp_path / "home"):
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert without_key(ValueError(f"{KEY} is\n  no key.")) == "(key) is no key"
        assert without_key(TimeoutError()) == "TimeoutError"


def test_offline_files_are_the_records_and_are_written_once(
    layout: ExperimentLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = layout.tracking() / "records"
    with wandb_stand_in.wandb_alone(tmp_path / "home"):
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert main(["wandb", "sync", str(layout.root), "--offline"]) == 0
        assert "4 runs: 4 created, 0 updated, 0 unchanged" in told(capsys)
        files = contents(folder)
        monkeypatch.setenv("WANDB_MODE", "offline")
        assert main(["wandb", "sync", str(layout.root)]) == 0
        assert "4 runs: 0 created, 0 updated, 4 unchanged" in told(capsys)
        assert contents(folder) == files
        # Trained again, with another result.
        run, epochs = synthetic.pruned_run(RunKey("synthetic_roads", "stid", "full", 0.0, 0), 5)
        synthetic.write_run(layout, run, epochs)
        assert main(["wandb", "sync", str(layout.root)]) == 0
        assert "4 runs: 0 created, 1 updated, 3 unchanged" in told(capsys)
    assert all(KEY.encode() not in content for content in contents(tmp_path).values())
    written = [read_offline(path) for path in folder.glob("offline-run-*/*.wandb")]
    by_identity = {run.identity: run for run in written}
    assert len(written) == len(by_identity) == 4
    for recorded in recorded_experiment(layout):
        offline = by_identity[recorded.tracked.identity]
        assert offline.name == recorded.tracked.name
        assert offline.group == recorded.tracked.group
        assert offline.tags == set(recorded.tracked.tags)
        assert without_own(offline.config) == recorded.tracked.values
        assert [without_own(row) for row in offline.history] == list(recorded.history.values())
        assert without_own(offline.summary) == recorded.summary
        assert offline.exit_codes == [0]


def test_epochs_that_cannot_be_read_are_named(
    layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    key = RunKey("synthetic_roads", "stid", "full", 0.0, 1)
    table = layout.run_epochs(key)
    table.write_text(table.read_text().replace("4.0", "four", 1))
    assert main(["wandb", "sync", str(layout.root), "--offline"]) == 1
    said = told(capsys)
    assert f"{table}, line 2: `train_loss`" in said
    assert not layout.tracking().exists()


def test_no_records_and_a_forbidden_sync_are_one_line(
    layout: ExperimentLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty" / "runs").mkdir(parents=True)
    assert main(["wandb", "sync", str(tmp_path / "empty")]) == 1
    assert "there is no finished run" in told(capsys)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert main(["wandb", "sync", str(layout.root)]) == 1
    assert "WANDB_MODE=disabled" in told(capsys)
