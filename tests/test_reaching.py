"""Time to full training's mean accuracy: the goal, who is censored where, and the verdicts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_up_summary import most_false_alarms

from stprune.base.layout import RunKey
from stprune.statistics.reaching import compare_reaching, times_to_goal

Curve = list[float]
SeededRun = tuple[str, str, float, int, Curve, float]


def _epochs(*runs: SeededRun) -> pd.DataFrame:
    """Data set, pruner, ratio, seed, validation MAE of each epoch, and seconds an epoch."""
    rows = [
        (dataset, "stid", pruner, ratio, seed, epoch, mae, (epoch + 1) * pace)
        for dataset, pruner, ratio, seed, curve, pace in runs
        for epoch, mae in enumerate(curve)
    ]
    names = [*RunKey._fields, "epoch", "validation_mae", "elapsed_seconds"]
    return pd.DataFrame(rows, columns=names)


WORKED = _epochs(
    ("a", "full", 0.0, 0, [5.0, 3.0, 4.0], 10.0),
    ("a", "full", 0.0, 1, [5.0, 4.0, 2.0, 2.5], 10.0),  # the goal is (3 + 2) / 2, horizon 40 s
    ("a", "x", 0.5, 0, [math.nan, 2.5, 9.0], 4.0),  # there after 8 s
    ("a", "x", 0.5, 1, [3.0, 2.6], 4.0),  # never, and over after 8 s
    ("a", "x", 0.5, 2, [3.0, 3.0, 1.0], 20.0),  # there after 60 s: not within 40
    ("b", "x", 0.5, 0, [0.0], 1.0),  # full was not run
)


def test_goal_horizon_and_times_worked_by_hand() -> None:
    times = times_to_goal(WORKED.sample(frac=1, random_state=5)).set_index(["pruner", "seed"])
    assert set(times["goal"]) == {2.5}
    assert set(times["horizon_seconds"]) == {40.0}
    found = times[["seconds", "reached"]].sort_index().to_dict("index")
    assert found == {
        ("full", 0): {"seconds": 40.0, "reached": False},
        ("full", 1): {"seconds": 30.0, "reached": True},
        ("x", 0): {"seconds": 8.0, "reached": True},
        # Its own end, after 8 s, is not what it is given credit for.
        ("x", 1): {"seconds": 40.0, "reached": False},
        ("x", 2): {"seconds": 40.0, "reached": False},
    }


def test_rows_worked_by_hand() -> None:
    table = compare_reaching(WORKED)
    rows = table.set_index(["dataset", "pruner"])
    assert list(rows.index) == [("all", "full"), ("all", "x"), ("a", "full"), ("a", "x")]
    x = rows.loc[("a", "x")]
    assert (x["seeds"], x["reached"]) == (3, 1)
    assert x["mean_seconds"] == pytest.approx((8 + 40 + 40) / 3)
    assert x["mean_percent"] == pytest.approx(100 * (88 / 3) / 35)
    assert rows.loc[("a", "full"), "mean_seconds"] == pytest.approx(35.0)
    assert rows["verdict"].tolist() == [None, "too few", None, "too few"]
    assert rows[["p", "holm_p"]].isna().all(axis=None)


def _noisy(
    rng: np.random.Generator, paces: dict[str, float], datasets: int, seeds: int
) -> pd.DataFrame:
    """Curves that fall to 1 in noise; a pace above 1 falls in that many times fewer epochs."""
    steps = np.arange(1, 41)
    runs: list[SeededRun] = []
    for place in range(datasets):
        for pruner, pace in paces.items():
            for seed in range(seeds):
                curve = 1 + 3 * np.exp(-0.1 * pace * steps) + 0.02 * rng.random(40)
                ratio = 0.0 if pruner == "full" else 0.5
                runs.append((f"d{place}", pruner, ratio, seed, curve.tolist(), 1 + rng.random()))
    return _epochs(*runs)


def test_known_paces_get_the_right_verdicts() -> None:
    paces = {"full": 1.0, "quick": 4.0, "slow": 0.4, "equal": 1.0}
    table = compare_reaching(_noisy(np.random.default_rng(1), paces, 3, 5))
    overall = table[table["dataset"] == "all"].set_index("pruner")["verdict"].to_dict()
    assert overall == {"full": None, "quick": "faster", "slow": "slower", "equal": "tie"}
    quick = table[table["pruner"] == "quick"]
    assert quick["reached"].tolist() == [15, 5, 5, 5]
    assert (quick["mean_percent"] < 80).all()
    assert (quick["excess"] > 0).all()


def test_too_few_is_what_no_outcome_could_bring_below_the_level_after_correction() -> None:
    rng = np.random.default_rng(2)
    # Five against five: 2 / 252 for each of six is just below 0.05, of seven above.
    six = {"full": 1.0, **{f"p{n}": 4.0 for n in range(6)}}
    seven = six | {"p6": 4.0}
    places = [compare_reaching(_noisy(rng, paces, 1, 5)) for paces in (six, seven)]
    verdicts = [set(table["verdict"].dropna()) for table in places]
    assert "too few" not in verdicts[0]
    assert verdicts[1] == {"too few"}


def test_without_full_training_there_is_an_empty_table() -> None:
    table = compare_reaching(_epochs(("a", "x", 0.5, 0, [1.0], 1.0)))
    assert table.empty
    assert {"mean_seconds", "holm_p", "verdict"} <= set(table)


def test_without_any_difference_a_family_is_wrong_at_the_stated_rate() -> None:
    paces = {"full": 1.0, "x": 1.0, "y": 1.0}
    table = compare_reaching(_noisy(np.random.default_rng(4), paces, datasets=200, seeds=5))
    places = table[table["dataset"] != "all"].groupby("dataset")["verdict"]
    wrong = places.agg(lambda some: not {"faster", "slower"}.isdisjoint(some)).sum()
    assert len(places) == 200
    assert wrong < most_false_alarms(200)
