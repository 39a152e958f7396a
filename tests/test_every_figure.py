"""Every figure and table that is found draws itself from results, also from lean ones."""

from __future__ import annotations

import logging
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_sizes import fits_a_page
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from PIL import Image
from synthetic_kept import write_archives
from synthetic_records import PRUNERS, write_experiment

from stprune.base.errors import UnknownNameError
from stprune.base.layout import ExperimentLayout
from stprune.paper.figures import FIGURES, build, draw
from stprune.paper.tables import TABLES, Table, make_table
from stprune.results.summary import Results, load_results
from stprune.statistics.significance import CONTROLS

FIGURE_IDS = FIGURES.ids()
TABLE_IDS = TABLES.ids()


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    root = tmp_path_factory.mktemp("synthetic")
    layout = write_experiment(root, backbones=("stid", "gwnet"))
    write_archives(layout)
    return layout


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    """One pruner, one ratio, one seed, no full training, no other control, no archive."""
    root = tmp_path_factory.mktemp("lean")
    return write_experiment(root, pruners=PRUNERS[:1], ratios=(0.5,), seeds=(0,), with_full=False)


def _has_tick_labels(axes: Axes) -> bool:
    return any(text.get_visible() and text.get_text() for text in axes.get_xticklabels())


def _png_and_pdf(name: str, layout: ExperimentLayout) -> tuple[bytes, bytes]:
    png, pdf = (layout.figure(name, kind).read_bytes() for kind in ("png", "pdf"))
    return png, pdf


def test_the_paper_has_its_figures_and_tables() -> None:
    assert "tradeoff" in FIGURE_IDS
    assert "main" in TABLE_IDS


@pytest.mark.parametrize("name", FIGURE_IDS)
def test_figure_is_written_the_same_every_time(name: str, layout: ExperimentLayout) -> None:
    draw(name, layout)
    first = _png_and_pdf(name, layout)
    draw(name, layout)
    assert _png_and_pdf(name, layout) == first
    assert first[0].startswith(b"\x89PNG")
    assert first[1].startswith(b"%PDF")
    assert b"CreationDate" not in first[1]
    with Image.open(layout.figure(name, "png")) as image:
        assert image.size[0] >= 1400


@pytest.mark.parametrize("name", FIGURE_IDS)
def test_figure_says_what_it_shows(name: str, layout: ExperimentLayout) -> None:
    module = FIGURES.module(name)
    drawing = build(name, load_results(layout.store))
    assert module.__doc__
    assert module.TITLE
    assert "2 seeds" in drawing.caption
    assert "ST-Prune" in drawing.alt
    for axes in drawing.figure.axes:
        # Where panels show the same quantities, the outer ones name them.
        named = axes.get_xlabel() or axes.get_ylabel() or _lowest_below(axes).get_xlabel()
        assert named or not _has_tick_labels(axes)
    assert drawing.figure.axes[0].get_ylabel()


def _lowest_below(axes: Axes) -> Axes:
    """The last panel of the same column; the panel itself if it stands alone."""
    place = axes.get_subplotspec()
    if place is None or axes.figure is None:
        return axes
    others = [(panel, panel.get_subplotspec()) for panel in axes.figure.axes]
    column = [
        panel
        for panel, at in others
        if at is not None and at.get_gridspec() is place.get_gridspec()
        if at.colspan == place.colspan
    ]
    return column[-1]


@pytest.mark.parametrize("name", FIGURE_IDS)
def test_figure_fits_a_page(name: str, layout: ExperimentLayout) -> None:
    assert fits_a_page(build(name, load_results(layout.store)))


@pytest.mark.parametrize("name", FIGURE_IDS)
def test_figure_keeps_its_words_apart(name: str, layout: ExperimentLayout) -> None:
    figure = build(name, load_results(layout.store)).figure
    figure.draw_without_rendering()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    boxes += [box for axes in figure.axes if (box := axes.get_tightbbox()) is not None]
    assert len(boxes) == len(figure.legends) + len(figure.axes)
    for position, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        for other in boxes[position + 1 :]:
            assert not box.overlaps(other)


@pytest.mark.parametrize("name", FIGURE_IDS)
def test_figure_can_do_without_full_training_and_spread(name: str, lean: ExperimentLayout) -> None:
    draw(name, lean)
    assert lean.figure(name, "pdf").exists()


@pytest.mark.parametrize("name", FIGURE_IDS)
def test_figure_names_the_controls_that_were_not_run(
    name: str, layout: ExperimentLayout, lean: ExperimentLayout
) -> None:
    assert "was not run here" not in build(name, load_results(layout.store)).caption
    caption = build(name, load_results(lean.store)).caption
    assert "Full (fewer epochs) was not run here." in caption
    assert "Random (dynamic) was not run" not in caption


@pytest.mark.parametrize("name", FIGURE_IDS)
def test_figure_leaves_the_users_settings_and_log_alone(
    name: str, lean: ExperimentLayout, caplog: pytest.LogCaptureFixture
) -> None:
    before = dict(mpl.rcParams)
    with caplog.at_level(logging.INFO):
        draw(name, lean)
    assert caplog.records == []
    assert logging.getLogger("fontTools").level == logging.NOTSET
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", TABLE_IDS)
def test_table_has_all_formats_and_plain_numbers(name: str, layout: ExperimentLayout) -> None:
    make_table(name, layout)
    table: Table = TABLES.module(name).build(load_results(layout.store))
    assert table.caption
    written = pd.read_csv(layout.table(name, "csv"), keep_default_na=False, na_values=[""])
    for column in table.columns:
        if pd.api.types.is_numeric_dtype(table.frame[column.key]):
            assert written[column.key].equals(table.frame[column.key]), column.key
    markdown = layout.table(name, "md").read_text(encoding="utf-8")
    assert markdown.count("\n| ") == len(table.frame) + 2
    latex = layout.table(name, "tex").read_text(encoding="utf-8")
    assert latex.count(r" \\") == len(table.frame) + 1


@pytest.mark.parametrize("name", TABLE_IDS)
def test_table_can_do_without_full_training(name: str, lean: ExperimentLayout) -> None:
    make_table(name, lean)
    assert "nan" not in lean.table(name, "md").read_text(encoding="utf-8")


def _points(results: Results, panel: int) -> list[tuple[float, float]]:
    """All points drawn with error bars in one panel of the trade-off."""
    axes = build("tradeoff", results).figure.axes[panel]
    lines = [bars.lines[0] for bars in axes.containers if isinstance(bars, ErrorbarContainer)]
    return [(float(x), float(y)) for line in lines for x, y in np.asarray(line.get_xydata())]


def test_tradeoff_shows_the_numbers_of_the_aggregate(layout: ExperimentLayout) -> None:
    results = load_results(layout.store)
    first = results.aggregate[results.aggregate["backbone"] == "gwnet"]
    expected = sorted(zip(first["epoch_percent"], first["test_mae"], strict=True))
    assert np.array(sorted(_points(results, 0))) == pytest.approx(np.array(expected))
    expected = sorted(zip(first["total_percent"], first["test_mae"], strict=True))
    assert np.array(sorted(_points(results, 1))) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("panel", [0, 1])
def test_both_controls_stand_in_both_panels_of_the_tradeoff(
    panel: int, layout: ExperimentLayout
) -> None:
    results = load_results(layout.store)
    points = {y for _, y in _points(results, panel)}
    first = results.aggregate[results.aggregate["backbone"] == "gwnet"]
    for control in CONTROLS:
        assert set(first.loc[first["pruner"] == control, "test_mae"]) <= points


def test_tradeoff_names_what_is_off_its_scale(layout: ExperimentLayout) -> None:
    results = load_results(layout.store)
    assert "off the scale" not in build("tradeoff", results).caption
    far = results.aggregate.copy()
    lost = (far["pruner"] == "infobatch") & (far["backbone"] == "gwnet")
    far.loc[lost, "test_mae"] = 4321.0
    drawing = build("tradeoff", replace(results, aggregate=far))
    panel = drawing.figure.axes[0]
    assert panel.get_ylim()[1] < 100
    assert [text.get_text() for text in panel.texts] == ["4.32e+03"] * int(lost.sum())
    assert "off the scale" in drawing.caption


def test_tradeoff_labels_seconds_where_nothing_is_relative(lean: ExperimentLayout) -> None:
    results = load_results(lean.store)
    axes = build("tradeoff", results).figure.axes[0]
    assert axes.get_xlabel() == "Per-epoch time (s)"
    assert axes.get_ylabel() == "Test MAE (vehicles / 5 min)"
    assert _points(results, 0)[0][0] == pytest.approx(results.aggregate["epoch_seconds"][0])


def test_unknown_names_are_refused(lean: ExperimentLayout) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown figure `tradeof`.*tradeoff"):
        draw("tradeof", lean)
    with pytest.raises(UnknownNameError, match="unknown table `mein`"):
        make_table("mein", lean)
