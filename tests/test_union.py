"""A model that trains on several data sets: whole runs on two toys of different size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_runs import assert_same_outcome, elsewhere, files_below, train_with_stops
from toy_union import KEY, SIZES, union_config, union_values, write_union

from stprune.base.errors import ConfigError, DeclinedError
from stprune.base.layout import RunKey
from stprune.config.grid import data_layout, experiment_layout, run_keys, run_spec
from stprune.pruning.per_dataset import PerDatasetPruner
from stprune.pruning.selection import calendar_periods
from stprune.records.kept import read_kept
from stprune.records.run import read_epochs, read_record
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine
from stprune.training.evaluation import evaluate
from stprune.training.provenance import run_checksum
from stprune.training.run import open_run_data, train
from stprune.training.scoring import held_out_scores

# Windows of 24 steps: 481 of 504, of which 60 % train, 20 % validate, 20 % test.
BIG, SMALL, EACH = 289, 97, 96
WINDOWS = BIG + SMALL


@pytest.fixture(scope="session")
def union_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_union(tmp_path_factory.mktemp("union") / "data")


@pytest.fixture
def values(union_data: Path, tmp_path: Path) -> dict[str, Any]:
    return union_values(union_data, tmp_path / "results")


def opened(values: dict[str, Any], key: RunKey = KEY) -> Engine:
    config = union_config(values)
    spec = run_spec(config, key)
    data = open_run_data(spec, data_layout(config), torch.device("cpu"))
    return Engine(spec, data, fabric_on())


@pytest.mark.parametrize("pruner", ["full", "st_prune"])
def test_a_run_on_a_union_leaves_a_whole_record(values, pruner):
    config = union_config(values)
    key = KEY._replace(pruner=pruner, prune_ratio=0.0 if pruner == "full" else 0.6)
    assert key in run_keys(config)
    layout, record = experiment_layout(config), train(config, key, [])
    assert read_record(layout.metrics(key)) == record
    assert record.test.windows == 2 * EACH
    assert set(record.test_groups) == {"toy_big", "toy_small"}
    assert record.transfer["toy_away"].zero_shot.windows == EACH
    assert record.transfer["toy_away"].linear_probe is None
    assert record.cost.training_windows == WINDOWS
    assert record.data["nodes"] == 11
    assert record.data["target_unit"] == "units and units of its own"
    checksum = run_checksum(run_spec(config, key).cards, data_layout(config))
    assert checksum == record.data["checksum"]
    epochs = read_epochs(layout.run(key) / "epochs.csv")
    kept = WINDOWS if pruner == "full" else round(0.4 * WINDOWS)
    assert epochs["windows"].tolist() == [WINDOWS, kept, kept, WINDOWS]
    # 289 windows in 10 batches, 97 in 4.
    assert epochs["gradient_steps"].iloc[0] == 14
    assert epochs["validation_mae"].iloc[-1] < epochs["validation_mae"].iloc[0]
    archive = read_kept(layout.kept(key))
    assert archive.kept.sum(1).tolist() == epochs["windows"].tolist()


def test_the_scores_are_those_of_each_data_set_on_its_own_graph(values):
    engine = opened(values)
    engine.train_epoch()
    scores, _, by_member = engine.test()
    total = np.zeros(3)
    for name, part in engine.data.tested.items():
        engine.network.use_graph(name, part.adjacency)
        sums = evaluate(engine.network, part.test, 7, part.mape_floor, engine.fabric)
        assert by_member[name] == pytest.approx(sums.mae(), rel=1e-6)
        total += [float(one.sum()) for one in sums.sums[:3]]
    assert scores.mae == pytest.approx(total[0] / total[2], rel=1e-6)
    # The two differ a hundredfold in their unit, and the pooled error shows it.
    assert by_member["toy_big"] > 10 * by_member["toy_small"]


def test_standardised_errors_are_free_of_units(union_data, values):
    values["datasets"]["cities"] |= {"loss_units": "standardised"}
    engine = opened(values)
    observed: dict[int, list[float]] = {7: [], 4: []}
    engine.pruner.observe = lambda indices, errors, mask: observed[errors.shape[2]].append(
        float(errors.sum() / mask.sum())
    )
    record = engine.train_epoch()
    assert 0.3 < np.mean(observed[7]) / np.mean(observed[4]) < 3
    total, count = 0.0, 0.0
    for name, part in engine.members:
        engine.network.use_graph(name, part.adjacency)
        sums = evaluate(engine.network, part.validation, 50, 1.0, engine.fabric)
        total += float(sums.sums[0].sum() / part.validation.scaler.std[0])
        count += float(sums.sums[2].sum())
    assert record.validation_mae == pytest.approx(total / count, rel=1e-6)


@pytest.mark.parametrize(
    ("pruner", "quota"), [("st_prune", "per_dataset"), ("random_dynamic", "union")]
)
def test_a_stopped_run_ends_as_an_undisturbed_one(values, pruner, quota):
    values["pruners"] = {pruner: {"quota": quota}}
    values["training"]["epochs"] = 5
    config, key = union_config(values), KEY._replace(pruner=pruner, prune_ratio=0.6)
    expected = train(config, key, [])
    disturbed = elsewhere(config, "disturbed")
    record = train_with_stops(disturbed, key, [1, 3])
    assert record.resumed == 2
    assert record.transfer == expected.transfer
    assert record.scores_by_rule == expected.scores_by_rule
    assert_same_outcome(disturbed, config, key)
    kept = [experiment_layout(each).kept(key).read_bytes() for each in (config, disturbed)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("pruner", ["st_prune", "infobatch", "ucb"])
def test_each_data_set_keeps_its_own_share(values, pruner):
    values["pruners"] = {pruner: {"quota": "per_dataset"}}
    config, key = union_config(values), KEY._replace(pruner=pruner, prune_ratio=0.6)
    engine = opened(values, key)
    assert isinstance(engine.pruner, PerDatasetPruner)
    train(config, key, [])
    kept = read_kept(experiment_layout(config).kept(key)).kept
    assert kept[:, :BIG].sum(1).tolist() == [BIG, 116, 116, BIG]
    assert kept[:, BIG:].sum(1).tolist() == [SMALL, 39, 39, SMALL]


def test_hours_are_compared_within_a_data_set(values):
    for quota, apart in (("union", 48), ("per_dataset", 0)):
        values["pruners"] = {"st_prune": {"quota": quota, "options": {"relative": "ratio"}}}
        engine = opened(values, KEY._replace(pruner="st_prune", prune_ratio=0.5))
        pruner = engine.pruner
        members = pruner.members if isinstance(pruner, PerDatasetPruner) else [pruner]
        periods = np.concatenate([one.periods for one in members])
        expected = calendar_periods(engine.data.train_times)
        expected[BIG:] += apart
        np.testing.assert_array_equal(periods, expected)


def test_held_out_data_are_tested_once_and_never_trained_on(values):
    values["datasets"]["cities"]["linear_probe"] = {"epochs": 3}
    config = union_config(values)
    record = train(config, KEY, [])
    away = record.transfer["toy_away"]
    assert away.linear_probe.windows == away.zero_shot.windows == EACH
    # Three epochs of the last layer bring the model nearer.
    assert away.linear_probe.mae < away.zero_shot.mae
    assert record.data["held_out"]["toy_away"]["nodes"] == SIZES["toy_away"][0]
    # Asking for neither changes nothing else.
    values["datasets"]["cities"] = {"union": values["datasets"]["cities"]["union"]}
    alone = train(elsewhere(union_config(values), "alone"), KEY, [])
    assert alone.transfer == {}
    assert alone.test == record.test
    assert alone.validation_mae == record.validation_mae


def test_a_linear_probe_trains_nothing_but_the_head(values):
    values["datasets"]["cities"]["linear_probe"] = {"epochs": 1}
    engine = opened(values)
    engine.train_epoch()
    engine.test()
    before = {name: tensor.clone() for name, tensor in engine.network.state_dict().items()}
    state = torch.get_rng_state()
    first, second = held_out_scores(engine), held_out_scores(engine)
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in engine.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.requires_grad for parameter in engine.network.parameters())


def test_members_take_over_what_they_do_not_say(values):
    values["datasets"]["cities"] |= {"days": 20, "window_stride": 7, "evaluation_stride": 5}
    config = union_config(values)
    # What is written by the workflow is read back by the runs.
    again = union_config(config.model_dump(mode="json"))
    entry = again.datasets["cities"]
    assert [member.days for member in entry.union] == [20, 20]
    assert [member.window_stride for member in entry.union] == [7, 3]
    assert run_spec(config, KEY).fingerprint == run_spec(again, KEY).fingerprint
    data = open_run_data(run_spec(config, KEY), data_layout(config), torch.device("cpu"))
    # 457 windows of 20 days: 274 train, of which every 7th; 92 validate, of which every 5th.
    assert data.description["members"]["toy_big"]["train_windows"] == 40
    assert data.description["members"]["toy_small"]["train_windows"] == 92
    assert data.description["members"]["toy_big"]["validation_windows"] == 19
    assert sum(len(member.validation) for member in data.members.values()) == 38


@pytest.mark.parametrize(
    ("change", "backbone", "words"),
    [
        ({"dataset": "toy_big"}, None, "`dataset` or `union`"),
        ({"union": []}, None, "`union`"),
        ({"union": ["toy_big", "toy_big"]}, None, "repeat"),
        ({"zero_shot": ["toy_big"]}, None, "repeat"),
        ({"zero_shot": [], "linear_probe": {"epochs": 1}}, None, "`zero_shot`"),
        ({"union": ["toy_bigg"]}, None, "did you mean `toy_big`"),
        ({"union": [{"dataset": "toy_big", "node_strid": 2}]}, None, "did you mean `node_stride`"),
        ({"union": ["toy_big", "los_loop"]}, None, "toy_big: 60 min, los_loop: 5"),
        ({"training": {"budget": "steps"}}, None, "budget"),
        ({"loss_units": "relative"}, None, "loss_units"),
        ({"linear_probe": {"epochs": 1}}, "lstm", "linear_probe"),
        ({}, "stid", "`stid`"),
        ({}, "last_value", "`last_value`"),
    ],
)
def test_a_union_that_cannot_be_is_refused(values, change, backbone, words):
    values["datasets"]["cities"] |= change
    if backbone is not None:
        values["backbones"] = {backbone: None}
    with pytest.raises(ConfigError, match=words):
        union_config(values)


def test_pruners_that_cannot_decline_before_training(values):
    graph = {"pruner": "st_prune", "options": {"spatial": "graph"}}
    values["pruners"] = {"el2n": None, "graph": graph}
    config = union_config(values)
    for pruner in values["pruners"]:
        with pytest.raises(DeclinedError):
            train(config, KEY._replace(pruner=pruner, prune_ratio=0.6), [])
    assert files_below(experiment_layout(config).root) == []
