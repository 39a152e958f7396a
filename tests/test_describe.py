"""`stprune data describe` from the command line to its files, on data of every awkward kind."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy
import yaml
from toy import canonical, day_times
from toy_runs import key_of

from stprune.__main__ import main
from stprune.base.errors import ConfigError, DataError
from stprune.base.layout import DataLayout
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.prepare import prepare
from stprune.describe.describe import DescriptionOptions, describe
from stprune.describe.described import Description
from stprune.describe.files import NAMES
from stprune.describe.write import write_description
from stprune.training.run import train

MIRROR = os.environ.get("STPRUNE_MIRROR")
TABLES = {
    "autocorrelation",
    "by_node",
    "by_slot",
    "edges",
    "effective_rank",
    "excerpt",
    "gaps",
    "missing_by_hour",
    "node_stationarity",
    "node_stationarity_tail",
    "overlap",
    "places",
    "similarity",
    "spectrum",
    "stationarity",
    "stationarity_tail",
}
SMALL = DescriptionOptions(history=4, horizon=4)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def numbers(description: Description) -> dict[str, Any]:
    found: dict[str, Any] = description.facts["key_numbers"]
    return found


def test_all_files_are_written_and_are_the_same_every_time(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "describe", "toy", "--data-directory", str(toy_data), "--output"]
    assert main([*words, str(tmp_path / "first")]) == 0
    output = capsys.readouterr().out
    first = files(tmp_path / "first")
    figures = {f"{name}.{kind}" for name in ("redundancy", "statistics") for kind in ("pdf", "png")}
    assert set(first) == {f"{name}.csv" for name in TABLES} | figures | {"description.json"}
    assert set(NAMES) <= set(first)
    facts = json.loads(first["description.json"])
    assert facts["looked_at"]["nodes"] == toy.NODES
    assert facts["looked_at"]["training_windows"] == round(0.6 * (toy.STEPS - 23))
    zeros = toy.toy_series() == 0
    assert facts["key_numbers"]["missing rate"] == pytest.approx(zeros.mean())
    assert "overlap of neighbouring windows" in output
    assert str(tmp_path / "first" / "redundancy.png") in output
    assert main([*words, str(tmp_path / "second")]) == 0
    assert files(tmp_path / "second") == first


def test_the_description_lies_in_the_data_directory_unless_told(
    toy_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "describe", "toy", "--data-directory", str(toy_data)]
    assert main([*words, "--windows", "20", "--nodes", "3", "--seed", "5"]) == 0
    folder = toy_data / "described" / "toy"
    facts = json.loads((folder / "description.json").read_text(encoding="utf-8"))
    assert (facts["looked_at"]["windows"], facts["looked_at"]["nodes"]) == (20, 3)
    assert facts["options"]["seed"] == 5
    # Means are those of all nodes nevertheless.
    assert len(pd.read_csv(folder / "by_node.csv")) == toy.NODES
    assert "3 of 8 nodes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "unknown data set `nothing`"),
        (["toy", "--channel", "flow"], "unknown channel `flow` in Toy (known: load)"),
        (["toy", "--windows", "0"], "`windows`: Input should be greater than or equal to 1"),
        (["toy", "--horizon", "2000"], "no 2012 consecutive steps for a window among 504"),
        (["toy", "--run", "nowhere.json"], "there is no record nowhere.json"),
        (["sim_city_1"], "run `stprune data prepare sim_city_1`"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    words: list[str],
    message: str,
    toy_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    place = ["--data-directory", str(toy_data), "--output", str(output)]
    assert main(["data", "describe", *words, *place]) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not output.exists()


def noise(steps: int, nodes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(size=(steps, nodes, 1))


def one_node() -> CanonicalDataset:
    return canonical(noise(80, 1))


def constant() -> CanonicalDataset:
    return canonical(np.full((80, 3, 1), 1013.7))


def never_observed() -> CanonicalDataset:
    mask = np.ones((80, 3, 1), bool)
    mask[:, 1] = False
    return canonical(noise(80, 3), mask)


def shortest() -> CanonicalDataset:
    return canonical(noise(11, 2))


def nights_left_out() -> CanonicalDataset:
    return canonical(noise(6 * 18, 2), timestamps=day_times(6))


@pytest.mark.parametrize("make", [one_node, constant, never_observed, shortest, nights_left_out])
def test_awkward_data_are_described_without_numbers_made_up(make: Any, tmp_path: Path) -> None:
    description = describe("made", make(), SMALL)
    write_description(description, tmp_path)
    found = numbers(description)
    text = (tmp_path / "description.json").read_text(encoding="utf-8")
    assert json.loads(text)["key_numbers"] == found
    if make in (one_node, constant):
        assert found["median correlation of nodes, all pairs"] is None
    if make is constant:
        assert found["effective rank of windows"] is None
        assert found["autocorrelation after a step"] is None
        assert found["gini of first_difference"] is None
    if make is nights_left_out:
        # A day has 18 hours and 11 windows, none across the night.
        assert found["overlap of neighbouring windows"] == pytest.approx(
            7 / 8 * (1 - _share_of_nights(description))
        )
    if make is never_observed:
        assert found["missing rate"] == pytest.approx(1 / 3)
        assert math.isnan(description.tables["by_node"]["mean"][1])


def _share_of_nights(description: Description) -> float:
    """Of the pairs of neighbouring training windows, those on both sides of a night."""
    windows = description.facts["looked_at"]["training_windows"]
    return float((windows - 1) // 11 / (windows - 1))


def test_another_channel_is_described_in_its_unit() -> None:
    values = noise(80, 2)
    dataset = canonical(np.concatenate([values, 3 * values + 1], axis=2))
    first, second = (
        describe("made", dataset, SMALL.model_copy(update={"channel": name}))
        for name in ("c0", "c1")
    )
    np.testing.assert_allclose(
        second.tables["by_node"]["mean"], 3 * first.tables["by_node"]["mean"] + 1, rtol=1e-5
    )
    # Nothing of the rest has a unit.
    for name, value in numbers(first).items():
        assert numbers(second)[name] == pytest.approx(value, abs=1e-4)


def test_a_run_is_analysed_with_its_own_history_and_horizon(
    toy_values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_values["training"] |= {"epochs": 1, "history": 6, "horizon": 6}
    toy_values["keep_weights"] = True
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    metrics = experiment_layout(config).metrics(key_of("full"))
    words = ["data", "describe", "toy", "--config", str(path), "--run", str(metrics)]
    assert main([*words, "--split", "test", "--output", str(tmp_path / "out")]) == 0
    facts = json.loads((tmp_path / "out" / "masking.json").read_text(encoding="utf-8"))
    assert (facts["split"], facts["nodes"]) == ("test", toy.NODES)
    table = pd.read_csv(tmp_path / "out" / "masking.csv")
    assert table.groupby(["of", "quantile"])["windows"].sum().eq(facts["windows"]).all()
    assert (tmp_path / "out" / "masking.png").exists()
    assert (tmp_path / "out" / "masking.pdf").exists()
    described = json.loads((tmp_path / "out" / "description.json").read_text(encoding="utf-8"))
    assert described["options"]["history"] == 6
    assert str(tmp_path / "out" / "masking.png") in capsys.readouterr().out


@pytest.mark.real_data
@pytest.mark.skipif(not MIRROR, reason="the published files are only there with STPRUNE_MIRROR")
def test_los_loop_is_described_as_its_csv_is(tmp_path: Path) -> None:
    dataset = read_canonical(prepare("los_loop", DataLayout(tmp_path / "data"), MIRROR))
    description = describe("los_loop", dataset, DescriptionOptions(windows=64))
    series = pd.DataFrame(np.asarray(dataset.series[:, :, 0], np.float64))
    nodes = description.tables["by_node"]
    np.testing.assert_allclose(nodes["mean"], series.mean(), rtol=1e-6)
    np.testing.assert_allclose(nodes["std"], series.std(ddof=0), rtol=1e-5)
    pairs = series.corr().to_numpy()[np.triu_indices(series.shape[1], 1)]
    found = numbers(description)
    assert found["median correlation of nodes, all pairs"] == pytest.approx(
        np.median(pairs), abs=1e-5
    )
    assert found["missing rate"] == 0
    # Seven days: none has another of its weekday.
    assert found["median correlation of days, same weekday"] is None


def test_data_of_which_nothing_was_observed_are_refused() -> None:
    dataset = canonical(np.zeros((80, 2, 1)), np.zeros((80, 2, 1), bool))
    with pytest.raises(DataError, match="none of the 2 nodes drawn has an observed value of `c0`"):
        describe("made", dataset, SMALL)


def test_too_short_a_series_for_any_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="take a shorter history or horizon"):
        describe("made", canonical(noise(7, 2)), SMALL)
