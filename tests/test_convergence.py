"""Curves are means over seeds, and a panel shows no more of them than an eye can follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_records import write_experiment

from paper_figures.fig_convergence import mean_curves
from paper_figures.foremost import foremost
from stprune.paper.figures import build
from stprune.results.summary import Results, load_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load_results(write_experiment(tmp_path_factory.mktemp("convergence")).store)


def _epochs(rows: list[tuple[int, int, float, float]]) -> pd.DataFrame:
    """Seed, epoch, elapsed seconds and validation MAE."""
    frame = pd.DataFrame(rows, columns=["seed", "epoch", "elapsed_seconds", "validation_mae"])
    return frame.assign(dataset="a", backbone="b", pruner="x", prune_ratio=0.5)


def test_a_curve_is_the_mean_of_seeds_as_long_as_all_of_them_train() -> None:
    first = [(0, 0, 10.0, 5.0), (0, 1, 20.0, np.nan), (0, 2, 30.0, 4.0), (0, 3, 40.0, 3.0)]
    second = [(1, 0, 12.0, 7.0), (1, 1, 26.0, np.nan), (1, 2, 34.0, 2.0)]
    curve = mean_curves(_epochs([*first, *second]))
    assert curve["epoch"].tolist() == [0, 2]
    assert curve["seconds"].tolist() == [11.0, 32.0]
    assert curve["mae"].tolist() == [6.0, 3.0]
    assert curve["low"].tolist() == [5.0, 2.0]
    assert curve["high"].tolist() == [7.0, 4.0]


def test_the_marker_stands_at_the_mean_time_to_full_training(results: Results) -> None:
    table = results.aggregate.set_index(["pruner", "prune_ratio"])
    axes = build("convergence", results).figure.axes[0]
    full = results.epochs[results.epochs["pruner"] == "full"]
    goal = full.groupby("epoch")["validation_mae"].mean().min()
    drawn = [np.asarray(line.get_xydata()) for line in axes.lines]
    points = [line[0].tolist() for line in drawn if len(line) == 1]
    expected = table.loc[("full", 0.0), "time_to_full_seconds"]
    # Pruned runs end above the goal, so full training's marker is the only one.
    assert points == [pytest.approx([expected, goal])]
    # The longest run, of 89 s, is less than two minutes.
    assert "(s)" in axes.get_xlabel()


def test_curves_beyond_eight_are_named_instead(results: Results) -> None:
    assert foremost(results) == (sorted(results.aggregate["pruner"].unique()), [])
    copies = [
        results.aggregate.query("pruner == 'el2n'").assign(
            pruner=f"rival_{number}", test_mae_change=float(number)
        )
        for number in range(6)
    ]
    table = pd.concat(
        [results.aggregate.query("pruner not in ['infobatch', 'el2n', 'made_up_rival']"), *copies]
    )
    names, words = foremost(replace(results, aggregate=table))
    always = ["full", "full_fewer_epochs", "random_dynamic", "st_prune"]
    assert names == sorted([*always, "rival_0", "rival_1", "rival_2", "rival_3"])
    assert words == [
        "Of the others, those with the least mean error are shown; left out: Rival 4, Rival 5."
    ]
