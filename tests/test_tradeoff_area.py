"""The area under a trade-off and the Pareto front: by hand, by brute force, and resampled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_summary import summary_of

from stprune.statistics.tradeoff import CAP, area, cloud, on_front, tradeoff_areas

Points = list[tuple[float, float]]
POINTS = st.lists(st.tuples(st.floats(0, 150), st.floats(-5, 20)), min_size=1, max_size=6)


def _area(points: Points) -> float:
    percent, change = np.array(points, dtype=float).T
    return float(area(percent[None], change[None])[0])


def _front(points: Points) -> list[bool]:
    percent, change = np.array(points, dtype=float).T
    found: list[bool] = on_front(percent[None], change[None])[0].tolist()
    return found


def test_area_worked_by_hand() -> None:
    # No run within 20 % of the time: 10. From 20 to 50 %: 6. From then on 2.
    assert _area([(50, 2), (20, 6)]) == pytest.approx((20 * 10 + 30 * 6 + 50 * 2) / 100)
    # Slower and worse than another adds nothing; slower than full training is no saving.
    assert _area([(50, 2), (20, 6), (60, 3)]) == pytest.approx(4.8)
    assert _area([(120, -3)]) == CAP
    assert _area([(100, 0)]) == CAP
    # Better than full training counts below 0, worse than the cap as the cap.
    assert _area([(0, -2)]) == -2.0
    assert _area([(10, 50)]) == CAP
    assert math.isnan(_area([(10, math.nan), (20, 1)]))


@given(POINTS)
def test_area_is_that_of_the_lowest_change_within_each_time(points: Points) -> None:
    times = (np.arange(20_000) + 0.5) / 200
    heights = [
        min([CAP, *(change for percent, change in points if percent <= time)])
        for time in times[::40]
    ]
    # Within the grid's step at each of the stairs.
    assert _area(points) == pytest.approx(float(np.mean(heights)), abs=0.2 * 15 * len(points) / 100)


@given(POINTS)
def test_front_is_that_of_comparing_all_pairs(points: Points) -> None:
    expected = [
        not any(other[0] <= one[0] and other[1] <= one[1] and other != one for other in points)
        for one in points
    ]
    assert _front(points) == expected
    assert any(expected)


def _runs(**changes: Any) -> pd.DataFrame:
    """Three seeds of full training at 2 and 100 s, and of x at 0.5 and 0.9."""
    runs = [("a", "full", 0.0, seed, 2.0) for seed in range(3)]
    runs += [("a", "x", 0.5, seed, mae) for seed, mae in enumerate((2.0, 2.1, 2.2))]  # + 5 %
    runs += [("a", "x", 0.9, seed, 2.4) for seed in range(3)]  # + 20 %
    frame = summary_of(runs)
    frame.loc[frame["prune_ratio"] == 0.5, "total_seconds"] = 60.0
    frame.loc[frame["prune_ratio"] == 0.9, "total_seconds"] = 20.0
    return frame.assign(**changes)


def test_means_and_rows_worked_by_hand() -> None:
    found = cloud(_runs().sample(frac=1, random_state=2))
    assert found.points == [("full", 0.0), ("x", 0.5), ("x", 0.9)]
    assert found.seeds.tolist() == [3, 3, 3]
    assert found.percent[0] == pytest.approx([100, 60, 20])
    assert found.change[0] == pytest.approx([0, 5, 20])
    # Whatever is drawn, what no seed varies in is the same.
    assert found.percent == pytest.approx(np.tile(found.percent[0], (len(found.percent), 1)))
    row = tradeoff_areas(_runs()).iloc[0]
    assert row["area"] == pytest.approx(0.6 * 10 + 0.4 * 5)
    # The mean over drawn seeds lies between 0 and 10 % and seldom at its ends (1 in 27 each).
    assert row["area_low"] == pytest.approx(6.0)
    assert row["area_high"] == pytest.approx(10.0)
    ratios, on, shares = zip(*row["front"], strict=True)
    assert (ratios, on) == ((0.5, 0.9), (True, True))
    assert shares == (1.0, 1.0)


def test_resampled_seeds_keep_their_runs_together() -> None:
    # Seeds differ tenfold, yet each run is 5 % above full training of its own seed.
    levels = np.array([1.0, 3.0, 10.0])
    runs = [("a", "full", 0.0, seed, level) for seed, level in enumerate(levels)]
    runs += [("a", "x", 0.5, seed, 1.05 * level) for seed, level in enumerate(levels)]
    found = cloud(summary_of(runs))
    assert len(found.change) > 1000
    assert found.change[:, 1] == pytest.approx(np.full(len(found.change), 5.0))


@pytest.mark.parametrize("lacking", ["seed == 2", "seed == 2 and prune_ratio == 0.5"])
def test_too_few_seeds_have_an_area_and_no_interval_or_share(lacking: str) -> None:
    runs = _runs()
    row = tradeoff_areas(runs.drop(runs.query(lacking).index)).iloc[0]
    assert (row["seeds"], row["area"]) == (2, pytest.approx(0.6 * 10 + 0.4 * 2.5))
    assert math.isnan(row["area_low"])
    assert all(math.isnan(share) for _, _, share in row["front"])


def test_equal_records_give_equal_intervals_and_no_others_runs_change_them() -> None:
    alone = tradeoff_areas(_runs())
    more = _runs()
    other = more[more["pruner"] == "x"].assign(pruner="y", test_mae=3.0)
    both = tradeoff_areas(pd.concat([other, more.iloc[::-1]]))
    columns = ["area", "area_low", "area_high"]
    assert both.query("pruner == 'x'")[columns].to_numpy() == pytest.approx(
        alone[columns].to_numpy()
    )
    assert both.query("pruner == 'y'")["area"].tolist() == [CAP]


@pytest.mark.parametrize("error", [0.0, math.nan])
def test_a_place_where_full_training_has_no_error_has_a_row_and_no_area(error: float) -> None:
    blank = _runs(dataset="b")
    blank["test_mae"] = blank["test_mae"].mask(blank["pruner"] == "full", error)
    areas = tradeoff_areas(pd.concat([_runs(), blank])).set_index("dataset")
    assert math.isnan(areas.loc["b", "area"])
    assert not any(on_front for _, on_front, _ in areas.loc["b", "front"])
    assert areas.loc["a"].equals(tradeoff_areas(_runs()).set_index("dataset").loc["a"])


def test_places_without_full_training_are_left_out_and_budgets_share_it() -> None:
    lone = _runs(dataset="b").query("pruner != 'full'")
    assert tradeoff_areas(pd.concat([_runs(), lone]))["dataset"].tolist() == ["a"]
    other = _runs(budget="steps").query("pruner != 'full'")
    assert tradeoff_areas(pd.concat([_runs(), other]))["budget"].tolist() == ["epochs", "steps"]
    assert tradeoff_areas(lone).empty
