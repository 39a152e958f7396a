"""Records, tables of epochs and summaries that were changed: their very numbers, or one line."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import synthetic_records
from hypothesis import given
from hypothesis import strategies as st
from mutations import campaign, damaged, draws, exchanged, outcome, seeds

from paper_figures import tab_main
from stprune.base.layout import STORE_TABLES, ExperimentLayout, RunKey, store_table
from stprune.paper.tables import to_latex, to_markdown
from stprune.records.run import RunRecord, read_epochs, read_record
from stprune.results.summarise import collect
from stprune.results.summary import load_results

KEY = RunKey("roads", "stid", "st_prune", 0.5, 0)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    """Ten runs and their summary; the run ``KEY`` beside them is not in it."""
    root = tmp_path_factory.mktemp("fuzz") / "made_up"
    layout = synthetic_records.write_experiment(root, pruners=("random_dynamic", "st_prune"))
    run, epochs = synthetic_records.pruned_run(KEY, 1)
    synthetic_records.write_run(layout, run, epochs)
    return layout


def leaves(values: Any, place: str = "") -> dict[str, Any]:
    """Every plain value by its place."""
    if isinstance(values, dict):
        items = list(values.items())
    elif isinstance(values, list):
        items = list(enumerate(values))
    else:
        return {place: values}
    return {k: v for key, value in items for k, v in leaves(value, f"{place}/{key}").items()}


def check_record(layout: ExperimentLayout, record: RunRecord, content: bytes) -> None:
    """Every number of the file is the record's, and the table's."""
    found = leaves(record.model_dump(mode="json"))
    for place, value in leaves(json.loads(content)).items():
        assert found[place] == value or float(found[place]) == float(value)
    tables = outcome(collect, [layout.metrics(KEY)], layout)
    if tables is not None:
        row = tables["summary"].iloc[0]
        for name in ("mae", "rmse", "mape"):
            score = getattr(record.test, name)
            assert row[f"test_{name}"] == score or (
                score is None and math.isnan(row[f"test_{name}"])
            )
        assert row["pruner"] == record.pruner
        assert row["own_total_seconds"] == record.cost.total_seconds


@campaign
@given(seed=seeds)
def test_records(layout: ExperimentLayout, seed: int) -> None:
    path = layout.metrics(KEY)
    good = path.read_bytes()
    for rng in draws(seed):
        content = json.dumps(exchanged(json.loads(good), rng)).encode()
        path.write_bytes(content)
        record = outcome(read_record, path)
        if record is not None:
            check_record(layout, record, content)
    path.write_bytes(good)
    for content, record in damaged(seed, path, read_record, path):
        check_record(layout, record, content)


@campaign
@given(seed=seeds)
def test_epochs(layout: ExperimentLayout, seed: int) -> None:
    path = layout.run_epochs(KEY)
    for _, frame in damaged(seed, path, read_epochs, path):
        assert isinstance(frame, pd.DataFrame)


KEPT = Path(__file__).resolve().parents[2] / "paper_figures" / "records" / "foundation"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a kept experiment."""
    return Path(shutil.copytree(KEPT, tmp_path_factory.mktemp("fuzz") / "foundation"))


@campaign
@given(name=st.sampled_from(STORE_TABLES), seed=seeds)
def test_stores_with_other_bytes(store: Path, name: str, seed: int) -> None:
    path = store_table(store, name)
    for _, results in damaged(seed, path, load_results, store):
        if name == "records":
            outcome(getattr, results, "records")
        elif name in ("calendars", "overlaps", "deciles"):
            outcome(getattr, results, "kept")
        else:
            table = outcome(tab_main.build, results)
            assert table is None or (to_markdown(table) and to_latex(table, "main"))
