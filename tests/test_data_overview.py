"""Figures and tables that compare data sets, from the files of their descriptions."""

from __future__ import annotations

import json
import os
from dataclasses import replace
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
from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout
from stprune.data.canonical import read_canonical
from stprune.data.card import load_card
from stprune.data.prepare import prepare
from stprune.describe.describe import DescriptionOptions, describe
from stprune.describe.described import Description
from stprune.describe.products import (
    DATA_FIGURES,
    DESCRIPTIONS,
    make_overview,
    overview_drawings,
    overview_tables,
)
from stprune.describe.read import read_description, read_descriptions
from stprune.describe.write import write_description
from stprune.paper.tables import to_markdown
from stprune.training.run import train

MIRROR = os.environ.get("STPRUNE_MIRROR")
SMALL = DescriptionOptions(history=4, horizon=4)


def described(name: str, seed: int, nodes: int = 3, days: int = 15) -> Description:
    """Noise around a daily wave."""
    rng = np.random.default_rng(seed)
    wave = 5 + np.sin(np.arange(24 * days) * 2 * np.pi / 24)[:, None, None]
    dataset = canonical(wave + rng.normal(size=(24 * days, nodes, 1)))
    description = describe(name, dataset, SMALL)
    description.facts["card"]["title"] = name.title()
    return replace(description, title=name.title())


def records(folder: Path, *descriptions: Description) -> Path:
    for one in descriptions:
        write_description(one, folder / one.facts["dataset"], figures=False)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = described("wave", 0)
    records(tmp_path, one)
    found = read_description(tmp_path / "wave")
    assert found.facts == one.facts
    assert set(found.tables) == set(one.tables)
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(
            found.tables[name], table, rtol=1e-5, check_dtype=False, obj=name
        )


@pytest.mark.slow
def test_figures_and_tables_are_the_same_from_records_as_from_data(tmp_path: Path) -> None:
    every = [described("first", 0), described("second", 1, nodes=5)]
    records(tmp_path / "records", *every)
    written = read_descriptions(tmp_path / "records")
    made = make_overview(written, tmp_path / "one")
    make_overview(written, tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert {f"figures/{name}.png" for name in made["figures"]} <= set(files(tmp_path / "one"))
    direct, read = overview_tables(every), overview_tables(written)
    for name, table in direct.items():
        pd.testing.assert_frame_equal(read[name].frame, table.frame, rtol=1e-4, check_dtype=False)


@pytest.mark.parametrize("name", DATA_FIGURES.ids())
def test_every_figure_of_data_names_its_axes_and_keeps_words_apart(name: str) -> None:
    every = [described("first", 0), described("second", 1, nodes=5)]
    drawing = overview_drawings(every)[name]
    module = DATA_FIGURES.module(name)
    assert module.TITLE
    assert drawing.caption
    assert drawing.alt
    drawing.figure.draw_without_rendering()
    boxes = [legend.get_window_extent() for legend in drawing.figure.legends]
    boxes += [box for axes in drawing.figure.axes if (box := axes.get_tightbbox()) is not None]
    for position, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= drawing.figure.bbox.x1
        for other in boxes[position + 1 :]:
            assert not box.overlaps(other)
    for axes in drawing.figure.axes:
        assert axes.get_ylabel() or not axes.get_yticks().size


def test_awkward_data_are_compared_without_numbers_made_up(tmp_path: Path) -> None:
    hole = np.random.default_rng(2).normal(size=(80, 3, 1))
    mask = np.ones(hole.shape, bool)
    mask[:, 1] = False
    mask[5:9, 0] = False
    awkward = {
        "constant": canonical(np.full((80, 3, 1), 7.0)),
        "alone": canonical(hole[:, :1]),
        "hole": canonical(hole, mask),
        "nights": canonical(hole[:72, :2], timestamps=day_times(4)),
    }
    every = [describe(name, dataset, SMALL) for name, dataset in awkward.items()]
    records(tmp_path / "records", *every)
    written = read_descriptions(tmp_path / "records")
    for drawing in overview_drawings(written).values():
        drawing.figure.draw_without_rendering()
    tables = overview_tables(written)
    table = tables["redundancy"].frame.set_index("dataset")
    assert np.isnan(table.loc["constant", "window_rank"])
    assert np.isnan(table.loc["alone", "neighbours"])
    sizes = tables["datasets"].frame.set_index("dataset")
    assert sizes.loc["hole", "missing_percent"] == pytest.approx(100 * (80 + 4) / 240)
    assert "nan" not in to_markdown(tables["redundancy"])


def test_the_figure_of_masking_says_which_run_it_is_of(
    toy_values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_values["training"] |= {"epochs": 1}
    toy_values["keep_weights"] = True
    config = parse_config(toy_values, "the toy configuration")
    train(config, key_of("full"), ())
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    metrics = experiment_layout(config).metrics(key_of("full"))
    folder = tmp_path / "records" / toy.DATASET
    words = ["data", "describe", "toy", "--config", str(path), "--run", str(metrics)]
    assert main([*words, "--tables-only", "--output", str(folder)]) == 0
    assert {one.suffix for one in folder.iterdir()} == {".csv", ".json"}
    records(tmp_path / "records", described("wave", 0))
    given = ["--descriptions", str(tmp_path / "records"), "--output", str(tmp_path / "out")]
    assert main(["data", "overview", *given]) == 0
    assert str(tmp_path / "out" / "figures" / "averaging_masking.png") in capsys.readouterr().out
    drawing = overview_drawings(read_descriptions(tmp_path / "records"))["averaging_masking"]
    assert "Toy: run toy/stid/full/p0/s0" in drawing.caption
    assert "No run was analysed of Wave." in drawing.caption
    masking = pd.read_csv(folder / "masking.csv")
    own = masking[(masking["of"] == "own node") & (masking["quantile"] == 0.95)]
    line = drawing.figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), 100 * own["large_share"])


def test_the_descriptions_of_the_project_make_every_figure_and_table() -> None:
    every = read_descriptions(DESCRIPTIONS)
    assert len(every) >= 5
    table = overview_tables(every)["datasets"].frame.set_index("dataset")
    for name in table.index:
        card = load_card(name)
        assert (table["nodes"][name], table["steps"][name]) == (card.nodes, card.steps)
    analysed = [one for one in every if "masking" in one.facts]
    assert len(analysed) >= 2


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not MIRROR, reason="the published files are only there with STPRUNE_MIRROR")
@pytest.mark.parametrize("name", ["los_loop", "hangzhou_metro"])
def test_the_descriptions_of_the_project_are_those_of_the_published_files(
    name: str, tmp_path: Path
) -> None:
    dataset = read_canonical(prepare(name, DataLayout(tmp_path / "data"), MIRROR))
    found = describe(name, dataset, DescriptionOptions())
    kept = read_description(DESCRIPTIONS / name)
    assert kept.facts["checksum"] == found.facts["checksum"]
    for table in found.tables:
        pd.testing.assert_frame_equal(
            kept.tables[table], found.tables[table], rtol=1e-4, atol=1e-5, check_dtype=False
        )


def test_a_mistake_in_the_records_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "overview", "--output", str(tmp_path / "out"), "--descriptions"]
    assert main([*words, str(tmp_path)]) == 1
    folder = records(tmp_path / "records", described("wave", 0))
    facts = folder / "wave" / "description.json"
    whole = json.loads(facts.read_text(encoding="utf-8"))
    facts.write_text(json.dumps({k: v for k, v in whole.items() if k != "card"}), encoding="utf-8")
    assert main([*words, str(folder)]) == 1
    facts.write_text("{", encoding="utf-8")
    assert main([*words, str(folder)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "no data set is described in" in errors[0]
    assert "has no `card`" in errors[1]
    assert "is no JSON" in errors[2]
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="there is no description in"):
        read_description(tmp_path)
