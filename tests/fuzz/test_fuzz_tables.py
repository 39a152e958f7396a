"""Own data at random: as a plain reading without numpy and pandas has it, or one clear line."""

import csv
import io
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import EXAMPLES, campaign, damaged, outcome, seeds
from own_data import WIDE, card_with

from stprune.data.canonical import RawSeries
from stprune.data.formats import table

START = datetime(2024, 2, 28, 22)
NAMES = ["a", "b", "7", "007"]
# Minutes from the start, sensor, and value or None.
Row = tuple[int, int, float | None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random")


def check(raw: RawSeries) -> None:
    assert raw.values.dtype == np.float32
    assert raw.values.shape == raw.mask.shape
    assert np.isfinite(raw.values).all()
    assert not raw.values[~raw.mask].any()
    assert len(set(raw.node_ids)) == raw.values.shape[1]


def plain_reading(rows, sensors, steps, rules, policy):
    """Value by step and sensor, for those that were observed; None if a rule refuses the rows."""
    if (rules["gaps"] == "missing" or rules["missing_numbers"]) and policy != "nan":
        return None
    cells: dict[tuple[int, int], list[float | None]] = {}
    for minutes, sensor, number in rows:
        value = None if number in rules["missing_numbers"] else number
        if value is None and policy != "nan":
            return None
        if value is not None and value < 0 and not rules["allow_negative"]:
            return None
        if policy == "zero" and value == 0:
            value = None
        cells.setdefault((minutes, sensor), []).append(value)
    steps_of: dict[tuple[int, int], list[float | None]] = {}
    for (minutes, sensor), values in sorted(cells.items()):
        if len(values) > 1 and rules["duplicates"] == "refuse":
            return None
        there = [value for value in values if value is not None]
        chosen = {
            "first": values[0],
            "last": values[-1],
            "mean": sum(there) / len(there) if there else None,
        }.get(rules["duplicates"], values[0])
        if not 0 <= minutes < 60 * steps or (minutes % 60 and rules["resample"] == "none"):
            return None
        steps_of.setdefault((minutes // 60, sensor), []).append(chosen)
    covered = {step for step, _ in steps_of}
    if 0 not in covered or steps - 1 not in covered:
        return None
    if rules["gaps"] == "refuse" and len(steps_of) < steps * sensors:
        return None
    found = {}
    for place, values in steps_of.items():
        there = [value for value in values if value is not None]
        if there:
            found[place] = sum(there) / len(there)
    return found if {sensor for _, sensor in found} == set(range(sensors)) else None


@settings(campaign, max_examples=EXAMPLES)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(2, 4)),
    more=st.lists(
        st.tuples(
            st.sampled_from([0, 60, 120, 180, 30, 240, -60]),
            st.integers(0, 3),
            st.one_of(st.none(), st.sampled_from([0.0, 1.5, 2.0, -3.0, -999.0, 1e12])),
        ),
        max_size=6,
    ),
    left_out=st.integers(0, 4),
    order=st.randoms(),
    rules=st.fixed_dictionaries(
        {
            "duplicates": st.sampled_from(["refuse", "first", "last", "mean"]),
            "gaps": st.sampled_from(["refuse", "missing"]),
            "resample": st.sampled_from(["none", "mean"]),
            "missing_numbers": st.sampled_from([[], [-999.0], [0.0]]),
            "allow_negative": st.sampled_from([[], ["flow"]]),
        }
    ),
    policy=st.sampled_from(["nan", "nan", "nan", "none", "zero"]),
    kind=st.sampled_from(["csv", "parquet"]),
)
def test_rows_by_all_rules(folder, shape, more, left_out, order, rules, policy, kind):
    sensors, steps = shape
    rows: list[Row] = [(60 * t, n, 1.0 + 10 * t + n) for t in range(steps) for n in range(sensors)]
    rows += [(minutes, sensor % sensors, value) for minutes, sensor, value in more]
    if left_out:
        rows = [row for number, row in enumerate(rows) if number % (left_out + 3)]
    order.shuffle(rows)
    if {sensor for _, sensor, _ in rows} != set(range(sensors)):
        return
    frame = pd.DataFrame(
        {
            "time": [START + timedelta(minutes=minutes) for minutes, _, _ in rows],
            "sensor": [NAMES[sensor] for _, sensor, _ in rows],
            "flow": [value for _, _, value in rows],
        }
    )
    path = folder / f"rows.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    options = {"layout": "long", "time": "time", "node": "sensor", **rules}
    card = card_with(options, steps=steps, nodes=sensors, start=START, mask_policy=policy)
    raw = outcome(table.load, card, {"series": path})
    expected = plain_reading(rows, sensors, steps, rules, policy)
    assert (raw is None) == (expected is None)
    if raw is None or expected is None:
        return
    check(raw)
    assert raw.values.shape == (steps, sensors, 1)
    for step in range(steps):
        assert raw.timestamps[step] == np.datetime64(START + step * timedelta(hours=1))
        for number, name in enumerate(raw.node_ids):
            value = expected.get((step, NAMES.index(name)))
            assert raw.mask[step, number, 0] == (value is not None)
            assert raw.values[step, number, 0] == pytest.approx(value or 0.0, rel=1e-6)


@campaign
@given(seed=seeds)
def test_every_cell_of_a_csv_is_what_a_plain_reading_says(folder, seed):
    path = folder / "series.csv"
    path.write_text(WIDE)
    card = card_with({"time": "time"}, mask_policy="nan")
    for content, raw in damaged(seed, path, table.load, card, {"series": path}):
        check(raw)
        header, *lines = csv.reader(io.StringIO(content.decode("utf-8-sig").strip(), newline=None))
        names = [name.strip() for name in header]
        rows = sorted(
            (datetime.fromisoformat(cells["time"]).replace(tzinfo=None), cells)
            for cells in (dict(zip(names, map(str.strip, line), strict=True)) for line in lines)
        )
        assert raw.node_ids == [name for name in names if name != "time"]
        assert [moment for moment, _ in rows] == raw.timestamps.tolist()
        for step, (_, cells) in enumerate(rows):
            for node, name in enumerate(raw.node_ids):
                missing = cells[name].lower() in ("", "na", "n/a", "nan", "null", "none")
                assert raw.mask[step, node, 0] == (not missing)
                assert raw.values[step, node, 0] == (0 if missing else np.float32(cells[name]))
