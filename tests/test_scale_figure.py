"""The figure of model scales: which entries are scales of a model, and where their points stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from synthetic_records import cost, epochs, record, scores, write_experiment, write_run

from paper_figures.fig_scale import in_words
from paper_figures.scales import NOTHING, applies, scale_points
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.figures import build
from stprune.results.summarise import summarise
from stprune.results.summary import Results, load_results

# Entry, component, parameters; pruner, prune ratio, seed, test MAE, total seconds.
SCALES = {
    "mini": ("opencity", 1_670_000),
    "base": ("opencity", 4_720_000),
    "alone": ("stid", 9_999),
}
RUNS: list[tuple[str, str, float, int, float, float]] = [
    ("mini", "full", 0.0, 0, 3.0, 100.0),
    ("mini", "full", 0.0, 1, 3.2, 100.0),
    ("base", "full", 0.0, 0, 2.8, 300.0),
    ("mini", "st_prune", 0.5, 0, 3.1, 55.0),
    ("base", "st_prune", 0.5, 0, 2.9, 160.0),
    ("mini", "st_prune", 0.9, 0, 3.6, 20.0),
    ("alone", "full", 0.0, 0, 5.0, 10.0),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    layout = ExperimentLayout(tmp_path)
    files = []
    for entry, pruner, ratio, seed, mae, seconds in RUNS:
        component, parameters = SCALES[entry]
        run = record(
            RunKey("roads", entry, pruner, ratio, seed),
            test=scores(mae),
            cost=cost(total_seconds=seconds),
            parameters=parameters,
            config={"backbone": {"name": entry, "id": component}},
        )
        files.append(write_run(layout, run, epochs(8)))
    summarise(files, layout)
    return load_results(layout.store)


def test_scales_are_entries_of_one_component_that_differ_in_parameters(results: Results) -> None:
    points = scale_points(results)
    found = points[["ratio", "pruner", "backbone", "test_mae", "total_seconds"]]
    expected = [
        (0.5, "full", "mini", 3.1, 100.0),
        (0.5, "full", "base", 2.8, 300.0),
        (0.5, "st_prune", "mini", 3.1, 55.0),
        (0.5, "st_prune", "base", 2.9, 160.0),
        (0.9, "full", "mini", 3.1, 100.0),
        (0.9, "full", "base", 2.8, 300.0),
        (0.9, "st_prune", "mini", 3.6, 20.0),
    ]
    assert [row[:3] for row in found.itertuples(index=False, name=None)] == [
        row[:3] for row in expected
    ]
    numbers = np.array([row[3:] for row in expected])
    np.testing.assert_allclose(found[["test_mae", "total_seconds"]], numbers)
    assert set(points["model"]) == {"opencity"}
    assert applies(results)


def test_lines_join_the_scales_and_name_them_at_full_training(results: Results) -> None:
    drawing = build("scale", results)
    left, right = drawing.figure.axes
    lines = {
        tuple(map(tuple, np.asarray(bars.lines[0].get_xydata()).round(6)))
        for bars in left.containers
        if isinstance(bars, ErrorbarContainer)
    }
    assert lines == {((100.0, 3.1), (300.0, 2.8)), ((55.0, 3.1), (160.0, 2.9))}
    assert [text.get_text() for text in left.texts] == ["1.67 M", "4.72 M"]
    assert left.get_title(loc="left") == "roads, OpenCity, 50 % pruned"
    assert right.get_title(loc="left") == "90 % pruned"
    assert "Random (dynamic) was not run here." in drawing.caption


def test_one_scale_is_nothing_to_show(tmp_path: Path) -> None:
    results = load_results(write_experiment(tmp_path, backbones=("stid", "gwnet")).store)
    assert not applies(results)
    assert NOTHING in build("scale", results).caption


@pytest.mark.parametrize(
    ("parameters", "words"),
    [(612, "612"), (9_999, "10 k"), (806_220, "806 k"), (999_600, "1 M"), (25_970_000, "26 M")],
)
def test_parameters_in_words(parameters: float, words: str) -> None:
    assert in_words(parameters) == words
