"""The hash of a figure changes with what it shows, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stprune.paper.fingerprints import content_hash


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
    "another line": lambda axes: axes.plot([1.0], [0.1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_changes_with_all_that_is_shown(change: Callable[[Axes], object]) -> None:
    assert content_hash(_figure(change)) != content_hash(_figure())


def test_it_changes_with_the_words_beside_it() -> None:
    assert content_hash(_figure(), "2 seeds") != content_hash(_figure(), "3 seeds")


def test_what_rounding_leaves_of_nothing_makes_no_difference() -> None:
    def nothing(left: float) -> Figure:
        return _figure(lambda axes: axes.lines[0].set_ydata([0.1, left, 0.3]))

    assert content_hash(nothing(3e-14)) == content_hash(nothing(0.0))
    assert content_hash(nothing(3e-8)) != content_hash(nothing(0.0))


def test_size_layout_and_drawing_make_no_difference() -> None:
    drawn = _figure(figsize=(9, 3), layout="constrained")
    drawn.draw_without_rendering()
    assert content_hash(drawn) == content_hash(_figure())


def test_the_last_digits_of_a_number_make_no_difference() -> None:
    nearly = _figure(lambda axes: axes.lines[0].set_ydata([0.1, 0.2, 0.1 + 0.2]))
    assert content_hash(nearly) == content_hash(_figure())
