"""Every figure and table that applies draws itself, the same every time, also from lean results."""

import itertools
import logging
import math
from dataclasses import replace
from functools import partial

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from synthetic_kept import write_archives
from synthetic_records import PRUNERS, write_experiment

from stprune.base.layout import ExperimentLayout
from stprune.paper import FIGURES, TABLES
from stprune.paper.draw import PAGE_HEIGHT, WIDTH
from stprune.paper.figures import build, size_with_note, write_drawing
from stprune.paper.products import applicable
from stprune.paper.tables import Table, to_markdown, write_table
from stprune.results.summary import Results, aggregate, load_results

# The others need held-out data, several scales, changed options: they have tests of their own.
GENERAL_FIGURES = [
    name
    for name in FIGURES.ids()
    if name not in ("foundation", "method_selection", "scale", "sensitivity")
]
GENERAL_TABLES = [
    name
    for name in TABLES.ids()
    if name not in ("foundation", "method_selection", "rules", "tasks", "universality")
]
LEAN_FIGURES = ("convergence", "method", "overhead", "tradeoff")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    layout = write_experiment(tmp_path_factory.mktemp("every"), backbones=("stid", "gwnet"))
    write_archives(layout)
    return load_results(layout.store)


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    """One pruner, one ratio, one seed; no full training, no control, no kept windows."""
    root = tmp_path_factory.mktemp("lean")
    return write_experiment(root, pruners=PRUNERS[3:4], ratios=(0.5,), seeds=(0,), with_full=False)


def test_what_applies_is_what_has_something_to_show(results, lean):
    assert applicable("figures", results) == GENERAL_FIGURES
    assert applicable("tables", results) == GENERAL_TABLES
    assert set(applicable("figures", load_results(lean.store))) == set(LEAN_FIGURES)
    assert {"main", "efficiency", "groups"} <= set(applicable("tables", load_results(lean.store)))


@pytest.mark.parametrize("name", GENERAL_FIGURES)
def test_figure_says_what_it_shows_and_keeps_its_words_apart(name, results):
    drawing = build(name, results)
    assert FIGURES.module(name).TITLE
    assert drawing.caption
    assert "was not run here" not in drawing.caption
    width, height = size_with_note(drawing)
    assert width <= WIDTH
    assert height <= PAGE_HEIGHT
    named = any(axes.get_xlabel() for axes in drawing.figure.axes)
    assert named or name in ("critical_difference", "method")
    assert drawing.figure.axes[0].get_ylabel()
    figure = drawing.figure
    figure.draw_without_rendering()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    boxes += [box for axes in figure.axes if (box := axes.get_tightbbox()) is not None]
    assert all(min(box.x0, box.y0) >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("name", ["convergence", "tradeoff"])
def test_figure_is_the_same_every_time_and_leaves_settings_and_log_alone(name, lean, caplog):
    before = dict(mpl.rcParams)
    files = []
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            write_drawing(build(name, load_results(lean.store)), partial(lean.figure, name))
            files.append([lean.figure(name, kind).read_bytes() for kind in ("png", "pdf")])
    assert files[0] == files[1]
    assert files[0][0].startswith(b"\x89PNG")
    assert files[0][1].startswith(b"%PDF")
    assert b"CreationDate" not in files[0][1]
    assert caplog.records == []
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []
    caption = build(name, load_results(lean.store)).caption
    assert caption.count("was not run here") == 2


@pytest.mark.parametrize("name", GENERAL_TABLES)
def test_table_has_all_formats_and_plain_numbers(name, results):
    table: Table = TABLES.module(name).build(results)
    assert table.caption
    layout = ExperimentLayout(results.store.parent)
    write_table(table, name, layout)
    path = layout.table(name, "csv")
    written = pd.read_csv(path, keep_default_na=False, na_values=[""])
    for column in table.columns:
        if pd.api.types.is_numeric_dtype(table.frame[column.key]):
            assert written[column.key].equals(table.frame[column.key]), column.key
    markdown = layout.table(name, "md").read_text(encoding="utf-8")
    assert markdown.count("\n| ") == len(table.frame) + 2
    latex = layout.table(name, "tex").read_text(encoding="utf-8")
    assert latex.count(r" \\") == len(table.frame) + 1


def test_tables_can_do_without_full_training(lean):
    results = load_results(lean.store)
    for name in applicable("tables", results):
        assert "nan" not in to_markdown(TABLES.module(name).build(results)), name


@pytest.mark.parametrize(("error", "lacking"), [(math.nan, ["gwnet"]), (0.0, ["gwnet", "stid"])])
def test_a_place_without_an_error_is_named_and_stops_nothing(error, lacking, results):
    errors = [column for column in results.summary if column.startswith("test_m")]
    summary = results.summary.copy()
    summary.loc[summary["backbone"].isin(lacking), errors] = error
    partial = replace(results, summary=summary, aggregate=aggregate(summary))
    for name in applicable("tables", partial):
        table = TABLES.module(name).build(partial)
        assert not {"nan", "inf"} & set(to_markdown(table).replace("[", " ").split()), name
        assert "runs on synthetic_roads" in table.caption, name
    for name in applicable("figures", partial):
        drawing = build(name, partial)
        assert "runs on synthetic_roads" in drawing.caption, name
        drawing.figure.draw_without_rendering()
