"""What a mean error hides, and which windows an incident touches: by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stprune.base.errors import DataError
from stprune.describe.masking import in_quarters, masking_by_node, masking_table
from stprune.training.evaluation import incident_windows

NAN = float("nan")


def masked() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Eight windows at four nodes; in the two of the lowest mean one node is as bad as any."""
    errors = np.repeat(np.arange(1.0, 9)[:, None], 4, axis=1)
    errors[0] = [0, 0, 0, 5]
    errors[1] = [0, 0, 0, 7]
    return errors


def test_a_bad_node_in_a_calm_window_is_found() -> None:
    found = in_quarters(masked())
    assert found.quarter.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    # The median of all 32 errors is 5: large are 6, 7, 8 of three windows, and the hidden 7.
    table = masking_table(found, [0.5]).set_index(["of", "quarter"])
    calm = table.loc[("all nodes", 1)]
    assert calm["mean_error"] == pytest.approx((5 / 4 + 7 / 4) / 2)
    assert calm["large_share"] == pytest.approx(1 / 8)
    assert calm["windows_with_any"] == pytest.approx(1 / 2)
    assert calm["share_of_large"] == pytest.approx(1 / 13)
    assert table.loc[("all nodes", 4), "large_share"] == 1
    # Node 3 has 5, 7, 3, ..., 8: its median is 5.5; the other nodes' is 4.5.
    own = table.loc["own node"]
    assert own.loc[1, "large_share"] == pytest.approx(1 / 8)
    assert own.loc[3, "large_share"] == pytest.approx((3 + 4) / 8)
    assert own["windows"].tolist() == [2, 2, 2, 2]


def test_a_node_of_a_larger_scale_is_large_of_all_but_not_of_its_own() -> None:
    errors = np.random.default_rng(0).random((400, 5))
    errors[:, 0] *= 100
    table = masking_table(in_quarters(errors), [0.9]).groupby("of")["share_of_large"].first()
    # Windows are ranked by node 0 alone: what it does not decide is spread evenly.
    assert table["all nodes"] == 0
    assert table["own node"] == pytest.approx(0.2, abs=0.06)


def test_nodes_and_windows_without_targets_count_nowhere() -> None:
    with pytest.raises(DataError):
        in_quarters(masked()[:3])
    errors = masked()
    errors[:, 1] = NAN
    errors = np.vstack([errors, np.full(4, NAN)])
    found = in_quarters(errors)
    assert len(found.means) == 8
    assert found.means[0] == pytest.approx(5 / 3)
    nodes = masking_by_node(found, ["a", "b", "c", "d"], 0.5).set_index("node")
    assert nodes.loc["b"].isna().all()
    assert nodes.loc["d", "error_in_calm_windows"] == 6
    assert nodes.loc["d", "large_share_in_calm_windows"] == 0.5
    assert nodes.loc["a", "mean_error"] == pytest.approx(33 / 8)


@pytest.mark.parametrize(
    ("steps", "first", "windows"),
    [
        ([(5, 6)], 0, [2, 3, 4]),
        ([(5, 6)], 2, [0, 1, 2]),
        # Before the targets of the first window, at both ends, and after the last.
        ([(0, 1), (13, 20)], 0, []),
        ([(0, 2), (12, 20)], 0, [0, 9]),
    ],
)
def test_windows_with_an_incident_by_hand(
    steps: list[tuple[int, int]], first: int, windows: list[int]
) -> None:
    # The targets of a window that starts at step i are steps i + 2 and i + 3.
    events = pd.DataFrame(steps, columns=["first_step", "last_step"])
    touched = incident_windows(events, np.arange(first, first + 10) + 2, horizon=2)
    assert np.flatnonzero(touched).tolist() == windows
