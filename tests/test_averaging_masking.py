"""What a mean error hides: by hand, and from the record of a run with its weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
import yaml
from toy_runs import key_of
from toy_union import KEY, union_values, write_union

from stprune.base.errors import CheckpointError, ConfigError, DataError, RecordError
from stprune.base.layout import DataLayout
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout, run_spec
from stprune.describe.averaging_masking import (
    error_percentiles,
    in_quarters,
    masking_by_node,
    masking_table,
)
from stprune.records.run import read_record
from stprune.training.checkpoint import load_checkpoint
from stprune.training.recorded_model import open_recorded_model
from stprune.training.run import train

NAN = float("nan")


def hidden() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Eight windows at four nodes; in the two of the lowest mean one node is as bad as any."""
    errors = np.repeat(np.arange(1.0, 9)[:, None], 4, axis=1)
    errors[0] = [0, 0, 0, 5]
    errors[1] = [0, 0, 0, 7]
    return errors


def test_a_bad_node_in_a_calm_window_is_found() -> None:
    found = in_quarters(hidden())
    assert found.quarter.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    # The median of all 32 errors is 5: large are 6, 7, 8 of three windows, and the hidden 7.
    table = masking_table(found, [0.5]).set_index(["of", "quarter"])
    calm = table.loc[("all nodes", 1)]
    assert calm["mean_error"] == pytest.approx((5 / 4 + 7 / 4) / 2)
    assert calm["large_share"] == pytest.approx(1 / 8)
    assert calm["windows_with_any"] == pytest.approx(1 / 2)
    assert calm["share_of_large"] == pytest.approx(1 / 13)
    assert table.loc[("all nodes", 4), "large_share"] == 1
    # Node 3 has 5, 7, 3, ..., 8: its median is 5.5; the other nodes' is 4.5.
    own = table.loc["own node"]
    assert own.loc[1, "large_share"] == pytest.approx(1 / 8)
    assert own.loc[3, "large_share"] == pytest.approx((3 + 4) / 8)
    assert own["windows"].tolist() == [2, 2, 2, 2]


def test_a_node_of_a_larger_scale_is_large_of_all_but_not_of_its_own() -> None:
    errors = np.random.default_rng(0).random((400, 5))
    errors[:, 0] *= 100
    table = masking_table(in_quarters(errors), [0.9]).groupby("of")["share_of_large"].first()
    # Windows are ranked by node 0 alone: what it does not decide is spread evenly.
    assert table["all nodes"] == 0
    assert table["own node"] == pytest.approx(0.2, abs=0.06)


def test_nodes_and_windows_without_targets_count_nowhere() -> None:
    errors = hidden()
    errors[:, 1] = NAN
    errors = np.vstack([errors, np.full(4, NAN)])
    found = in_quarters(errors)
    assert len(found.means) == 8
    assert found.means[0] == pytest.approx(5 / 3)
    nodes = masking_by_node(found, ["a", "b", "c", "d"], 0.5).set_index("node")
    assert nodes.loc["b"].isna().all()
    assert nodes.loc["d", "error_in_calm_windows"] == 6
    assert nodes.loc["d", "large_share_in_calm_windows"] == 0.5
    assert nodes.loc["a", "mean_error"] == pytest.approx(33 / 8)


def test_percentiles_of_a_quarter_run_from_its_smallest_to_its_largest_error() -> None:
    table = error_percentiles(in_quarters(hidden())).set_index(["quarter", "percentile"])["error"]
    assert table[1, 0] == 0
    assert table[1, 100] == 7
    assert table[4, 0] == 7


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(DataError, match="only 3 windows have an observed target"):
        in_quarters(hidden()[:3])


@pytest.fixture(scope="module")
def experiment(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run whose weights were kept, with its configuration."""
    folder = tmp_path_factory.mktemp("kept")
    values = {
        "experiment": "toy",
        "datasets": {toy.DATASET: None},
        "backbones": {"stid": {"options": {"series_width": 8, "node_width": 8}}},
        "pruners": {"full": None},
        "prune_ratios": [0.0],
        "seeds": [0],
        "training": {"epochs": 2, "batch_size": 32},
        "compute": {"own_cores": False},
        "tracking": {"mode": "disabled"},
        "keep_weights": True,
        "data_directory": str(toy_data),
        "results_directory": str(folder),
    }
    config = parse_config(values, "the toy configuration")
    train(config, key_of("full"), ())
    (folder / "toy" / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder / "toy"


@pytest.fixture
def metrics(experiment: Path, tmp_path: Path) -> Path:
    """The record of the run in a copy that a test may damage."""
    shutil.copytree(experiment, tmp_path / "toy")
    return next((tmp_path / "toy").rglob("metrics.json"))


def test_errors_of_the_model_are_those_of_its_record(metrics: Path) -> None:
    model = open_recorded_model(metrics)
    errors, stride = model.node_errors("test")
    record = read_record(metrics)
    assert stride == 1
    assert errors.shape == (len(model.data.test), toy.NODES)
    # Weighted by what was observed, node errors add up to the pooled error.
    store = model.data.test
    counts = store.gather(torch.arange(len(store))).mask.sum(1).numpy()
    pooled = (np.nan_to_num(errors) * counts).sum() / counts.sum()
    assert pooled == pytest.approx(record.test.mae, rel=1e-4)


def test_of_more_windows_than_fit_every_so_many_th_is_taken(
    metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_recorded_model(metrics)
    whole, _ = model.node_errors("train")
    monkeypatch.setattr("stprune.training.recorded_model.KEPT_ERRORS", 100 * toy.NODES)
    part, stride = model.node_errors("train")
    assert (stride, len(part)) == (3, 97)
    np.testing.assert_allclose(part, whole[::3], rtol=1e-5)


def test_kept_weights_are_tensors_and_are_asked_for_where_they_lack(metrics: Path) -> None:
    record = read_record(metrics)
    state, _ = load_checkpoint(
        metrics.with_name("weights.pt"),
        {"configuration": record.fingerprint, "data": record.data["checksum"]},
    )
    assert state
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    metrics.with_name("weights.pt").unlink()
    with pytest.raises(CheckpointError, match="set `keep_weights: true` in the configuration"):
        open_recorded_model(metrics)


def test_weights_of_another_run_are_refused(metrics: Path) -> None:
    path = metrics.with_name("weights.pt")
    content = torch.load(path, weights_only=True)
    content["identity"]["source code"] = "another"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="its source code changed"):
        open_recorded_model(metrics)


def test_weights_that_do_otherwise_than_the_record_says_are_refused(metrics: Path) -> None:
    values = json.loads(metrics.read_text(encoding="utf-8"))
    values["validation_mae"] *= 1.1
    metrics.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(RecordError, match="the code has changed since"):
        open_recorded_model(metrics)


def test_another_configuration_is_refused_and_a_missing_one_asked_for(metrics: Path) -> None:
    path = metrics.parents[6] / "config.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    other = path.with_name("other.yaml")
    values["training"]["epochs"] = 3
    other.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ConfigError, match="is not the configuration that"):
        open_recorded_model(metrics, other)
    path.unlink()
    with pytest.raises(ConfigError, match="name the configuration of the run with --config"):
        open_recorded_model(metrics)


def test_other_data_than_those_of_the_record_are_refused(
    metrics: Path, toy_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(toy_data, folder)
    meta = DataLayout(folder).processed(toy.DATASET) / "meta.json"
    values = json.loads(meta.read_text(encoding="utf-8"))
    values["checksum"] = "0" * 64
    meta.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(RecordError, match="was made from other data"):
        open_recorded_model(metrics, data_directory=folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "legacy"},
        {"datasets": {toy.DATASET: {"task": "impute", "task_options": {"points": 0.3}}}},
    ],
    ids=["legacy", "impute"],
)
def test_models_of_other_protocols_and_tasks_are_read_as_well(
    changes: dict[str, Any], toy_values: dict[str, Any], tmp_path: Path
) -> None:
    toy_values["training"] |= {"epochs": 1}
    toy_values |= {"keep_weights": True, **changes}
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    # Opening it sees that the validation error is that of the record.
    model = open_recorded_model(experiment_layout(config).metrics(key_of("full")), path)
    errors, _ = model.node_errors("validation")
    assert np.isfinite(errors).any()


def test_a_run_of_a_union_is_refused(metrics: Path, tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path)
    path = tmp_path / "union.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    spec = run_spec(parse_config(values, "the union"), KEY)
    record = json.loads(metrics.read_text(encoding="utf-8"))
    record |= {**KEY._asdict(), "fingerprint": spec.fingerprint}
    metrics.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ConfigError, match="is of a union; take one of a single data set"):
        open_recorded_model(metrics, path)


def test_without_the_option_no_weights_are_left(toy_values: dict[str, Any]) -> None:
    toy_values["training"] |= {"epochs": 1}
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    layout = experiment_layout(config)
    assert layout.metrics(key_of("full")).exists()
    assert not layout.weights(key_of("full")).exists()
