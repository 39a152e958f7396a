"""The table of efficiency: means over seeds worked by hand, and dashes for what was not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic_records import cost, epochs, record, write_run

from paper_figures import tab_efficiency
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.paper.tables import DASH, to_cells
from stprune.results.summarise import summarise
from stprune.results.summary import Results, load_results


def _results(root: Path, *spent: dict[str, Any]) -> Results:
    """Full training with one seed, and a pruner with a seed for each of ``spent``."""
    layout = ExperimentLayout(root)
    keys = [RunKey("a", "stid", "full", 0.0, 0)]
    keys += [RunKey("a", "stid", "st_prune", 0.5, seed) for seed in range(len(spent))]
    costs = [cost(), *(cost(realised_keep_ratio=0.5, **changes) for changes in spent)]
    files = [
        write_run(layout, record(key, cost=own), epochs(8))
        for key, own in zip(keys, costs, strict=True)
    ]
    summarise(files, layout)
    return load_results(layout.store)


def test_means_and_shares_are_those_worked_by_hand(tmp_path: Path) -> None:
    common = {"overhead_seconds": 0.5, "peak_memory_bytes": 2 * 10**9}
    slow = {"epoch_seconds": 5.0, "total_seconds": 60.0, "processor_joules": 3000.0, **common}
    fast = {"epoch_seconds": 4.0, "total_seconds": 40.0, "processor_joules": 1000.0, **common}
    table = tab_efficiency.build(_results(tmp_path, slow, fast))
    row = table.frame.set_index("pruner").loc["st_prune"]
    assert row["epoch_seconds"] == 4.5
    assert row["epoch_seconds_sd"] == pytest.approx(0.5**0.5)
    # Full training's epoch takes 10 s, and its whole run 88.8 s.
    assert row["epoch_percent"] == pytest.approx(45)
    assert row["total_percent"] == pytest.approx(100 * 50 / 88.8)
    # 0.5 of 5 s and 0.5 of 4 s.
    assert row["overhead_percent"] == pytest.approx((10 + 12.5) / 2)
    assert row["peak_megabytes"] == 2000
    assert row["processor_kilojoules"] == 2
    assert "reading of energy" not in table.caption


def test_energy_that_one_seed_did_not_read_is_a_dash(tmp_path: Path) -> None:
    table = tab_efficiency.build(_results(tmp_path, {"processor_joules": 3000.0}, {}))
    cells = {column.key: at for at, column in enumerate(table.columns)}
    for row in to_cells(table):
        assert row[cells["processor_kilojoules"]].text == DASH
        assert row[cells["device_kilojoules"]].text == DASH
    assert "No run of this experiment has a reading of energy." in table.caption
