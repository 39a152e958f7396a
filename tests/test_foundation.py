"""The table and the figure of held-out data, against numbers worked by hand."""

from pathlib import Path

import numpy as np
import pytest
from drawn import bars
from synthetic_records import cost, results_of, run_of, scores

from paper_figures import tab_foundation
from stprune.paper.figures import build
from stprune.paper.tables import DASH, to_cells
from stprune.records.run import Transfer
from stprune.results.labels import label
from stprune.results.summary import Results

MINUS = "\N{MINUS SIGN}"
# Pruner, prune ratio, seed, zero-shot and linear-probe MAE, total seconds.
RUNS: list[tuple[str, float, int, float, float | None, float]] = [
    ("full", 0.0, 0, 3.9, 2.0, 80.0),
    ("full", 0.0, 1, 4.1, 2.0, 120.0),
    ("st_prune", 0.5, 0, 4.4, 1.8, 50.0),
    ("st_prune", 0.5, 1, 4.4, 1.8, 60.0),
    ("random_dynamic", 0.5, 0, 5.0, None, 50.0),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    units = {
        "checksum": "d" * 64,
        "target_unit": "vehicles and miles",
        "held_out": {"far": {"target_unit": "vehicles"}},
    }
    runs = []
    for *cell, zero, probe, seconds in RUNS:
        found = Transfer(
            zero_shot=scores(zero), linear_probe=None if probe is None else scores(probe)
        )
        changes = {"backbone": "opencity", "data": units, "transfer": {"far": found}}
        runs.append(run_of("cities", *cell, 3.0, cost=cost(total_seconds=seconds), **changes))
    return results_of(tmp_path, runs)


def test_rows_are_those_worked_by_hand(results):
    table = tab_foundation.build(results)
    rows = [[cell.text for cell in row] for row in to_cells(table)]
    place = f"cities|far|vehicles|{label('opencity')}"
    assert ["|".join([*row[:7], *row[8:13]]) for row in rows] == [
        f"{place}|0|Full training|2|4.00 ± 0.14|+0.0|2.00 ± 0.00|+0.0|100.0",
        f"{place}|0.5|Random (dynamic)|1|5.00|+25.0|{DASH}|{DASH}|50.0",
        f"{place}|0.5|ST-Prune|2|4.40 ± 0.00|+10.0|1.80 ± 0.00|{MINUS}10.0|55.0",
    ]
    assert "full_fewer_epochs was not run here." in table.caption


def test_the_figure_shows_the_numbers_of_the_table(results):
    drawing = build("foundation", results)
    frame = tab_foundation.held_out_scores(results)
    panels = drawing.figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["Zero-shot", "Linear probe"]
    assert panels[0].get_ylabel().endswith("MAE (vehicles)")
    for axes, score in zip(panels, ("zero_shot_mae", "linear_probe_mae"), strict=True):
        drawn = [tuple(point) for line in bars(axes) for point in line.tolist()]
        expected = frame[["total_percent", score]].dropna().itertuples(index=False, name=None)
        shown = np.array(sorted(point for point in drawn if not np.isnan(point[1])))
        assert shown == pytest.approx(np.array(sorted(expected)))
    assert "1 to 2 seeds" in drawing.caption
