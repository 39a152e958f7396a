"""Whole runs on the toy data: record, repeatability, times, resuming, and how runs fail."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from toy_runs import (
    PRUNERS_WITH_RATIO,
    Listener,
    StoppedError,
    assert_same_outcome,
    elsewhere,
    files_below,
    key_of,
    outcome,
    train_with_stops,
)

from stprune.base.errors import CheckpointError, ConfigError, TrainingDivergedError
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout, run_keys
from stprune.records.run import RunRecord, read_epochs, read_record
from stprune.training import run
from stprune.training.checkpoint import previous_checkpoint
from stprune.training.rerun import compare_runs
from stprune.training.run import train

FILES = ["epochs.csv", "kept.npz", "metrics.json"]


@pytest.mark.parametrize("pruner", ["full", *PRUNERS_WITH_RATIO])
def test_a_run_leaves_a_whole_record(all_pruners, toy_forecast, pruner):
    key, listener = key_of(pruner), Listener()
    returned = train(all_pruners, key, [listener])
    layout = experiment_layout(all_pruners)
    record = read_record(layout.metrics(key))
    assert record == returned
    json.dumps(record.model_dump(mode="json"), allow_nan=False)
    assert files_below(layout.root) == FILES
    epochs = read_epochs(layout.run(key) / "epochs.csv")
    # 2 full epochs and 4 that keep 0.4: 3.6 in all.
    count = 4 if pruner == "full_fewer_epochs" else 6
    assert epochs["epoch"].tolist() == list(range(count))
    told = [f"started {count}", *(f"epoch {epoch}" for epoch in range(count)), "finished"]
    assert listener.told == told
    assert record.test.windows == len(toy_forecast.test)
    assert record.cost.training_windows == len(toy_forecast.train)
    assert record.cost.windows_visited == epochs["windows"].sum()
    assert record.validation_mae == epochs["validation_mae"].min()
    assert record.best_epoch == epochs["validation_mae"].idxmin()
    assert record.config["pruner"]["id"] == pruner
    assert record.environment["threads"] == 1
    assert record.data["checksum"] == toy_forecast.description["checksum"]
    assert record.resumed == 0
    if pruner == "st_prune":
        # 289 windows, 0.4 of them 116; in batches of at most 32.
        assert epochs["windows"].tolist() == [289, 116, 116, 116, 116, 289]
        assert epochs["gradient_steps"].tolist() == [10, 4, 4, 4, 4, 10]
        assert record.cost.realised_keep_ratio == pytest.approx(116 / 289)
        assert record.cost.overall_keep_ratio == pytest.approx((2 * 289 + 4 * 116) / (6 * 289))


def test_without_pruning_every_pruner_is_full_training(all_pruners):
    train(all_pruners, key_of("full"), [])
    expected, expected_epochs = outcome(all_pruners, key_of("full"))
    # Of all pruners the selections are the same; here a static one's model must not draw.
    for pruner in ("el2n", "st_prune", "infobatch"):
        train(all_pruners, key_of(pruner, 0.0), [])
        results, epochs = outcome(all_pruners, key_of(pruner, 0.0))
        assert results == expected, pruner
        pd.testing.assert_frame_equal(epochs, expected_epochs, check_exact=True)


def test_the_ledger_adds_up(all_pruners):
    key = key_of("el2n")
    cost = train(all_pruners, key, []).cost
    epochs = read_epochs(experiment_layout(all_pruners).run(key) / "epochs.csv")
    parts = ["data_seconds", "step_seconds", "scoring_seconds", "selection_seconds"]
    assert (epochs[[*parts, "validation_seconds"]] > 0).all(axis=None)
    assert epochs[parts].sum(axis=1).tolist() == pytest.approx(epochs["train_seconds"].tolist())
    # A checkpoint is charged to the epoch after it.
    assert (epochs["checkpoint_seconds"] > 0).tolist() == [False] + [True] * 5
    # The scoring model's two epochs are part of the run.
    assert cost.preparation_seconds > epochs["train_seconds"].min()
    training = cost.preparation_seconds + epochs["train_seconds"].sum()
    assert cost.train_seconds == pytest.approx(training)
    assert cost.total_seconds == pytest.approx(epochs["elapsed_seconds"].iloc[-1])
    assert epochs["elapsed_seconds"].is_monotonic_increasing
    assert cost.test_seconds > 0


@pytest.mark.parametrize(
    ("rate", "training"),
    # The last is one batch an epoch: its loss is finite, but the weights after its step are not.
    [(1e30, {"epochs": 6}), (1e38, {"epochs": 1, "batch_size": 1000})],
)
def test_a_diverging_run_leaves_no_record(toy_values, rate, training):
    optimisation = {"learning_rate": rate, "optimiser": "sgd", "clip_norm": 0.0}
    toy_values["backbones"]["stid"]["optimisation"] = optimisation
    toy_values["training"] |= training
    config, listener = parse_config(toy_values, "the toy configuration"), Listener()
    with pytest.raises(TrainingDivergedError, match="toy/stid/full/p0/s0"):
        train(config, key_of("full"), [listener])
    assert listener.told[-1] == "failed TrainingDivergedError"
    assert files_below(experiment_layout(config).root) in ([], ["last.pt"])


def test_checkpoints_take_a_small_share_of_the_time(toy_config, monkeypatch):
    saved: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: float(len(listener.told)))  # a second an epoch
    monkeypatch.setattr(run, "time", clock)
    monkeypatch.setattr(run, "save_checkpoint", lambda *_: saved.append(clock.monotonic()))
    for limit, costs, epochs in ((10.0, 1e9, 1), (2.0, 1e9, 2), (10.0, 0, 4)):
        monkeypatch.setattr(run, "SAVE_SECONDS", limit)
        monkeypatch.setattr(run, "SAVE_COSTS", costs)
        listener = Listener()
        train(elsewhere(toy_config, f"every {limit} {costs}"), key_of("full"), [listener])
        assert len(saved) == epochs
        saved.clear()


def test_validation_can_be_rarer_and_end_the_run_early(toy_values):
    toy_values["training"] |= {"epochs": 5, "validate_every": 2}
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), [])
    _, epochs = outcome(config, key_of("full"))
    assert epochs["validation_mae"].dropna().index.tolist() == [1, 3, 4]
    # At so high a rate some epoch soon is the best for two more.
    toy_values["backbones"]["stid"]["optimisation"] = {"learning_rate": 0.5}
    toy_values["training"] = {"epochs": 40, "patience": 2, "batch_size": 32}
    patient = elsewhere(parse_config(toy_values, "the toy configuration"), "patient")
    record = train(patient, key_of("full"), [])
    assert record.cost.epochs == record.best_epoch + 1 + 2 < 40
    # Testing uses the weights of the best epoch, as if training had ended there.
    toy_values["training"] = {"epochs": record.best_epoch + 1, "batch_size": 32}
    ended = elsewhere(parse_config(toy_values, "the toy configuration"), "ended")
    assert train(ended, key_of("full"), []).test == record.test


@pytest.mark.parametrize("pruner", ["full", "el2n", "infobatch", "st_prune"])
def test_a_stopped_run_ends_as_undisturbed(all_pruners, pruner):
    key, disturbed = key_of(pruner), elsewhere(all_pruners, "disturbed")
    train(all_pruners, key, [])
    layout, listener = experiment_layout(disturbed), Listener(2)
    other = all_pruners.training.model_copy(update={"batch_size": 16})
    with pytest.raises(StoppedError):  # a changed configuration starts anew
        train(disturbed.model_copy(update={"training": other}), key, [Listener(0)])
    with pytest.raises(StoppedError):
        train(disturbed, key, [listener])
    assert listener.told[-1] == "failed StoppedError"
    assert files_below(layout.root) == ["last.pt", "previous.pt"]
    assert train_with_stops(disturbed, key, [5]).resumed == 2
    assert files_below(layout.root) == FILES
    undisturbed = experiment_layout(all_pruners).kept(key)
    assert layout.kept(key).read_bytes() == undisturbed.read_bytes()
    assert_same_outcome(disturbed, all_pruners, key)


IMPUTE = {"task": "impute", "task_options": {"points": 0.2, "show_hidden": True}}
FEW_SHOT = {"task": "few_shot", "task_options": {"share": 0.4}}
CUTS = {"learning_rate": 5e-3, "milestones": [3], "gamma": 0.5}


@pytest.mark.parametrize(
    ("entry", "protocol", "optimisation"),
    [
        (IMPUTE, "paper", CUTS | {"optimiser": "muon"}),
        (FEW_SHOT, "legacy", CUTS | {"optimiser": "sgd"}),
        ({}, "strict", {"learning_rate": 0.01, "schedule": "cosine"}),
    ],
)
def test_a_stopped_run_of_another_kind_ends_as_undisturbed(
    toy_values, entry, protocol, optimisation
):
    toy_values |= {"datasets": {"toy": entry}, "protocol": protocol}
    toy_values["backbones"]["stid"]["optimisation"] = optimisation
    config = parse_config(toy_values, "the toy configuration")
    key, disturbed = key_of("st_prune", 0.5), elsewhere(config, "disturbed")
    record = train(config, key, [])
    train_with_stops(disturbed, key, [0, 2])
    assert_same_outcome(disturbed, config, key)
    _, epochs = outcome(config, key)
    assert epochs["train_loss"].iloc[-1] < epochs["train_loss"].iloc[0]
    assert set(record.scores_by_rule) == {"paper", "st_ttc", "largest", "opencity"}
    rule = "st_ttc" if protocol == "legacy" else "paper"
    assert record.test == record.scores_by_rule[rule]


@pytest.mark.parametrize("damage", ["cut", "a bit", "gone"])
def test_a_damaged_checkpoint_costs_an_epoch(all_pruners, damage):
    key, disturbed = key_of("st_prune"), elsewhere(all_pruners, "disturbed")
    train(all_pruners, key, [])
    with pytest.raises(StoppedError):
        train(disturbed, key, [Listener(3)])
    path = experiment_layout(disturbed).checkpoint(key)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # of a weight: nothing that the reader would stumble over
    path.write_bytes(content[:1000] if damage == "cut" else content)
    if damage == "gone":
        path.unlink()
    before = previous_checkpoint(path).read_bytes()
    if damage == "cut":  # a run never starts anew without a word where both are damaged
        previous_checkpoint(path).write_bytes(before[:1000])
        with pytest.raises(CheckpointError):
            train(disturbed, key, [])
        previous_checkpoint(path).write_bytes(before)
    listener = Listener()
    train(disturbed, key, [listener])
    assert len(listener.done) == 3
    assert_same_outcome(disturbed, all_pruners, key)


@pytest.mark.parametrize("backbone", ["historical_average", "last_value"])
def test_an_untrained_backbone_takes_one_pass(toy_values, backbone):
    toy_values |= {"backbones": {backbone: {}}, "pruners": {"full": {}, "random_dynamic": {}}}
    config = parse_config(toy_values, "here")
    (key,) = run_keys(config)
    assert key.pruner == "full"
    with pytest.raises(ConfigError):
        train(config, key._replace(pruner="random_dynamic", prune_ratio=0.5), [])
    record = train(config, key, [])
    epochs = read_epochs(experiment_layout(config).run(key) / "epochs.csv")
    assert record.parameters == record.cost.gradient_steps == 0
    assert epochs["validation_mae"].tolist() == [record.validation_mae]
    toy_values["pruners"] = {"random_dynamic": {}}
    with pytest.raises(ConfigError):
        run_keys(parse_config(toy_values, "here"))


def test_two_threads_change_nothing_but_rounding(toy_values):
    def made(experiment: str, threads: int) -> tuple[RunRecord, Path]:
        changes = {"experiment": experiment, "compute": {"own_cores": False, "threads": threads}}
        config, key = parse_config(toy_values | changes, "it"), key_of("st_prune", 0.5)
        return train(config, key, []), experiment_layout(config).metrics(key)

    two = made("two", 2)
    assert compare_runs(two, made("again", 2)).bit_equal
    found = compare_runs(made("one", 1), two)
    # Which windows are kept may hang on the last bit of a score; at this size none does.
    assert all(change.relative < 1e-4 for change in found.results), found.results[:5]
    names = {change.name for change in found.circumstances}
    assert {"fingerprint", "config.compute.threads"} <= names
