"""What a data set is at a glance, by hand; and the figures and tables that compare data sets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toy
import yaml
from numpy.typing import NDArray
from toy import canonical, day_times
from toy_runs import key_of

from stprune.__main__ import main
from stprune.config import parse_config
from stprune.data.description.describe import Description, DescriptionOptions, describe
from stprune.data.description.overview import (
    edge_count,
    edge_table,
    excerpt,
    node_places,
    size_facts,
)
from stprune.data.description.read import read_description, read_descriptions
from stprune.data.description.sample import Sample
from stprune.data.description.stationarity_tail import node_percentiles
from stprune.data.description.write import write_description
from stprune.data_overview import (
    DATA_FIGURES,
    overview_drawings,
    overview_tables,
    write_overview,
)
from stprune.errors import DataError
from stprune.grid import experiment_layout
from stprune.run import train

IDS = ["s0", "s1", "s2", "s3"]
SMALL = DescriptionOptions(history=4, horizon=4)


def sample_of(
    values: NDArray[np.floating],
    adjacency: NDArray[np.floating] | None = None,
    *,
    start: str = "2024-01-01",
    minutes: int = 60,
) -> Sample:
    """A sample of (T, n) values, NaN where missing."""
    steps, nodes = values.shape
    times = np.datetime64(start, "s") + np.arange(steps) * np.timedelta64(60 * minutes, "s")
    graph = np.zeros((nodes, nodes)) if adjacency is None else adjacency
    return Sample(
        np.nan_to_num(values).astype(np.float32),
        np.isfinite(values),
        np.arange(nodes),
        times,
        graph.astype(np.float32),
        minutes,
    )


def chain(*weights: float) -> NDArray[np.float64]:
    """An undirected chain of nodes, with so strong edges."""
    graph = np.diag(weights, 1)
    return graph + graph.T


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


def test_sizes_windows_and_edges_are_counted() -> None:
    dataset = canonical(np.zeros((27, 3, 1)))
    weights = np.array([[7, 1, 0], [1, 0, 0], [0.5, 0, 2]], np.float32)
    dataset.adjacency[:] = weights
    facts = size_facts(dataset, 8)
    # Twenty windows begin at steps 0 to 19.
    assert (facts["train_windows"], facts["validation_windows"], facts["test_windows"]) == (
        12,
        4,
        4,
    )
    assert facts["edges"] == edge_count(weights) == 3
    assert (facts["first"], facts["last"]) == ("2024-01-01T00:00", "2024-01-02T02:00")
    assert facts["source"] == "simulated"


def test_windows_of_a_table_cross_no_night() -> None:
    # Ten days of 18 hours: 11 windows of 8 steps in each.
    facts = size_facts(canonical(np.zeros((180, 1, 1)), timestamps=day_times(10)), 8)
    assert facts["train_windows"] + facts["validation_windows"] + facts["test_windows"] == 110


def test_the_excerpt_is_a_whole_week_from_a_monday_by_the_hour() -> None:
    # From a Wednesday on, in half hours; nodes of means 2, 0 and 1 (and one never observed).
    values = np.tile([2.0, 0.0, 1.0, np.nan], (48 * 20, 1))
    values[::2, 0] += 1
    monday = 5 * 48
    values[monday : monday + 2, 2] = np.nan
    values[monday + 2, 2] = np.nan
    values[monday + 3, 2] = 9
    table = excerpt(sample_of(values, start="2024-01-03", minutes=30))
    assert table["time"].iloc[0] == "2024-01-08T00"
    assert table["time"].iloc[-1] == "2024-01-14T23"
    assert len(table) == 7 * 24
    assert (table["lowest"] == 0).all()
    assert (table["highest"] == 2.5).all()
    # Nothing was observed in the first hour, and one of two values in the second.
    assert np.isnan(table["middle"].iloc[0])
    assert table["middle"].iloc[1:4].tolist() == [9, 1, 1]


def test_less_than_a_week_is_shown_from_its_first_day_on() -> None:
    table = excerpt(sample_of(np.ones((30, 1)), start="2024-01-03"))
    assert table["time"].iloc[[0, -1]].tolist() == ["2024-01-03T00", "2024-01-04T05"]
    assert table[["lowest", "middle", "highest"]].eq(1).all(axis=None)


def test_edges_are_pairs_and_the_strongest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_of(np.zeros((2, 4)), chain(3, 1, 2) + np.eye(4))
    every = list(edge_table(sample, IDS).itertuples(index=False, name=None))
    assert every == [("s0", "s1"), ("s1", "s2"), ("s2", "s3")]
    monkeypatch.setattr("stprune.data.description.overview.MOST_EDGES", 0)
    monkeypatch.setattr("stprune.data.description.overview.LEAST_EDGES", 2)
    some = list(edge_table(sample, IDS).itertuples(index=False, name=None))
    assert some == [("s0", "s1"), ("s2", "s3")]


def test_a_chain_lies_on_a_line_at_the_lengths_of_its_edges() -> None:
    # The weaker edge is a e-th of the stronger: lengths 1 and 2, in one direction only.
    directed = np.triu(chain(1, np.exp(-1)))
    places = node_places(sample_of(np.zeros((2, 3)), directed), IDS)
    assert places["node"].tolist() == IDS[:3]
    assert places["y"].abs().max() < 1e-6
    assert np.abs(np.diff(places["x"])).tolist() == pytest.approx([1, 2])
    # The end that is furthest from the middle stands on the right, whatever the solver's sign.
    assert places["x"].iloc[2] == places["x"].max() > 0


def test_what_is_joined_to_all_alike_lies_on_a_circle_and_parts_lie_apart() -> None:
    round_ = node_places(sample_of(np.zeros((2, 4)), np.ones((4, 4))), IDS)
    np.testing.assert_allclose(np.hypot(round_["x"], round_["y"]), 1)
    pairs = np.zeros((4, 4))
    pairs[0, 1] = pairs[2, 3] = 1
    places = node_places(sample_of(np.zeros((2, 4)), pairs), IDS).set_index("node")
    near = np.hypot(*(places.loc["s0"] - places.loc["s1"]))
    far = np.hypot(*(places.loc["s0"] - places.loc["s2"]))
    assert near < far
    assert len(node_places(sample_of(np.zeros((2, 1))), IDS)) == 1


def test_movement_at_single_nodes_is_not_evened_out() -> None:
    # Of two nodes one moves by 1 at each step in the first half only, the other in the second
    # half: their means are alike throughout, each alone is not.
    steps = np.arange(401)
    saw = (steps % 2).astype(float)
    first = np.where(steps <= 200, saw, 0.0)
    second = np.where(steps >= 200, saw, 0.0)
    starts = np.arange(401 - 7)
    table, tails = node_percentiles(
        sample_of(np.stack([first, second], axis=1)), starts, history=4, horizon=4
    )
    row = tails.set_index("measure").loc["first_difference"]
    assert row["windows"] == 2 * len(starts)
    # Half of all windows move, alike, but for the few across the middle.
    assert row["share_of_top_tenth"] == pytest.approx(0.2, abs=0.01)
    difference = table[table["measure"] == "first_difference"].set_index("percentile")["value"]
    assert difference.loc[25] == 0
    assert difference.loc[99.9] == pytest.approx(1 / np.std(first), rel=1e-3)


def test_a_node_counts_only_with_windows_it_has_whole() -> None:
    values = np.random.default_rng(0).normal(size=(40, 2))
    values[20, 0] = np.nan
    values[:, 1] = np.nan
    _, tails = node_percentiles(sample_of(values), np.arange(33), history=4, horizon=4)
    # Of 33 windows 8 have step 20 in them.
    assert (tails["windows"] == 25).all()
    table, tails = node_percentiles(sample_of(values[:, 1:]), np.arange(33), history=4, horizon=4)
    assert len(table) == len(tails) == 0


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
    shown = write_overview(written, tmp_path / "one")
    write_overview(written, tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert all(path.exists() for path in shown)
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
    write_overview(read_descriptions(tmp_path / "records"), tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "tables" / "redundancy.csv").set_index("dataset")
    assert np.isnan(table.loc["constant", "window_rank"])
    assert np.isnan(table.loc["alone", "neighbours"])
    sizes = pd.read_csv(tmp_path / "out" / "tables" / "datasets.csv").set_index("dataset")
    assert sizes.loc["hole", "missing_percent"] == pytest.approx(100 * (80 + 4) / 240)
    markdown = (tmp_path / "out" / "tables" / "redundancy.md").read_text(encoding="utf-8")
    assert "nan" not in markdown


def test_the_figure_of_masking_says_which_run_it_is_of(
    toy_values: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_values["training"] |= {"epochs": 1}  # type: ignore[operator]
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
