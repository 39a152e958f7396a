"""Which runs a job trains, which of them have a valid record, and when that is looked at again."""

import json
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toy_runs import key_of

from stprune.base.errors import UnknownNameError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout, run_keys
from stprune.records.timing import write_timing
from stprune.training.run import train
from stprune.training.timing import time_epochs
from stprune.workflow.blocks import ExperimentRecords, make_blocks
from stprune.workflow.plan import WorkflowPlan
from stprune.workflow.train import train_block, train_in_forks

FORK = get_context("fork")
KEY = key_of("st_prune", 0.5)
BLOCK = "toy/stid/s0"


@pytest.fixture
def layout(toy_config: ExperimentConfig) -> ExperimentLayout:
    """The experiment after one of its two runs."""
    train(toy_config, KEY, ())
    return experiment_layout(toy_config)


def missing(config: ExperimentConfig) -> dict[str, str]:
    return {key.path: why for key, why in ExperimentRecords(config).missing(BLOCK).items()}


def change_record(layout: ExperimentLayout, change: Callable[[dict[str, Any]], object]) -> None:
    path = layout.metrics(KEY)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        (None, {"s3": 3, "s1": 3, "s2": 3}),
        (3, {"s3": 3, "s1": 3, "s2": 3}),
        (7, {"s3-s1": 6, "s2": 3}),
        (100, {"s3-s2": 9}),
        (2, {"s3_1": 2, "s3_2": 1, "s1_1": 2, "s1_2": 1, "s2_1": 2, "s2_2": 1}),
    ],
)
def test_blocks_hold_every_run_once(toy_values, limit, sizes):
    """``full`` and ``st_prune`` at two ratios: three runs a seed."""
    values = toy_values | {"seeds": [3, 1, 2], "prune_ratios": [0.5, 0.9]}
    values["compute"] = {"runs_per_job": limit}
    blocks = make_blocks(parse_config(values, "three seeds"))
    assert {path: len(keys) for path, keys in blocks.items()} == {
        f"toy/stid/{name}": size for name, size in sizes.items()
    }
    assert len({key for keys in blocks.values() for key in keys}) == 9


def test_each_thing_a_result_depends_on_is_a_reason(toy_config, toy_values, layout):
    full = {"toy/stid/full/p0/s0": "no record"}
    assert missing(toy_config) == full
    longer = parse_config(toy_values | {"training": {"epochs": 5, "batch_size": 32}}, "longer")
    assert missing(longer)[KEY.path].startswith("configuration changed")
    change_record(layout, lambda values: values.update(source_digest="0"))
    assert missing(toy_config)[KEY.path].startswith("source code changed")
    change_record(layout, lambda values: values["data"].update(checksum="0"))
    assert missing(toy_config)[KEY.path].startswith("source code and data changed")
    change_record(layout, lambda values: values.update(record_version=0))
    assert missing(toy_config)[KEY.path].startswith("record damaged")


def test_a_run_needs_each_of_its_files_whole(toy_config, layout):
    for path in (layout.metrics(KEY), layout.run(KEY) / "epochs.csv", layout.kept(KEY)):
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        assert missing(toy_config)[KEY.path].startswith("record damaged")
        path.unlink()
        assert missing(toy_config)[KEY.path] == "no record"
        path.write_bytes(whole)


def test_a_stamp_holds_until_a_record_changes(toy_config, toy_values, layout):
    train(toy_config, key_of("full"), ())

    def note(config: ExperimentConfig) -> str | None:
        path = ExperimentRecords(config).outdated(BLOCK)
        return None if path is None else path.read_text()

    assert note(toy_config) is None
    ExperimentRecords(toy_config).write_stamp(BLOCK)
    assert note(toy_config) is None
    more = parse_config(toy_values | {"pruners": {"full": None}}, "fewer")
    assert "other runs" in (note(more) or "")
    longer = parse_config(toy_values | {"training": {"epochs": 5, "batch_size": 32}}, "longer")
    assert "2 to train" in (note(longer) or "")
    # The note stays, but is not written again while the stamp holds.
    first = note(toy_config)
    assert note(toy_config) == first
    layout.kept(KEY).unlink()
    assert "1 to train: no record" in (note(toy_config) or "")


def test_an_unknown_block_is_a_mistake(toy_values, tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(json.dumps(toy_values))
    with pytest.raises(UnknownNameError, match=BLOCK):
        train_block(path, "toy/stid/s9")


def test_as_many_runs_at_once_as_may_share_a_gpu(toy_values, monkeypatch):
    monkeypatch.setattr("stprune.workflow.plan.visible_gpus", lambda: ["GPU-a", "GPU-b"])
    compute = {"accelerator": "cuda", "runs_per_gpu": 3, "devices": 2, "threads": 4}
    values = toy_values | {"compute": compute, "seeds": [0, 1, 2]}
    plan = WorkflowPlan(values)
    assert (plan.block_threads, plan.block_gpus, plan.local_gpus) == (24, 2, 2)
    barrier = FORK.Barrier(3, timeout=60)

    def run(config_file: Path, config: ExperimentConfig, key: RunKey, log: Path) -> None:
        barrier.wait()
        if key.seed == 1:
            log.write_text("stprune: error: no\n")
            sys.exit(1)

    monkeypatch.setattr("stprune.workflow.train._run", run)
    keys = run_keys(plan.config)
    ended = dict(train_in_forks(Path(), plan.config, iter(keys)))
    assert ended.keys() == set(keys)
    assert {key.seed for key, problem in ended.items() if problem is not None} == {1}


def test_a_timing_is_outdated_with_its_pruners_sources_or_data(toy_config):
    path = experiment_layout(toy_config).timing("toy", "stid")

    def outdated() -> str | None:
        note = ExperimentRecords(toy_config).outdated_timing("toy", "stid")
        return note and note.read_text()

    assert outdated() is None
    record = time_epochs(toy_config, "toy", "stid")
    assert outdated() is None
    entry = record.entries[1].model_copy(update={"source_digest": "0" * 64})
    for change, named in (
        ({"data_checksum": "0" * 64}, "data"),
        ({"entries": [record.entries[0], entry]}, "source code"),
        ({"source_digest": "0" * 64}, "source code"),
        ({"entries": record.entries[:1]}, "configuration and source code"),
    ):
        write_timing(record.model_copy(update=change), pd.DataFrame(), path)
        assert f"Z {named} changed" in str(outdated()).replace("+00:00", "Z")
    path.write_text("{")
    assert str(path) in str(outdated())
