"""Looks, legends, axes and hashes that all figures share, and their files."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from stprune.base.errors import RecordError
from stprune.base.files import write_json
from stprune.paper import draw
from stprune.paper.draw import LOOKS, Drawing, looks
from stprune.paper.figures import paper_style, write_drawing
from stprune.paper.fingerprints import Hashes, content_hash, differences, read_hashes

RIVALS = [f"rival_{number}" for number in range(20)]


def test_looks_are_distinct_and_stay_from_figure_to_figure():
    chosen = looks([*LOOKS, *RIVALS])
    pairs = {(look.colour, look.marker) for look in chosen.values()}
    assert len(pairs) == len(LOOKS) + 20
    assert chosen["st_prune"] == looks(["st_prune"])["st_prune"]
    assert looks(["rival_3", "full"])["rival_3"] == looks(["rival_3"])["rival_3"]
    assert looks(reversed(RIVALS)) == looks(RIVALS)
    # Curves have no markers, so colour and line style differ; and no entry looks like a rival.
    for names in (list(LOOKS), RIVALS):
        assert len({(look.colour, look.line) for look in looks(names).values()}) == len(names)
    known = {to_hex(look.colour) for look in LOOKS.values()}
    assert known.isdisjoint(to_hex(look.colour) for look in looks(RIVALS).values())


def test_panels_with_a_legend_stay_on_the_page():
    with paper_style():
        legend = draw.entries(looks(f"hard_share_{number}" for number in range(24)))
        figure, grid = draw.panels(["row"] * 9, ["left", "right"], 2.0, legend=legend)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert grid.shape == (9, 2)
    assert figure.get_figheight() < draw.PAGE_HEIGHT
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_an_entry_far_off_does_not_flatten_the_others():
    # Six times the median of 1, and a margin.
    low, high = draw.difference_limits(np.array([1.0, -1.0, 0.5, np.nan, 1.0, 80.0]))
    assert (low, high) == pytest.approx((-1 - 0.06 * 7, 6 + 0.06 * 7))
    axes = Figure().subplots()
    axes.set_ylim(low, high)
    rows = pd.DataFrame({"mean": [1.0, 80.0], "low": [0.5, 70.0], "high": 90.0, "holm_p": 0.5})
    draw.differences(axes, [0.0, 1.0], rows, LOOKS["full"], upright=True)
    marks = [(line.get_ydata()[0], line.get_marker()) for line in axes.lines[1::2]]
    assert marks == [(1.0, "o"), (pytest.approx(high), "^")]


def test_the_caption_stands_below_the_figure(tmp_path):
    with paper_style():
        figure = Figure(figsize=(7, 2))
        figure.subplots().plot([1, 2])
    drawing = Drawing(figure, "A caption. " * 30)
    png, note = write_drawing(drawing, lambda kind: tmp_path / f"f.{kind}")
    with Image.open(BytesIO(png)) as image:
        assert image.width == 1400
        ink = (np.asarray(image.convert("L")) < 128).any(axis=1)
    first = round(len(ink) * (1 - note))
    # White above the first line of the caption, which comes soon.
    assert not ink[first - 3 : first + 1].any()
    assert ink[first : first + 15].any()


def _figure(change: Callable[[Axes], object] | None = None, **options: object) -> Figure:
    figure = Figure(**options)
    axes = figure.subplots()
    axes.plot([1.0, 2.0, 3.0], [0.1, 0.2, 0.3], label="a line")
    axes.scatter([1.0, 2.0], [0.3, 0.1], c=[0.5, 1.5])
    axes.bar([1.0, 2.0], [0.05, 0.1])
    axes.pcolormesh(np.ma.masked_invalid([[0.25, np.nan]]))
    axes.imshow([[0.5, 0.25]])
    axes.set(title="A title", xlabel="Time (s)", ylabel="MAE")
    axes.text(1, 0.2, "words")
    axes.legend()
    if change is not None:
        change(axes)
    return figure


CHANGES: dict[str, Callable[[Axes], object]] = {
    "line": lambda axes: axes.lines[0].set_ydata([0.1, 0.2, 0.3000001]),
    "points": lambda axes: axes.collections[0].set_offsets([(1.0, 0.3), (2.0, 0.1000001)]),
    "colours of points": lambda axes: axes.collections[0].set_array([0.5, 1.6]),
    "bar": lambda axes: axes.patches[0].set_height(0.06),
    "cells": lambda axes: axes.collections[1].set_array(np.ma.masked_invalid([[0.26, np.nan]])),
    "hole": lambda axes: axes.collections[1].set_array(np.array([[0.25, 1.0]])),
    "image": lambda axes: axes.images[0].set_data([[0.5, 0.26]]),
    "title": lambda axes: axes.set_title("Another title"),
    "label": lambda axes: axes.set_ylabel("RMSE"),
    "words": lambda axes: axes.texts[0].set_text("other words"),
    "legend": lambda axes: axes.get_legend().get_texts()[0].set_text("another line"),
    "limits": lambda axes: axes.set_ylim(0, 1),
    "scale": lambda axes: axes.set_xscale("log"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_hash_changes_with_all_that_is_shown(change):
    assert content_hash(_figure(change)) != content_hash(_figure())


def test_the_hash_changes_with_the_caption_but_not_with_layout_or_rounding():
    assert content_hash(_figure(), "2 seeds") != content_hash(_figure(), "3 seeds")
    drawn = _figure(figsize=(9, 3), layout="constrained")
    drawn.draw_without_rendering()
    assert content_hash(drawn) == content_hash(_figure())

    def with_line(*values: float) -> str:
        return content_hash(_figure(lambda axes: axes.lines[0].set_ydata((0.1, *values))))

    assert with_line(3e-14, 0.1 + 0.2) == with_line(0.0, 0.3) != with_line(3e-8, 0.3)


def test_differences_of_hashes_by_hand(tmp_path):
    made: Hashes = {"tables": {"a": "1", "b": "2"}, "figures": {"a": "3"}}
    wanted: Hashes = {"tables": {"a": "1", "c": "2"}, "figures": {"a": "4"}}
    assert differences(made, made) == []
    found = differences(made, wanted)
    assert [line.split()[:2] for line in found] == [["table", "b"], ["table", "c"], ["figure", "a"]]
    assert read_hashes(tmp_path) is None
    write_json(tmp_path / "hashes.json", made)
    assert read_hashes(tmp_path) == made


@pytest.mark.parametrize("text", ["{", "[]", '{"tables": {}, "figures": {"a": 1}}'])
def test_hashes_that_are_none_are_refused(text, tmp_path):
    (tmp_path / "hashes.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"hashes\.json"):
        read_hashes(tmp_path)
