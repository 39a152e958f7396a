"""Own data at random: a right data set, compared with a plain reading, or one clear line.

The plain readings here go cell by cell through dictionaries, without numpy, and know nothing of
the loader. Each check runs for a few examples, and for many where slow tests run.
"""

from __future__ import annotations

import csv
import io
import math
import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_data import WIDE, card_with

from stprune.base.errors import StpruneError
from stprune.data.canonical import RawSeries
from stprune.data.card import load_card
from stprune.data.formats import table
from stprune.data.table.graph import read_graph
from stprune.data.table.options import Options

# STPRUNE_FUZZ_EXAMPLES is for whoever changed a rule and wants to be sure.
FEW, MANY = 25, int(os.environ.get("STPRUNE_FUZZ_EXAMPLES", "100"))
START = datetime(2024, 2, 28, 22)
HOUR = timedelta(hours=1)
NAMES = ["a", "b", "7", "007"]


def check_settings(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


Found = TypeVar("Found")


def outcome(read: Callable[[], Found]) -> Found | None:
    """What was read, or None if it was refused by one line."""
    try:
        return read()
    except StpruneError as error:
        refusal = str(error)
    assert len(refusal.splitlines()) == 1
    return None


def check_canonical(raw: RawSeries) -> None:
    assert raw.values.dtype == np.float32
    assert raw.values.shape == raw.mask.shape
    assert np.isfinite(raw.values).all()
    assert not raw.values[~raw.mask].any()
    assert np.isfinite(raw.adjacency).all()
    assert (raw.adjacency >= 0).all()
    assert len(set(raw.node_ids)) == raw.values.shape[1]


# Rows at random: each is (minutes from the start, sensor, value or None).
Row = tuple[int, int, float | None]

rows_at_random = st.lists(
    st.tuples(
        st.sampled_from([0, 60, 120, 180, 30, 240, -60]),
        st.integers(0, 3),
        st.one_of(st.none(), st.sampled_from([0.0, 1.5, 2.0, -3.0, -999.0, 1e12])),
    ),
    max_size=6,
)
rules_at_random = st.fixed_dictionaries(
    {
        "duplicates": st.sampled_from(["refuse", "first", "last", "mean"]),
        "gaps": st.sampled_from(["refuse", "missing"]),
        "resample": st.sampled_from(["none", "mean"]),
        "missing_numbers": st.sampled_from([[], [-999.0], [0.0]]),
        "allow_negative": st.sampled_from([[], ["flow"]]),
    }
)


def whole(sensors: int, steps: int) -> list[Row]:
    """Every sensor at every step, with values that are all different."""
    return [(60 * t, n, 1.0 + 10 * t + n) for t in range(steps) for n in range(sensors)]


def plain_reading(
    rows: list[Row], sensors: int, steps: int, rules: dict[str, Any], policy: str
) -> dict[tuple[int, int], float] | None:
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
    if {sensor for _, sensor in found} != set(range(sensors)):
        return None
    return found


def check_rows(
    folder: Path,
    shape: tuple[int, int],
    more: list[Row],
    left_out: int,
    order: random.Random,
    rules: dict[str, Any],
    policy: str,
    kind: str,
) -> None:
    sensors, steps = shape
    rows = [*whole(sensors, steps), *((m, n % sensors, v) for m, n, v in more)]
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
    raw = outcome(lambda: table.load(card, {"series": path}))
    expected = plain_reading(rows, sensors, steps, rules, policy)
    assert (raw is None) == (expected is None)
    if raw is None or expected is None:
        return
    check_canonical(raw)
    assert raw.values.shape == (steps, sensors, 1)
    for step in range(steps):
        assert raw.timestamps[step] == np.datetime64(START + step * HOUR)
        for number, name in enumerate(raw.node_ids):
            value = expected.get((step, NAMES.index(name)))
            assert raw.mask[step, number, 0] == (value is not None)
            assert raw.values[step, number, 0] == pytest.approx(value or 0.0, rel=1e-6)


ROWS = {
    "shape": st.tuples(st.integers(1, 4), st.integers(2, 4)),
    "more": rows_at_random,
    "left_out": st.integers(0, 4),
    "order": st.randoms(),
    "rules": rules_at_random,
    "policy": st.sampled_from(["nan", "nan", "nan", "none", "zero"]),
    "kind": st.sampled_from(["csv", "parquet"]),
}


@check_settings(2 * FEW)
@given(**ROWS)
def test_rows_by_all_rules(folder: Path, **drawn: Any) -> None:
    check_rows(folder, **drawn)


@pytest.mark.slow
@check_settings(MANY)
@given(**ROWS)
def test_rows_by_all_rules_at_length(folder: Path, **drawn: Any) -> None:
    check_rows(folder, **drawn)


def plain_wide(content: bytes) -> tuple[list[str], dict[datetime, list[float]]]:
    """Sensors and rows of a wide csv; any exception means that a file is not plain."""
    # A carriage return alone ends a line as well.
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=None)))
    while lines and not "".join(lines[-1]).strip():
        lines.pop()
    header = [name.strip() for name in lines[0]]
    time = header.index("time")
    rows: dict[datetime, list[float]] = {}
    for line in lines[1:]:
        assert len(line) == len(header)
        moment = datetime.fromisoformat(line[time].strip()).replace(tzinfo=None)
        assert moment not in rows
        cells = [cell.strip() for place, cell in enumerate(line) if place != time]
        missing = ("", "na", "n/a", "nan", "null", "none")
        rows[moment] = [math.nan if cell.lower() in missing else float(cell) for cell in cells]
    return [name for name in header if name != "time"], rows


def mutated(content: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    """``content`` with pieces put in place of single bytes."""
    changed = bytearray(content)
    for place, piece in changes:
        at = place % max(1, len(changed))
        changed[at : at + 1] = piece
    return bytes(changed)


PIECES = [
    *(bytes([byte]) for byte in b"0159,;.-+eE\"'\n\r\t :TZabx_ \x00\xff\x1c\x0c"),
    *(word.encode() for word in ("nan", "inf", "", "1e400", "\u0661", "\u2028", "12", "\n\n")),
]
text_changes = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(PIECES)), min_size=1, max_size=4
)


def check_text(folder: Path, changes: list[tuple[int, bytes]]) -> None:
    content = mutated(WIDE.encode(), changes)
    path = folder / "series.csv"
    path.write_bytes(content)
    # Gaps may be missing rows, and nothing else is allowed to be lost.
    card = card_with({"time": "time"}, mask_policy="nan")
    raw = outcome(lambda: table.load(card, {"series": path}))
    if raw is None:
        return
    check_canonical(raw)
    names, rows = plain_wide(content)
    assert raw.node_ids == names
    assert [time.astype("datetime64[s]").item() for time in raw.timestamps] == sorted(rows)
    for step, moment in enumerate(sorted(rows)):
        for node, value in enumerate(rows[moment]):
            assert raw.mask[step, node, 0] == (not math.isnan(value))
            if not math.isnan(value):
                assert raw.values[step, node, 0] == np.float32(value)


@check_settings(2 * FEW)
@given(changes=text_changes)
def test_a_csv_with_changed_bytes(folder: Path, changes: list[tuple[int, bytes]]) -> None:
    check_text(folder, changes)


@pytest.mark.slow
@check_settings(MANY)
@given(changes=text_changes)
def test_a_csv_with_changed_bytes_at_length(folder: Path, changes: list[tuple[int, bytes]]) -> None:
    check_text(folder, changes)


def binary_file(kind: str) -> bytes:
    """A valid file of three hours of two sensors, which any of the formats can hold."""
    values = np.array([[1, 2.5], [3, 4], [5, 0]])
    times = np.datetime64("2024-01-01", "s") + np.arange(3) * np.timedelta64(3600, "s")
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, values)
    elif kind == "npz":
        np.savez_compressed(file, values=values, when=times)
    elif kind == "parquet":
        pd.DataFrame({"when": times, "a": values[:, 0], "b": values[:, 1]}).to_parquet(file)
    else:
        with h5py.File(file, "w") as store:
            store["values"] = values
            store["when"] = (times - np.datetime64(0, "s")).astype(int)
    return file.getvalue()


BINARY: dict[str, dict[str, Any]] = {
    "npy": {"layout": "array"},
    "npz": {"layout": "array", "array": "values", "time": "when"},
    "parquet": {"time": "when"},
    "h5": {"layout": "array", "array": "values", "time": "when", "time_format": "seconds"},
}


def check_binary(folder: Path, kind: str, changes: list[tuple[int, bytes]], cut: int) -> None:
    content = mutated(binary_file(kind), changes)
    path = folder / f"series.{kind}"
    path.write_bytes(content[: len(content) - cut] if cut else content)
    card = card_with(BINARY[kind], mask_policy="nan")
    raw = outcome(lambda: table.load(card, {"series": path}))
    if raw is not None:
        check_canonical(raw)
        assert [str(time) for time in raw.timestamps[:1]] == ["2024-01-01T00:00:00"]


BYTES = {
    "kind": st.sampled_from(sorted(BINARY)),
    "changes": st.lists(st.tuples(st.integers(0, 10**5), st.binary(max_size=3)), max_size=4),
    "cut": st.sampled_from([0, 0, 0, 1, 40, 300]),
}


@check_settings(2 * FEW)
@given(**BYTES)
def test_binary_files_with_changed_bytes(folder: Path, **drawn: Any) -> None:
    check_binary(folder, **drawn)


@pytest.mark.slow
@check_settings(MANY)
@given(**BYTES)
def test_binary_files_with_changed_bytes_at_length(folder: Path, **drawn: Any) -> None:
    check_binary(folder, **drawn)


def test_the_files_that_are_damaged_are_right_before(folder: Path) -> None:
    for kind in BINARY:
        (folder / f"whole.{kind}").write_bytes(binary_file(kind))
        raw = table.load(card_with(BINARY[kind]), {"series": folder / f"whole.{kind}"})
        np.testing.assert_array_equal(raw.values[:, :, 0], [[1, 2.5], [3, 4], [5, 0]])


def check_graph(
    folder: Path, weights: list[list[float]], order: list[int], role: str, ids: str
) -> None:
    """The same graph in another order of sensors, and perhaps with numbers that are none."""
    nodes = len(weights)
    names = [f"s{number}" for number in range(nodes)]
    order = [number for number in order if number < nodes]
    cells = [[str(weights[i][j]) for j in order] for i in order]
    shuffled = [names[number] for number in order]
    if role == "edges":
        lines = ["from,to,weight"]
        lines += [
            f"{shuffled[i]},{shuffled[j]},{cells[i][j]}"
            for i in range(nodes)
            for j in range(nodes)
            if i == j or weights[order[i]][order[j]] != 0
        ]
    elif ids == "header":
        lines = [",".join(row) for row in [shuffled, *cells]]
    else:
        lines = [",".join(["", *shuffled])]
        lines += [",".join([name, *row]) for name, row in zip(shuffled, cells, strict=True)]
    path = folder / "graph.csv"
    path.write_text("\n".join(lines))
    pairs = [(i, j) for i in range(nodes) for j in range(nodes)]
    # Loops are left out: a matrix may have anything there, a list of edges any proper number.
    right = all(0 <= weights[i][j] < 1e15 for i, j in pairs if i != j)
    if role == "edges":
        right &= all(0 <= weights[i][i] < math.inf for i in range(nodes))
    found = outcome(lambda: read_graph(role, path, names, Options()))
    assert (found is not None) == right
    if found is None:
        return
    for i, j in pairs:
        assert found[i, j] == (0 if i == j else np.float32(weights[i][j]))


def square(size: int) -> st.SearchStrategy[list[list[float]]]:
    numbers = st.one_of(
        st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0, 1e-3]),
        st.sampled_from([0.0, 2.0, -1.0, math.nan, math.inf, 1e300]),
    )
    few = st.lists(numbers, min_size=size, max_size=size)
    return st.lists(few, min_size=size, max_size=size)


GRAPHS = {
    "weights": st.integers(2, 4).flatmap(square),
    "order": st.permutations([0, 1, 2, 3]),
    "role": st.sampled_from(["adjacency", "edges"]),
    "ids": st.sampled_from(["header", "both"]),
}


@check_settings(2 * FEW)
@given(**GRAPHS)
def test_graphs_in_any_order(folder: Path, **drawn: Any) -> None:
    check_graph(folder, **drawn)


@pytest.mark.slow
@check_settings(MANY)
@given(**GRAPHS)
def test_graphs_in_any_order_at_length(folder: Path, **drawn: Any) -> None:
    check_graph(folder, **drawn)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["a.csv", "long", "nan", "mean", "time", "flow", "2024-01-01", "1e3", ".inf"]),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)


def card_places(values: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in nested mappings and lists."""
    if isinstance(values, dict):
        items = list(values.items())
    elif isinstance(values, list):
        items = list(enumerate(values))
    else:
        return [place]
    inside = [found for key, value in items for found in card_places(value, (*place, key))]
    return [place, *inside] if place else inside


def check_card(folder: Path, number: int, value: Any, key: str, changes: list[Any]) -> None:
    (folder / "series.csv").write_text(WIDE)
    files = {"series": {"path": "series.csv", "sha256": "0" * 64}}
    options = {"time": "time", "graph": {"weights": "given"}, "columns": [], "layout": "wide"}
    values = card_with(options).model_dump(mode="json") | {"files": files}
    places = card_places(values)
    *parents, last = places[number % len(places)]
    inner: Any = values
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    if key and isinstance(inner, dict):
        inner[key] = value
    text = mutated(yaml.safe_dump(values, allow_unicode=True).encode(), changes)
    (folder / "mine.yaml").write_bytes(text)
    card = outcome(lambda: load_card("mine", folder))
    if card is not None and card.format == "table" and card.steps < 10**5:
        raw = outcome(lambda: table.load(card, {"series": folder / "series.csv"}))
        if raw is not None:
            check_canonical(raw)


CARDS = {
    "number": st.integers(0, 60),
    "value": anything,
    "key": st.sampled_from(["", "", "gaps", "nodes", "x"]),
    "changes": st.one_of(st.just([]), text_changes),
}


@check_settings(FEW)
@given(**CARDS)
def test_cards_with_anything_in_them(folder: Path, **drawn: Any) -> None:
    check_card(folder, **drawn)


@pytest.mark.slow
@check_settings(MANY)
@given(**CARDS)
def test_cards_with_anything_in_them_at_length(folder: Path, **drawn: Any) -> None:
    check_card(folder, **drawn)
