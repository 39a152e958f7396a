"""Tasks and protocols as a configuration asks for them, and which windows they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import NODES, STEPS, canonical, day_times, toy_series
from toy_union import KEY, union_config, union_values, write_union

from stprune.base.errors import ConfigError, StpruneError
from stprune.config.experiment import parse_config
from stprune.config.grid import run_keys, run_spec
from stprune.data.dataset import forecast_data
from stprune.data.tasks.base import TASKS, build_task
from stprune.data.windows import cut_splits, window_starts
from stprune.training.run import train

SHARES = (0.6, 0.2, 0.2)


def config(entry: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {
        "experiment": "t",
        "datasets": {"city": {"dataset": "sim_city_1", **entry}},
        "backbones": {"stid": None},
        "pruners": {"full": None},
        "prune_ratios": [0.5],
        "seeds": [0],
        **values,
    }


def test_few_shot_counts_as_st_ttc_does_or_the_training_windows() -> None:
    """PEMS08: 17,856 steps; 10 % of all its windows are 1,783, of its training windows 1,070."""
    splits = cut_splits("paper", np.arange(17_856 - 23), 24, 17_856, SHARES)
    for options, count in (
        ({"share": 0.1}, 1783),
        ({"share": 0.1, "of": "training_windows"}, 1070),
    ):
        assert build_task("few_shot", options).training_windows(splits) == range(count)
    for share in (0.7, 0.00001):
        with pytest.raises(ConfigError, match="1 to 10700"):
            build_task("few_shot", {"share": share}).training_windows(splits)


def test_few_shot_leaves_validation_and_test_and_scales_by_what_it_trains_on() -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(size=(400, 3, 1)).astype(np.float32) + np.arange(400)[:, None, None]
    task = build_task("few_shot", {"share": 0.1})
    few = forecast_data(canonical(series), history=4, horizon=2, task=task)
    full = forecast_data(canonical(series), history=4, horizon=2)
    assert len(few.train) == 40  # of 395 windows
    assert few.test.starts.equal(full.test.starts)
    assert few.validation.starts.equal(full.validation.starts)
    assert few.train.scaler.mean.item() == pytest.approx(series[:43].mean(), rel=1e-5)


def test_strict_cuts_the_series_like_the_large_graphs_of_st_ttc() -> None:
    """35,040 steps, 12 to 12: 21,001, 6,985 and 6,985 windows."""
    splits = cut_splits("strict", np.arange(35_040 - 23), 24, 35_040, SHARES)
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [21_001, 6_985, 6_985]
    with pytest.raises(ConfigError):
        cut_splits("strict", np.arange(77), 24, 100, SHARES)


@pytest.mark.parametrize("breaks", [False, True])
def test_strict_windows_share_no_step_with_another_split(breaks: bool) -> None:
    times = day_times(12) if breaks else None
    steps = len(times) if times is not None else 216
    series = np.random.default_rng(0).normal(size=(steps, 2, 1)).astype(np.float32)
    dataset = canonical(series, timestamps=times)
    strict = forecast_data(dataset, history=5, horizon=3, protocol="strict")
    covered = [
        np.unique(split.starts.numpy()[:, None] + np.arange(split.length))
        for split in (strict.train, strict.validation, strict.test)
    ]
    assert len(np.unique(np.concatenate(covered))) == sum(map(len, covered))
    # And nothing is left out that no cut crosses.
    starts = window_starts(dataset.timestamps, 8, 60)
    cuts = np.array([round(0.6 * steps), round(0.6 * steps) + round(0.2 * steps)])
    crossed = ((starts[:, None] < cuts) & (starts[:, None] + 8 > cuts)).any(1)
    assert sum(map(len, (strict.train, strict.validation, strict.test))) == (~crossed).sum()


def test_a_task_is_part_of_what_a_run_is() -> None:
    parts = {"task": "impute", "task_options": {"points": 0.5}}
    prints = set()
    for entry, protocol in (
        *(({}, "paper"), ({"task": "impute"}, "paper"), (parts, "paper")),
        *(({"task": "few_shot"}, "paper"), ({}, "strict")),
    ):
        parsed = parse_config(config(entry, protocol=protocol), "c.yaml")
        spec = run_spec(parsed, run_keys(parsed)[0])
        prints.add(spec.fingerprint)
        task = spec.resolved()["dataset"].get("task", "forecast")
        assert task == entry.get("task", "forecast")
    assert len(prints) == 5


@pytest.mark.parametrize(
    ("entry", "values", "says"),
    [
        ({"task": "imput"}, {}, "did you mean"),
        ({"task": "impute", "task_options": {"point": 0.2}}, {}, "did you mean"),
        ({"task": "impute", "task_options": {"points": 0}}, {}, "above 0"),
        ({"task": "impute", "training": {"horizon": 3}}, {}, "`training.horizon`"),
        ({"task": "impute"}, {"backbones": {"last_value": None}}, "`last_value`"),
        ({"task": "transfer"}, {}, "`zero_shot`"),
        ({"task": "transfer", "zero_shot": ["sim_city_2"]}, {}, "transferable"),
        ({"task": "impute"}, {"protocol": "legacy"}, "forecasts"),
        ({}, {"protocol": "legacy", "training": {"budget": "steps"}}, "budget"),
        ({}, {"protocol": "legacy", "compute": {"devices": 2}}, "device"),
        ({}, {"protocol": "lax"}, "protocol"),
        (
            {"dataset": None, "union": ["sim_city_1"], "task": "impute"},
            {"backbones": {"opencity": None}},
            "union",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    entry: dict[str, Any], values: dict[str, Any], says: str
) -> None:
    with pytest.raises(StpruneError, match=says) as caught:
        parse_config(config(entry, **values), "c.yaml")
    assert "\n" not in str(caught.value)


STEPS_IN, STEPS_OUT = 8, 8


@pytest.mark.parametrize("name", TASKS.ids())
def test_every_task_gives_batches_that_backbones_and_the_engine_take(name: str) -> None:
    series = toy_series()[:, :, None].astype("float32")
    opened, task = canonical(series, series != 0), build_task(name, {})
    data = forecast_data(opened, history=STEPS_IN, horizon=STEPS_OUT, task=task)
    stores = (data.train, data.validation, data.test)
    for store in stores:
        assert int(store.starts[0]) >= 0
        assert int(store.starts[-1]) + max(store.length, store.history) <= STEPS
        batch = store.gather(torch.tensor([0, len(store) - 1]))
        assert batch.inputs.shape == (2, STEPS_IN, NODES, data.channels)
        assert batch.targets.shape == batch.mask.shape == (2, STEPS_OUT, NODES)
        assert batch.time_of_day.shape == batch.day_of_week.shape == (2, STEPS_IN)
        assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.float32)
        assert batch.mask.dtype == torch.bool
        assert bool(batch.inputs.isfinite().all())
        assert bool(batch.mask.any())
    assert int(data.train.starts[-1]) < int(data.validation.starts[0])
    assert int(data.validation.starts[-1]) < int(data.test.starts[0])
    assert len(data.train_times) == len(data.train)
    # Targets are the series' values, and evaluation never changes.
    for store in stores[1:]:
        first = store.gather(torch.arange(3))
        store.begin_epoch(7)
        assert all(map(torch.equal, first, store.gather(torch.arange(3))))
        start = int(store.starts[0]) + store.target_offset
        values = store.series[start : start + STEPS_OUT, :, store.target_channel]
        assert torch.equal(first.targets[0], values)


def test_transfer_is_a_union_of_one_that_is_tested_on_the_other(tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    entry = {"dataset": "toy_small", "task": "transfer", "zero_shot": ["toy_away"]}
    values |= {"datasets": {"cities": entry}, "training": {"epochs": 1, "batch_size": 32}}
    record = train(union_config(values), KEY, [])
    assert set(record.test_groups) == {"toy_away"}
    assert record.test.mae == record.transfer["toy_away"].zero_shot.mae
    assert record.test.windows == record.data["test_windows"]
    assert record.data["target_unit"] == "units of its own"
    assert record.test == record.scores_by_rule["paper"]
    # Validation, which chooses the epoch, stays where the model is trained: a hundredth in size.
    assert record.validation_mae < 0.1 * (record.test.mae or 0)
    values["results_directory"] = str(tmp_path / "others")
    values["datasets"] = {"cities": {"union": ["toy_small"], "zero_shot": ["toy_away"]}}
    union = train(union_config(values), KEY, [])
    assert record.test.mae == union.transfer["toy_away"].zero_shot.mae
    assert record.validation_mae == pytest.approx(union.validation_mae)
