"""The regime map and the mean trade-off show the numbers of the summary, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from scipy import stats
from synthetic_records import write_experiment

from stprune.paper.figures import MOST_PLACES, build
from stprune.paper.tables import MINUS
from stprune.results.summary import Results, aggregate, load_results, mean_over_places


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("regimes")
    return load_results(write_experiment(root, backbones=("gwnet", "stid"), seeds=(0, 1, 2)).store)


def _with(results: Results, summary: pd.DataFrame) -> Results:
    return replace(results, summary=summary, aggregate=aggregate(summary))


def _cells(axes: Axes) -> np.ma.MaskedArray:
    (mesh,) = [part for part in axes.collections if isinstance(part, QuadMesh)]
    values = mesh.get_array()
    assert isinstance(values, np.ma.MaskedArray)
    return values


def _maes(summary: pd.DataFrame, pruner: str, ratio: float, backbone: str) -> pd.Series:
    chosen = summary["pruner"].eq(pruner) & summary["prune_ratio"].eq(ratio)
    return summary[chosen & summary["backbone"].eq(backbone)].sort_values("seed")["test_mae"]


def test_each_cell_is_the_mean_relative_difference_over_seeds(results: Results) -> None:
    first, second, _ = build("regimes", results).figure.axes
    labels = [text.get_text() for text in first.get_xticklabels()]
    assert labels == ["EL2N", "InfoBatch", "Made up rival", "ST-Prune"] * 2
    # The two controls are compared once, in the second panel.
    assert second.get_xticklabels()[0].get_text() == "Random (dynamic)"
    for axes, control in ((first, "random_dynamic"), (second, "full_fewer_epochs")):
        names = [text.get_text() for text in axes.get_xticklabels()]
        cells = _cells(axes)
        for row, backbone in enumerate(("gwnet", "stid")):
            ours = _maes(results.summary, "st_prune", 0.9, backbone).to_numpy()
            theirs = _maes(results.summary, control, 0.9, backbone).to_numpy()
            expected = 100 * np.mean(ours / theirs - 1)
            assert names[-1] == "ST-Prune"
            assert cells[row, -1] == pytest.approx(expected)


def test_numbers_are_written_and_the_scale_is_symmetric(results: Results) -> None:
    first = build("regimes", results).figure.axes[0]
    (mesh,) = [part for part in first.collections if isinstance(part, QuadMesh)]
    assert mesh.norm.vmin == -mesh.norm.vmax
    words = [text.get_text().rstrip("*").replace(MINUS, "-") for text in first.texts]
    numbers = [float(word) for word in words if "." in word][: _cells(first).size]
    np.testing.assert_allclose(numbers, _cells(first).ravel(), atol=0.0501)


def test_the_mark_is_holms_over_both_panels(results: Results) -> None:
    summary = results.summary.copy()
    seed = summary["seed"]
    summary["test_mae"] = 3 + 0.1 * seed + 0.01 * (seed - 1) ** 2 * summary["backbone"].eq("stid")
    # Ahead of every control by almost the same in each seed.
    ours = summary["pruner"].eq("st_prune") & summary["prune_ratio"].eq(0.5)
    ours &= summary["backbone"].eq("gwnet")
    summary.loc[ours, "test_mae"] *= 0.9 + 1e-6 * seed
    drawing = build("regimes", _with(results, summary))
    starred = [
        text.get_text()
        for axes in drawing.figure.axes
        for text in axes.texts
        if "*" in text.get_text()
    ]
    assert starred == [f"{MINUS}10*"] * 2
    # Two panels of four and five pruners at two ratios for two backbones.
    p = stats.ttest_1samp([-10, -10 + 1e-4, -10 + 2e-4], 0).pvalue
    assert 36 * p < 0.05
    assert "all 36 cells that can be tested; 2 pass" in drawing.caption


def test_one_seed_cannot_be_tested_and_the_caption_says_so(results: Results) -> None:
    summary = results.summary[results.summary["seed"] == 0]
    caption = build("regimes", _with(results, summary)).caption
    assert "none can be tested" in caption
    assert "1 seed a cell" in caption


def test_what_was_not_run_stays_hatched(results: Results) -> None:
    left_out = results.summary["pruner"].eq("el2n") & results.summary["backbone"].eq("gwnet")
    first = build("regimes", _with(results, results.summary[~left_out])).figure.axes[0]
    mask = np.ma.getmaskarray(_cells(first))
    assert np.argwhere(mask).tolist() == [[0, 0], [0, 4]]


def test_without_any_control_the_panel_says_why_it_is_empty(results: Results) -> None:
    rivals = results.summary[results.summary["pruner"].isin(["full", "st_prune"])]
    drawing = build("regimes", _with(results, rivals))
    (axes,) = drawing.figure.axes
    assert "No run that a control could be compared with" in axes.texts[0].get_text()
    assert drawing.caption.count("was not run here") == 2


def test_many_names_are_narrow_columns_of_a_wider_figure(results: Results) -> None:
    ours = results.summary[results.summary["pruner"] == "st_prune"]
    more = [ours.assign(pruner=f"hard_share_{number}") for number in range(24)]
    figure = build("regimes", _with(results, pd.concat([results.summary, *more]))).figure
    assert figure.get_figwidth() > 7
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    boxes = [text.get_window_extent() for text in labels]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def _many_places(results: Results) -> Results:
    """Twelve data sets with the same numbers, six for each budget."""
    copies = []
    for number in range(12):
        part = results.summary[results.summary["backbone"] == "stid"].copy()
        part["dataset"] = f"road_{number}"
        part["budget"] = "epochs" if number < 6 else "total_time"
        copies.append(part)
    return _with(results, pd.concat(copies, ignore_index=True))


def test_many_places_are_averaged_by_budget(results: Results) -> None:
    many = _many_places(results)
    assert len(many.aggregate.drop_duplicates(["dataset", "backbone"])) > MOST_PLACES
    table = mean_over_places(many)
    one = results.aggregate[results.aggregate["backbone"] == "stid"]
    for budget, part in table.groupby("budget"):
        merged = part.merge(one, on=["pruner", "prune_ratio"], suffixes=("", "_one"))
        assert len(merged) == len(one), budget
        np.testing.assert_allclose(merged["test_mae"], merged["test_mae_change"])
        np.testing.assert_allclose(merged["total_percent"], merged["total_percent_one"])
        np.testing.assert_allclose(part["test_mae_sd"], 0, atol=1e-12)
        assert (part["places"] == 6).all()
    drawing = build("tradeoff", many)
    assert len(drawing.figure.axes) == 4
    titles = [axes.get_title(loc="left") for axes in drawing.figure.axes[::2]]
    assert titles == [
        f"Mean of 6 data sets with backbones, equal {b}" for b in ("epochs", "total time")
    ]
    assert drawing.figure.axes[0].get_ylabel() == "Change in test MAE (%)"


def test_mean_over_places_by_hand(results: Results) -> None:
    many = _many_places(results)
    table = many.aggregate.copy()
    ours = (
        table["pruner"].eq("st_prune") & table["prune_ratio"].eq(0.5) & table["budget"].eq("epochs")
    )
    table.loc[ours, "test_mae_change"] = [1.0, 2.0, 3.0, 4.0, 4.0, 10.0]
    mean = mean_over_places(replace(many, aggregate=table))
    row = mean[mean["pruner"].eq("st_prune") & mean["prune_ratio"].eq(0.5)].iloc[0]
    assert row["test_mae"] == 4.0
    assert row["test_mae_sd"] == pytest.approx(np.sqrt(50 / 5))


def test_curves_show_what_fits_and_name_the_rest(results: Results) -> None:
    many = _many_places(results)
    epochs = results.epochs[results.epochs["backbone"] == "stid"]
    copies = [epochs.assign(dataset=f"road_{number}") for number in range(12)]
    drawing = build("convergence", replace(many, epochs=pd.concat(copies)))
    assert len(drawing.figure.axes) == 2 * MOST_PLACES
    assert "Not shown, for want of room: road_8 with STID, road_9 with STID." in drawing.caption


def test_the_caption_counts_the_seeds_of_the_cells_not_of_full_training(results: Results) -> None:
    seeds_of_full = results.summary["pruner"].eq("full") | results.summary["seed"].eq(0)
    caption = build("regimes", _with(results, results.summary[seeds_of_full])).caption
    assert "1 seed a cell" in caption
