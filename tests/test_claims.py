"""Published numbers are compared with records of their setting, and with no others."""

import math
import os
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_records import record, scores, write_run
from test_backbone_oracles import build

from stprune.backbones.base import BACKBONES
from stprune.base.errors import ConfigError, RecordError
from stprune.base.layout import DataLayout, ExperimentLayout, RunKey
from stprune.data.card import dataset_ids
from stprune.data.dataset import ForecastData, forecast_data
from stprune.pruning.base import PRUNERS
from stprune.workflow.claims import (
    Claims,
    WeightsClaim,
    check_claims,
    check_weights,
    claims_text,
    evaluate_weights,
    load_claims,
    verdict,
)

FILE = Path(__file__).resolve().parents[1] / "claims.yaml"
NOT_STATED = math.nan
REAL = pytest.mark.skipif(
    "STPRUNE_MIRROR" not in os.environ, reason="STPRUNE_MIRROR has the real files"
)


@pytest.mark.parametrize(
    ("claimed", "spread", "means", "expected"),
    [
        (10.0, NOT_STATED, [], "not run"),
        (10.0, NOT_STATED, [10.2], "reproduced"),  # 2 % away, as far as is tolerated
        (10.0, NOT_STATED, [10.3], "not reproduced"),
        (10.0, 0.2, [10.3], "within spread"),  # 0.3 <= 2 x 0.2
        (10.0, 0.1, [10.3], "not reproduced"),  # 0.3 > 2 x 0.1
        # Mean 10.5, standard deviations 0.3 and 0.14: 2 x hypot = 0.66.
        (10.0, 0.3, [10.4, 10.6], "within spread"),
    ],
)
def test_verdicts_by_hand(claimed, spread, means, expected):
    assert verdict(claimed, spread, means, 2.0) == expected


def _config(place: str = "", value: Any = None) -> dict[str, Any]:
    """A run's configuration that agrees with the claim, but for ``value`` at the dotted place."""
    stid = BACKBONES.load("stid")
    config: dict[str, Any] = {
        "dataset": {"id": "pems08", "node_stride": 1, "days": None, "window_stride": 1},
        "backbone": {
            "id": "stid",
            "options": stid.Options().model_dump(mode="json"),
            "optimisation": stid.optimisation.model_dump(mode="json"),
        },
        "training": {"history": 12, "horizon": 12, "epochs": 100, "patience": 10},
        "pruner": {"id": "full"},
        "protocol": "legacy",
    }
    section, _, key = place.partition(".")
    if key:
        config[section][key] = value
    elif section:
        config[section] = value
    return config


def _record(folder: Path, seed: int, mae: float, config: dict[str, Any]) -> None:
    key = RunKey("x", "stid", "full", 0.0, seed)
    rules = {"st_ttc": scores(mae)}
    run = record(key, test=scores(99.0), scores_by_rule=rules, config={**config, "seed": seed})
    write_run(ExperimentLayout(folder / "study"), run, [])


def _claims() -> Claims:
    setting = {"pruner": "full", "protocol": "legacy", "history": 12, "horizon": 12}
    setting |= {"epochs": 100, "patience": 10}
    cell = {"dataset": "pems08", "backbone": "stid", "mae": [14.0, 0.1]}
    group = {"source": "S", "rule": "st_ttc", "tolerance_percent": 2, "cells": [cell]}
    return Claims.model_validate({"groups": [{**group, "setting": setting}]})


def test_runs_of_the_setting_are_averaged_by_the_rule_of_the_source(tmp_path):
    _record(tmp_path, 0, 14.0, _config())
    _record(tmp_path, 1, 14.2, _config())
    checked = check_claims(_claims(), tmp_path)
    (row,) = checked.to_dict("records")
    assert (row["measured"], row["sd"]) == pytest.approx((14.1, 0.2 / 2**0.5))
    assert (row["seeds"], row["verdict"]) == (2, "reproduced")
    assert "1 reproduced, 0 within spread, 0 not reproduced, 0 not run" in claims_text(checked)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(("dataset.id", "pems04"), ("dataset.days", 7), ("dataset.node_stride", 2)),
        *(("dataset.evaluation_stride", 2), ("dataset.task", "few_shot")),
        *(("backbone.id", "gwnet"), ("backbone.options", {}), ("backbone.optimisation", {})),
        *(("training.epochs", 20), ("training.horizon", 24)),
        *(("pruner.id", "st_prune"), ("protocol", "paper")),
    ],
)
def test_runs_of_another_setting_do_not_count(tmp_path, place, value):
    _record(tmp_path, 0, 14.0, _config(place, value))
    assert check_claims(_claims(), tmp_path)["verdict"].tolist() == ["not run"]


def test_shipped_claims_name_what_exists_and_have_no_run_in_an_empty_folder(tmp_path):
    claims = load_claims(FILE)
    assert set(check_claims(claims, tmp_path)["verdict"]) == {"not run"}
    assert {group.setting.pruner for group in claims.groups} <= set(PRUNERS.ids())
    assert {cell.dataset for group in claims.groups for cell in group.cells} <= set(dataset_ids())
    with pytest.raises(RecordError, match="nowhere"):
        check_claims(claims, tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["gwnet", "stgcn"])
def test_public_weights_become_ours(name):
    model, _ = build(name, {})
    public = import_module(f"oracles.{name}").published_state(model)
    ours = type(model).from_public_weights(public)
    assert ours.keys() == model.state_dict().keys()
    assert all(torch.equal(ours[key], value) for key, value in model.state_dict().items())


def test_a_file_without_published_weights_has_none_to_check(tmp_path):
    checked = check_weights([], DataLayout(tmp_path))
    assert claims_text(checked).strip().startswith("0 reproduced")


def test_weights_of_another_backbone_are_a_mistake_in_the_file(toy_data, tmp_path, monkeypatch):
    claim = load_claims(FILE).published_weights[0]
    layout, other = DataLayout(toy_data), tmp_path / "other.pt"
    torch.save({"bn.0.bias": torch.zeros(2)}, other)
    monkeypatch.setattr("stprune.workflow.claims.fetch_file", lambda *_: other)
    monkeypatch.setattr("stprune.workflow.claims.prepare", lambda *_: layout.processed("toy"))
    with pytest.raises(ConfigError, match=re.escape(claim.weights.url)):
        check_weights([claim], layout)


def weights_claim(backbone: str) -> WeightsClaim:
    (claim,) = (c for c in load_claims(FILE).published_weights if c.backbone == backbone)
    return claim


@pytest.mark.slow
@REAL
def test_published_weights_score_on_real_data_as_their_log_says(tmp_path):
    checked = check_weights([weights_claim("stgcn")], DataLayout(tmp_path))
    assert set(checked["verdict"]) == {"reproduced"}


@REAL
def test_published_weights_of_graph_wavenet_on_the_first_windows(tmp_path, monkeypatch):
    """All windows take minutes; `stprune claims` says that they score as the log says."""

    def first_windows(*arguments: Any, **options: Any) -> ForecastData:
        data = forecast_data(*arguments, **options)
        return replace(data, test=data.test.split(range(64)))

    monkeypatch.setattr("stprune.workflow.claims.forecast_data", first_windows)
    scores = evaluate_weights(weights_claim("gwnet"), DataLayout(tmp_path))
    # Of a code whose scores over all windows were those of the log.
    assert (scores.mae, scores.rmse) == pytest.approx((18.03256, 28.43149), abs=1e-4)
