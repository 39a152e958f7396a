"""`stprune wandb view`: what it would upload, and that the same view is saved once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic_records as synthetic
import wandb_stand_in
from wandb_stand_in import ENTITY, StandIn

from stprune.__main__ import main
from stprune.base.layout import ExperimentLayout
from stprune.tracking.finished_runs import recorded_experiment
from stprune.tracking.view import Place

# Of wandb-workspaces, as it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")

PLACE = Place("synthetic", "synthetic_roads", "stid")


@pytest.fixture
def layout(tmp_path: Path) -> ExperimentLayout:
    """ST-Prune and full training under two backbones."""
    return synthetic.write_experiment(
        tmp_path / "results" / "synthetic",
        pruners=["st_prune"],
        ratios=[0.5],
        seeds=[0],
        backbones=["stid", "gwnet"],
    )


@pytest.fixture
def service(tmp_path: Path) -> Iterator[StandIn]:
    with wandb_stand_in.wandb_service(tmp_path / "home") as service:
        service.projects["stprune"] = {}
        yield service
    assert service.surprises == []


def panels(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Panels by their titles."""
    sections = spec["section"]["panelBankConfig"]["sections"]
    found = [panel["config"] for section in sections for panel in section["panels"]]
    return {config["chartTitle"]: config for config in found}


def at(values: dict[str, Any], name: str) -> Any:
    """The value of nested keys joined by dots."""
    for key in name.split("."):
        values = values[key]
    return values


def test_a_view_compares_pruners_by_prune_ratio_at_one_place(
    layout: ExperimentLayout, tmp_path: Path
) -> None:
    file = tmp_path / "views.json"
    assert main(["wandb", "view", str(layout.root), "--json", str(file)]) == 0
    views = {view["name"]: view["spec"] for view in json.loads(file.read_text())}
    assert list(views) == [f"synthetic: {name} on synthetic_roads" for name in ("gwnet", "stid")]
    spec = views[PLACE.title]
    (runs,) = spec["section"]["runSets"]
    grouping = [(key["section"], key["name"]) for key in runs["grouping"]]
    assert grouping == [("config", "pruner.value.name"), ("config", "prune_ratio.value")]
    filters = [
        (kept["key"]["name"], kept["op"], kept["value"]) for kept in runs["filters"]["filters"]
    ]
    assert filters == [
        ("experiment", "=", "synthetic"),
        ("dataset.name", "=", "synthetic_roads"),
        ("backbone.name", "=", "stid"),
    ]
    drawn = panels(spec)
    by_ratio = drawn["Test MAE by prune ratio"]
    assert (by_ratio["xAxis"], by_ratio["yAxis"]) == (
        "config:prune_ratio.value",
        "summary:test.mae",
    )
    by_time = drawn["Test MAE against per-epoch time, s"]
    assert (by_time["xAxis"], by_time["yAxis"]) == (
        "summary:cost.epoch_seconds",
        "summary:test.mae",
    )
    course = drawn["Validation MAE against time, s"]
    assert (course["xAxis"], course["metrics"]) == ("elapsed_seconds", ["validation_mae"])


def test_everything_that_is_drawn_is_in_the_runs(layout: ExperimentLayout, tmp_path: Path) -> None:
    file = tmp_path / "views.json"
    assert main(["wandb", "view", str(layout.root), "--json", str(file)]) == 0
    spec = json.loads(file.read_text())[0]["spec"]
    run = recorded_experiment(layout)[0]
    for config in panels(spec).values():
        axes = [config.get("xAxis"), config.get("yAxis")]
        for axis in [axis for axis in axes if axis and axis.startswith("summary:")]:
            assert isinstance(at(run.summary, axis.removeprefix("summary:")), float)
        for name in config.get("metrics", []):
            if config.get("vertical") is None:
                assert {name, config["xAxis"]} <= set(run.history[0])
            else:
                assert isinstance(at(run.summary, name), float)


def test_a_view_is_saved_once_and_again_when_it_was_changed(
    service: StandIn, layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["wandb", "view", str(layout.root)]
    assert main(words) == 0
    assert capsys.readouterr().out.count(": saved, ") == 2
    assert [view["displayName"] for view in service.views] == [
        f"synthetic: {name} on synthetic_roads" for name in ("gwnet", "stid")
    ]
    assert main(words) == 0
    assert capsys.readouterr().out.count(": unchanged, ") == 2
    assert service.writes.count("UpsertView2") == 2
    service.views[1]["displayName"] = "renamed"
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"{PLACE.title}: saved, {service.url}/{ENTITY}/stprune?nw={PLACE.slug}\n" in out
    assert out.count(": unchanged, ") == 1
    assert sorted(view["displayName"] for view in service.views) == [
        f"synthetic: {name} on synthetic_roads" for name in ("gwnet", "stid")
    ]
