"""Marks of significance in the main table: which cells get one, and which cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_summary import Run, most_false_alarms, noisy_summary, summary_of
from scipy import stats
from synthetic_records import write_experiment

from paper_figures import tab_main
from paper_figures.cell_marks import cell_marks
from stprune.paper.tables import to_latex, to_markdown
from stprune.results.summary import load_results

SEEDS = range(3)
# Percent above or below the control, by seed.
NEARLY_10 = (-10.0, -10.1, -9.9)


def _runs(pruner: str, changes: tuple[float, ...], level: float = 2.0) -> list[Run]:
    return [
        ("a", pruner, 0.5, seed, level * (1 + change / 100)) for seed, change in enumerate(changes)
    ]


def test_marks_follow_the_sign_and_holms_correction() -> None:
    runs: list[Run] = [("a", "full", 0.0, seed, 2.0) for seed in SEEDS]
    runs += _runs("random_dynamic", (0.0, 0.0, 0.0))
    runs += _runs("better", NEARLY_10) + _runs("worse", (10.0, 10.1, 9.9))
    runs += _runs("unsure", (-10.0, 10.0, 1.0))
    marks = cell_marks(summary_of(runs)).set_index("pruner")
    assert marks["control_marks"].to_dict() == {
        "better": "†",
        "random_dynamic": None,
        "unsure": None,
        "worse": None,
    }
    assert marks["full_mark"].to_dict() == {
        "better": "*",
        "random_dynamic": None,
        "unsure": None,
        "worse": "*",
    }
    p = stats.ttest_1samp(NEARLY_10, 0).pvalue
    # The least two of three p values are equal, so both are multiplied by 3.
    assert marks.loc["better", "random_dynamic_holm_p"] == pytest.approx(3 * p)
    assert marks["full_fewer_epochs_holm_p"].isna().all()


def test_two_seeds_are_not_tested_and_an_error_of_0_is_no_difference() -> None:
    runs = [*_runs("random_dynamic", (0.0, 0.0)), *_runs("better", NEARLY_10[:2])]
    marks = cell_marks(summary_of(runs))
    assert marks["random_dynamic_holm_p"].isna().all()
    assert marks["control_marks"].isna().all()
    perfect = [*_runs("random_dynamic", (0.0,) * 3, level=0.0), *_runs("better", NEARLY_10)]
    assert cell_marks(summary_of(perfect)).empty


def test_chance_marks_no_more_places_than_it_may() -> None:
    rng, places = np.random.default_rng(6), 200
    losses = dict.fromkeys(("random_dynamic", "x", "y", "z"), 0.0)
    marks = cell_marks(noisy_summary(rng, losses, places, seeds=5, spread=1.0))
    marked = marks.groupby("dataset")["random_dynamic_holm_p"].min().lt(0.05).sum()
    assert 0 < marked <= most_false_alarms(places)


def test_the_main_table_sets_the_marks_after_its_numbers(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path, seeds=range(5), ratios=(0.9,))
    table = tab_main.build(load_results(layout.store))
    row = table.frame.set_index("pruner").loc["full_fewer_epochs"]
    assert row["full_mark"] == "*"
    line = next(x for x in to_markdown(table).splitlines() if "| Full (fewer epochs) |" in x)
    assert f"{row['test_mae_change']:+.1f}\\*" in line
    assert f"{row['test_mae_change']:+.1f}* &" in to_latex(table, "main")


def test_daggers_are_set_in_latex(tmp_path: Path) -> None:
    table = tab_main.build(load_results(write_experiment(tmp_path).store))
    latex = to_latex(table, "main")
    assert r"\dag{} lower MAE than random\_dynamic, \ddag{} lower" in latex
