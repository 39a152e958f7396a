"""Weights & Biases holds what the records say, is never in the way, and is needed by nobody."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic_records as synthetic
import wandb
from toy_runs import contents
from wandb_stand_in import ENTITY, KEY, HeldRun, Service, read_offline, wandb_alone, wandb_service

from stprune.__main__ import main
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.base.settings import TrackingSettings
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import experiment_layout, run_spec
from stprune.records.run import EpochRecord, read_epochs
from stprune.tracking.run import Payload, WandbTracking, finished_runs, permitted_mode
from stprune.tracking.sync import Place
from stprune.training.run import train

RUN = RunKey("toy", "stid", "st_prune", 0.5, 0)
PLACE = Place("synthetic", "synthetic_roads", "stid")
Said = Callable[[], str]
# Of wandb-workspaces, as it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")


@pytest.fixture
def service() -> Iterator[Service]:
    with wandb_service() as service:
        yield service


@pytest.fixture
def layout(tmp_path: Path) -> ExperimentLayout:
    """Two seeds each of full training and of ST-Prune."""
    return synthetic.write_experiment(
        tmp_path / "results" / "synthetic", pruners=["st_prune"], ratios=[0.5], seeds=[0, 1]
    )


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """All that was printed, none of which is the key."""

    def read() -> str:
        printed = capsys.readouterr()
        assert KEY not in printed.out + printed.err
        return printed.out + printed.err

    return read


def held(run: Payload, epochs: int | None = None, **changes: Any) -> HeldRun:
    """What W&B holds of a run after ``epochs`` of its epochs; by default after its end."""
    steps = range(len(run.history) if epochs is None else epochs)
    rows = [{**run.history[step], "_step": step} for step in steps]
    values: dict[str, Any] = {
        "name": run.key.path,
        "group": run.group,
        "tags": run.tags,
        "config": dict(run.config),
        "summary_metrics": {**(run.summary if epochs is None else rows[-1]), "_step": 7},
        "rows": rows,
    }
    return HeldRun(run.identity, **(values | changes))


def assert_is_record(there: HeldRun, run: Payload) -> None:
    def without_own(values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if not key.startswith("_")}

    assert (there.name, there.group) == (run.key.path, run.group)
    assert set(there.tags) >= set(run.tags)
    assert without_own(there.config) == run.config
    assert [without_own(row) for row in there.rows] == list(run.history.values())
    assert without_own(there.summary_metrics) == run.summary


def test_a_sync_makes_runs_of_the_records_and_the_next_changes_nothing(service, layout, said):
    run = Payload("demo", RunKey("roads", "stid", "st_prune", 0.7, 3), {})
    assert run.identity == "2ccc54b83fbb2692"  # sha256 of "demo/roads/stid/st_prune/p0.7/s3"
    assert run.group == "demo/roads/stid/st_prune/p0.7"
    assert run.tags == ["demo", "roads", "stid", "st_prune", "p0.7"]
    before = contents(layout.root)
    assert main(["wandb", "sync", str(layout.root), "--dry-run"]) == 0
    assert "4 runs: would be 4 created" in said()
    assert service.writes == 0
    assert main(["wandb", "sync", str(layout.root)]) == 0
    assert "4 runs: 4 created, 0 updated, 0 unchanged" in said()
    for run in finished_runs(layout):
        there = service.projects["stprune"][run.identity]
        assert_is_record(there, run)
        # What the experiment says, and where the run stands in it.
        assert (there.notes or "").startswith("STID on synthetic_roads · 1 pruner at prune ratio")
        steps = there.summary_metrics["against_full"]["steps_percent"]
        assert steps == (50 if run.key.pruner == "st_prune" else 100)
    assert main(["wandb", "sync", str(layout.root)]) == 0
    assert "4 runs: 0 created, 0 updated, 4 unchanged" in said()
    assert service.writes == 4
    assert contents(layout.root) == before


def test_what_is_not_the_record_is_updated_and_another_training_is_left_alone(
    service, layout, said
):
    runs = finished_runs(layout)
    done, cut, other, changed = (run.identity for run in runs)
    curves = [{**row, "_step": step, "train_loss": 0.5} for step, row in runs[2].history.items()]
    there = service.projects["stprune"] = {
        done: held(runs[0], tags=[*runs[0].tags, "a reader's"]),
        cut: held(runs[1], 3, tags=["a reader's"]),
        other: held(runs[2], rows=curves, summary_metrics={"test": {"mae": 9.0}}),
        changed: held(runs[3], summary_metrics=runs[3].summary | {"best_epoch": 0}, notes="mine"),
    }
    there[changed].config["epochs"] = 99
    assert main(["wandb", "sync", "--results", str(layout.root.parent)]) == 1
    output = said()
    assert "4 runs: 0 created, 2 updated, 2 unchanged" in output
    assert output.count(runs[2].key.path) == 1
    assert there[other].summary_metrics == {"test": {"mae": 9.0}}
    assert_is_record(there[cut], runs[1])
    assert_is_record(there[changed], runs[3])
    assert "a reader's" in there[cut].tags
    assert (there[changed].notes, there[cut].notes is None) == ("mine", False)


@pytest.mark.parametrize("key", ["", KEY], ids=["no key", "no network"])
def test_without_an_account_is_one_line_and_touches_nothing(
    layout, tmp_path, monkeypatch, said, key
):
    before = contents(layout.root)
    with wandb_alone(tmp_path / "home"):
        monkeypatch.setenv("WANDB_API_KEY", key)
        assert main(["wandb", "sync", str(layout.root)]) == 2
    assert said().count("\n") == 1
    assert contents(layout.root) == before


def test_offline_files_are_the_records(layout, tmp_path, monkeypatch):
    folder = layout.tracking / "records"
    with wandb_alone(tmp_path / "home"):
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert main(["wandb", "sync", str(layout.root), "--offline"]) == 0
        # Trained again, with another result.
        run, epochs = synthetic.pruned_run(RunKey("synthetic_roads", "stid", "full", 0.0, 0), 5)
        synthetic.write_run(layout, run, epochs)
        monkeypatch.setenv("WANDB_MODE", "offline")
        assert main(["wandb", "sync", str(layout.root)]) == 0
    runs = finished_runs(layout)
    assert len(list(folder.glob("offline-run-*"))) == len(runs) == 4
    there = read_offline(folder)
    for finished in runs:
        assert_is_record(there[finished.identity], finished)
    assert all(KEY.encode() not in content for content in contents(layout.root).values())
    assert [path.name for path in layout.tracking.iterdir()] == ["records"]


def test_what_cannot_be_synced_is_one_line(layout, tmp_path, monkeypatch, said):
    (tmp_path / "empty" / "runs").mkdir(parents=True)
    assert main(["wandb", "sync", str(tmp_path / "empty")]) == 1
    assert str(tmp_path / "empty") in said()
    table = layout.run(RunKey("synthetic_roads", "stid", "full", 0.0, 1)) / "epochs.csv"
    table.write_text(table.read_text().replace("4.0", "four", 1))
    assert main(["wandb", "sync", str(layout.root), "--offline"]) == 1
    assert str(table) in said()
    assert not layout.tracking.exists()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert main(["wandb", "sync", str(layout.root)]) == 1
    assert "WANDB_MODE" in said()


def track_and_continue(config: ExperimentConfig, mode: Any, folder: Path) -> Payload:
    """Train a run, then tell its epochs to a tracking that is killed, and to one that goes on."""
    record = train(config, RUN, [])
    layout, spec = experiment_layout(config), run_spec(config, RUN)
    rows = read_epochs(layout.run(RUN) / "epochs.csv").replace({np.nan: None}).to_dict("records")
    epochs = [EpochRecord.model_validate(row) for row in rows]
    killed, again = (WandbTracking(TrackingSettings(mode=mode), folder) for _ in range(2))
    killed.run_started(spec, len(epochs), [])
    for epoch in epochs[:2]:
        killed.epoch_finished(epoch)
    killed.run_failed(KeyboardInterrupt())
    again.run_started(spec, len(epochs), epochs[:2])
    for epoch in epochs[2:]:
        again.epoch_finished(epoch)
    again.run_finished(record)
    return finished_runs(layout)[0]


def test_a_tracked_and_continued_run_needs_no_sync(service, toy_config, tmp_path, said):
    run = track_and_continue(toy_config, "online", tmp_path / "tracked")
    (there,) = service.projects["stprune"].values()
    assert_is_record(there, run)
    assert (there.job_type, there.exit_code) == ("train", 0)
    assert main(["wandb", "sync", str(experiment_layout(toy_config).root)]) == 0
    assert "1 runs: 0 created, 0 updated, 1 unchanged" in said()


def test_a_tracked_and_continued_run_is_whole_in_its_last_offline_file(toy_config, tmp_path):
    with wandb_alone(tmp_path / "home"):
        run = track_and_continue(toy_config, "offline", tmp_path / "tracked")
        wandb.teardown()  # waits until the file is complete
    last = max(tmp_path.rglob("offline-run-*"), key=lambda path: path.stat().st_mtime)
    assert_is_record(read_offline(last)[run.identity], run)


@pytest.mark.parametrize("broken", ["import", "no key", "init", "log", "finish"])
def test_a_failing_service_changes_nothing_in_the_record(
    toy_config, tmp_path, monkeypatch, caplog, broken
):
    calls: list[str] = []

    class Broken(ModuleType):
        """wandb and its run, of which one function fails."""

        Settings = setup = dict

        def __getattr__(self, name: str) -> Any:
            def call(*_: Any, **__: Any) -> Any:
                calls.append(name)
                if calls[-1] == broken:
                    raise ConnectionError("the service is down")
                return (broken, name) != ("no key", "login") and self

            return self if name == "summary" else call

    # None in place of a module makes its import fail.
    module: Any = None if broken == "import" else Broken("wandb")
    monkeypatch.setitem(sys.modules, "wandb", module)
    tracking = WandbTracking(TrackingSettings(mode="online"), tmp_path / "tracked")
    tracked, untracked = train(toy_config, RUN, [tracking]), train(toy_config, RUN, [])
    same = {"test", "validation_mae", "best_epoch", "config", "fingerprint"}
    assert tracked.model_dump(include=same) == untracked.model_dump(include=same)
    assert caplog.text.count("Weights & Biases is left out for this run") == 1
    # After the first failure the service is left alone.
    assert calls.count(broken) == (broken not in ("import", "no key"))


def test_the_environment_can_only_keep_more_here(monkeypatch):
    modes = {"offline": "offline", "dryrun": "offline", "disabled": "disabled", "": "online"}
    for limit, wanted in modes.items():
        monkeypatch.setenv("WANDB_MODE", limit)
        assert (permitted_mode("online"), permitted_mode("disabled")) == (wanted, "disabled")


def test_a_view_compares_pruners_at_one_place_by_what_the_runs_hold(layout, tmp_path):
    file = tmp_path / "views.json"
    assert main(["wandb", "view", str(layout.root), "--json", str(file)]) == 0
    (view,) = json.loads(file.read_text())
    assert view["name"] == PLACE.title
    (runs,) = view["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["pruner.value.name", "prune_ratio.value"]
    assert [kept["value"] for kept in runs["filters"]["filters"]] == list(PLACE)
    run = finished_runs(layout)[0]
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    panels = [panel["config"] for section in sections for panel in section["panels"]]
    assert len(panels) == 1 + 2 + 3 + 4
    from wandb_workspaces.workspaces.internal import WorkspaceViewspec

    # wandb-workspaces reads back what it would upload, field by field; ids it draws anew.
    read = WorkspaceViewspec.model_validate(view["spec"]).model_dump_json(
        by_alias=True, exclude_none=True
    )
    assert view["spec"] == json.loads(
        read, object_hook=lambda some: {k: some[k] for k in some if k not in ("__id__", "id")}
    )
    glance, *_ = (panel for panel in panels if "value" in panel)
    assert "ST-Prune saves" in glance["value"]
    summary = pd.json_normalize(run.summary).iloc[0]
    for panel in panels:
        # Bars and marks show the summary, lines the history.
        axes = [panel.get(axis, "") for axis in ("xAxis", "yAxis")]
        paths = [axis.removeprefix("summary:") for axis in axes if axis.startswith("summary:")]
        if panel.get("vertical") is not None:
            paths += panel["metrics"]
        elif "metrics" in panel:
            assert {*panel["metrics"], panel["xAxis"]} <= set(run.history[0])
        assert all(isinstance(summary[path], float) for path in paths)


@pytest.mark.usefixtures("service")
def test_a_view_is_saved_once_and_again_when_it_was_changed(tmp_path, said, monkeypatch):
    import wandb_workspaces.workspaces as ws

    saved: dict[str, Any] = {}

    def from_url(url: str) -> Any:
        if url not in saved:
            raise ValueError("Workspace not found")
        return saved[url]

    monkeypatch.setattr("wandb_workspaces.workspaces.interface.get_app_url", lambda _: "https://w")
    monkeypatch.setattr(ws.Workspace, "from_url", from_url)
    monkeypatch.setattr(ws.Workspace, "save", lambda view: saved.update({view.url: view}))
    layout = synthetic.write_experiment(
        tmp_path / "two", pruners=["st_prune"], ratios=[0.5], seeds=[0], backbones=["stid", "gwnet"]
    )
    words = ["wandb", "view", str(layout.root)]
    titles = [PLACE._replace(backbone=name).title for name in ("gwnet", "stid")]
    for count in (2, 0):
        assert main(words) == 0
        assert said().count(": saved, ") == count
        assert [view.name for view in saved.values()] == titles
    (address,) = (url for url in saved if url.endswith(f"{ENTITY}/stprune?nw={PLACE.slug}"))
    saved[address].name = "renamed"
    assert main(words) == 0
    assert f"{PLACE.title}: saved, {address}\n" in said()
