"""The bars of the overhead figure are those worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_records import cost, epochs, record, write_run

from paper_figures.fig_overhead import epoch_parts
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.results.summarise import summarise
from stprune.results.summary import Results, load_results


def _results(root: Path, full_at: tuple[str, ...]) -> Results:
    """Full epochs of 10 s, of which a validation adds 1 s and a checkpoint 0.1 s; pruned of 4 s."""
    layout, files = ExperimentLayout(root), []
    for dataset in ("a", "b"):
        if dataset in full_at:
            run = record(RunKey(dataset, "stid", "full", 0.0, 0))
            files.append(write_run(layout, run, epochs(8)))
        # The first of its eight epochs is full, and not counted.
        table = [epochs(1)[0], *epochs(8, seconds=4.0, keep_ratio=0.3)[1:]]
        spent = cost(realised_keep_ratio=0.3, epoch_seconds=4.0, overhead_seconds=0.2)
        run = record(RunKey(dataset, "stid", "st_prune", 0.7, 0), cost=spent)
        files.append(write_run(layout, run, table))
    summarise(files, layout)
    return load_results(layout.store)


def test_parts_are_in_percent_of_full_trainings_epoch(tmp_path: Path) -> None:
    spent, relative = epoch_parts(_results(tmp_path, ("a", "b")))
    assert relative
    row = spent.set_index("pruner").loc["st_prune"]
    # A full epoch takes 10 + 1 + 0.1 s.
    assert row["scoring_seconds"] == pytest.approx(100 * 0.03 * 4 / 11.1)
    assert row["validation_seconds"] == pytest.approx(100 * 1 / 11.1)
    assert row["epoch_seconds"] == pytest.approx(100 * 4 / 11.1)
    # 0.3 of a full epoch's work of 10 s, and its own overhead.
    assert row["expected_epoch_seconds"] == pytest.approx(100 * 3.2 / 11.1)


def test_without_full_training_somewhere_everything_is_in_seconds(tmp_path: Path) -> None:
    spent, relative = epoch_parts(_results(tmp_path, ("a",)))
    assert not relative
    row = spent.set_index("pruner").loc["st_prune"]
    assert row["step_seconds"] == pytest.approx(0.85 * 4)
