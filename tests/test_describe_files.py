"""`stprune data describe` and `overview`: from the command line to files and figures."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy
import yaml
from toy import canonical, day_times
from toy_runs import contents, key_of

from stprune.__main__ import main
from stprune.base.errors import DataError
from stprune.base.layout import DATA, RECORDS, DataLayout
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.card import load_card
from stprune.data.prepare import prepare
from stprune.describe import FILES
from stprune.describe.description import (
    Description,
    describe,
    read_description,
    read_descriptions,
    write_description,
)
from stprune.describe.products import DATA_FIGURES, data_drawings, data_tables, make_overview
from stprune.paper.figures import paper_style
from stprune.paper.tables import to_markdown
from stprune.training.run import train

MIRROR = os.environ.get("STPRUNE_MIRROR")
DESCRIPTIONS = RECORDS / DATA
SMALL = {"history": 4, "horizon": 4}


def noise(steps: int, nodes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(size=(steps, nodes, 1))


def described(name: str, nodes: int = 3, days: int = 15) -> Description:
    """Noise around a daily wave."""
    wave = 5 + np.sin(np.arange(24 * days) * 2 * np.pi / 24)[:, None, None]
    description = describe(name, canonical(wave + noise(24 * days, nodes)), **SMALL)
    description.facts["card"]["title"] = name.title()
    return description


def records(folder: Path, *descriptions: Description) -> Path:
    for one in descriptions:
        write_description(one, folder / one.facts["dataset"])
    return folder


def test_all_files_are_written_and_are_the_same_every_time(toy_data, tmp_path, capsys):
    words = ["data", "describe", "toy", "--data-directory", str(toy_data), "--output"]
    assert main([*words, str(tmp_path / "first")]) == 0
    assert str(tmp_path / "first" / "redundancy.png") in capsys.readouterr().out
    first = contents(tmp_path / "first")
    assert {name for name in first if not name.endswith(".csv")} == set(FILES)
    facts = json.loads(first["description.json"])
    assert facts["looked_at"]["nodes"] == toy.NODES
    assert facts["looked_at"]["training_windows"] == round(0.6 * (toy.STEPS - 23))
    zeros = toy.toy_series() == 0
    assert facts["key_numbers"]["missing rate"] == pytest.approx(zeros.mean())
    assert main([*words, str(tmp_path / "second"), "--tables-only"]) == 0
    assert contents(tmp_path / "second").items() <= first.items()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nothing"], "`nothing`"),
        (["toy", "--channel", "flow"], "`flow`"),
        (["toy", "--horizon", "2000"], "2012"),
        (["toy", "--run", "nowhere.json"], "nowhere.json"),
        (["sim_city_1"], "sim_city_1"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(words, named, toy_data, tmp_path, capsys):
    place = ["--data-directory", str(toy_data), "--output", str(tmp_path / "out")]
    assert main(["data", "describe", *words, *place]) == 1
    errors = capsys.readouterr().err
    assert named in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def never_observed() -> CanonicalDataset:
    mask = np.ones((80, 3, 1), bool)
    mask[:, 1] = False
    mask[5:9, 0] = False
    return canonical(noise(80, 3), mask)


AWKWARD: dict[str, Callable[[], CanonicalDataset]] = {
    "alone": lambda: canonical(noise(80, 1)),
    "constant": lambda: canonical(np.full((80, 3, 1), 1013.7)),
    "hole": never_observed,
    "nights": lambda: canonical(noise(6 * 18, 2), timestamps=day_times(6)),
    "shortest": lambda: canonical(noise(11, 2)),
}


def test_awkward_data_are_described_and_compared_without_numbers_made_up(tmp_path):
    every = {name: describe(name, make(), **SMALL) for name, make in AWKWARD.items()}
    numbers = {name: one.facts["key_numbers"] for name, one in every.items()}
    for name in ("alone", "constant"):
        assert numbers[name]["median correlation of nodes, all pairs"] is None
    assert numbers["constant"]["effective rank of windows"] is None
    assert numbers["constant"]["autocorrelation after a step"] is None
    assert numbers["constant"]["gini of first_difference"] is None
    assert numbers["hole"]["missing rate"] == pytest.approx(84 / 240)
    assert math.isnan(every["hole"].tables["by_node"]["mean"][1])
    # A day has 18 hours and 11 windows; of neighbouring windows some lie on two sides of a night.
    windows = every["nights"].facts["looked_at"]["training_windows"]
    apart = (windows - 1) // 11 / (windows - 1)
    overlap = numbers["nights"]["overlap of neighbouring windows"]
    assert overlap == pytest.approx(7 / 8 * (1 - apart))
    written = read_descriptions(records(tmp_path, *every.values()))
    for before, after in zip(every.values(), written, strict=True):
        assert before.facts == after.facts
    for drawing in data_drawings(written).values():
        drawing.figure.draw_without_rendering()
    tables = data_tables(written)
    table = tables["redundancy"].frame.set_index("dataset")
    assert np.isnan(table.loc["constant", "window_rank"])
    assert np.isnan(table.loc["alone", "neighbours"])
    sizes = tables["datasets"].frame.set_index("dataset")
    assert sizes.loc["hole", "missing_percent"] == pytest.approx(100 * 84 / 240)
    assert "nan" not in to_markdown(tables["redundancy"])


def test_every_figure_of_data_names_its_axes_and_keeps_words_apart():
    every = [described("first"), described("second", nodes=5)]
    for drawing in data_drawings(every).values():
        assert drawing.caption
        drawing.figure.draw_without_rendering()
        boxes = [legend.get_window_extent() for legend in drawing.figure.legends]
        boxes += [box for axes in drawing.figure.axes if (box := axes.get_tightbbox()) is not None]
        for position, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.x1 <= drawing.figure.bbox.x1
            assert not any(box.overlaps(other) for other in boxes[position + 1 :])
        for axes in drawing.figure.axes:
            assert axes.get_ylabel() or not axes.get_yticks().size


def test_what_a_run_hides_is_in_its_description_and_in_the_comparison(toy_values, tmp_path):
    toy_values["training"] |= {"epochs": 1, "history": 6, "horizon": 6}
    toy_values["keep_weights"] = True
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    metrics = experiment_layout(config).metrics(key_of("full"))
    folder = tmp_path / "records" / toy.DATASET
    words = ["data", "describe", "toy", "--config", str(path), "--run", str(metrics)]
    words += ["--split", "test", "--tables-only", "--output", str(folder)]
    assert main(words) == 0
    records(tmp_path / "records", described("wave"))
    one, wave = read_descriptions(tmp_path / "records")
    assert one.facts["masking"].items() >= {"split": "test", "nodes": toy.NODES}.items()
    assert one.facts["options"]["history"] == 6
    masking = one.tables["masking"]
    assert masking["windows"].sum() == one.facts["masking"]["windows"]
    with paper_style():
        drawing = DATA_FIGURES.module("averaging_masking").build([wave, one])
    assert "toy/stid/full/p0/s0" in drawing.caption
    (line, _) = drawing.figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), 100 * masking["large_share"])
    make_overview(tmp_path / "records", tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "averaging_masking.png").exists()


def test_the_descriptions_of_the_project_are_of_its_cards():
    every = read_descriptions(DESCRIPTIONS)
    assert sum("masking" in one.facts for one in every) >= 2
    for one in every:
        card, facts = load_card(one.facts["dataset"]), one.facts["card"]
        assert (facts["nodes"], facts["steps"]) == (card.nodes, card.steps)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not MIRROR, reason="the published files are only there with STPRUNE_MIRROR")
@pytest.mark.parametrize("name", ["los_loop", "hangzhou_metro"])
def test_the_descriptions_of_the_project_are_those_of_the_published_files(name, tmp_path):
    dataset = read_canonical(prepare(name, DataLayout(tmp_path / "data"), MIRROR))
    found = describe(name, dataset)
    kept = read_description(DESCRIPTIONS / name)
    assert kept.facts["checksum"] == found.facts["checksum"]
    for table in found.tables:
        pd.testing.assert_frame_equal(
            kept.tables[table], found.tables[table], rtol=1e-4, atol=1e-5, check_dtype=False
        )


def test_a_mistake_in_the_records_is_named(tmp_path):
    with pytest.raises(DataError):
        read_descriptions(tmp_path)
    folder = records(tmp_path / "records", described("wave"))
    facts = folder / "wave" / "description.json"
    whole = json.loads(facts.read_text(encoding="utf-8"))
    del whole["card"]
    for text in (json.dumps(whole), "{", "[]"):
        facts.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=r"description\.json"):
            read_descriptions(folder)
