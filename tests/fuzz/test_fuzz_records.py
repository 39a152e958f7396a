"""What runs and preparation write, with other bytes: their very numbers, or one line."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic_records
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st
from mutations import campaign, damaged, draws, exchanged, outcome, seeds

from paper_figures import tab_main
from stprune.base.layout import STORE_TABLES, DataLayout, ExperimentLayout, RunKey, store_table
from stprune.data.canonical import read_canonical
from stprune.data.card import load_card
from stprune.data.prepare import damages
from stprune.paper.tables import to_latex, to_markdown
from stprune.records.kept import KeptArchive, read_kept
from stprune.records.run import RunRecord, read_epochs, read_record
from stprune.results.summarise import collect
from stprune.results.summary import load_results
from stprune.training.checkpoint import load_checkpoint, save_checkpoint

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
def test_records(layout, seed):
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
def test_epochs(layout, seed):
    path = layout.run(KEY) / "epochs.csv"
    for _, frame in damaged(seed, path, read_epochs, path):
        assert isinstance(frame, pd.DataFrame)


KEPT = Path(__file__).resolve().parents[2] / "paper_figures" / "records" / "foundation"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a kept experiment."""
    return Path(shutil.copytree(KEPT, tmp_path_factory.mktemp("fuzz") / "foundation"))


@campaign
@given(name=st.sampled_from(STORE_TABLES), seed=seeds)
def test_stores_with_other_bytes(store, name, seed):
    path = store_table(store, name)
    for _, results in damaged(seed, path, load_results, store):
        if name == "records":
            outcome(getattr, results, "records")
        elif name in ("calendars", "overlaps", "deciles"):
            outcome(getattr, results, "kept")
        else:
            table = outcome(tab_main.build, results)
            assert table is None or (to_markdown(table) and to_latex(table, "main"))


# Checkpoints, archives of kept windows and prepared data with changed bytes


IDENTITY = {"configuration": "1" * 64, "data": "2" * 64}
STATE = {
    "model": {"weight": torch.arange(12.0).reshape(3, 4), "count": torch.tensor(3)},
    "records": [{"epoch": 0, "validation_mae": 3.5}],
    "best": {"mae": 3.5, "epoch": 0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@campaign
@given(seed=seeds)
def test_checkpoints(folder, seed):
    path = folder / "last.pt"
    save_checkpoint(path, STATE, IDENTITY)
    for _, (state, _) in damaged(seed, path, load_checkpoint, path, IDENTITY):
        if state is not None:
            torch.testing.assert_close(state, STATE, rtol=0, atol=0)


@campaign
@given(seed=seeds)
def test_kept_windows(folder, seed):
    path = folder / "kept.npz"
    archive = KeptArchive(np.datetime64("2024-01-01", "m") + np.arange(50))
    for epoch in range(3):
        archive.add(torch.arange(epoch, 50, 2), torch.arange(50.0))
    archive.write(path)
    right = read_kept(path)
    for _, found in damaged(seed, path, read_kept, path):
        np.testing.assert_array_equal(found.kept, right.kept)
        np.testing.assert_array_equal(found.times, right.times)
        np.testing.assert_array_equal(found.score_quantiles, right.score_quantiles)


@pytest.fixture(scope="module")
def copied_data(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of our own, to do damage in."""
    return Path(shutil.copytree(toy_data, tmp_path_factory.mktemp("fuzz") / "data"))


PARTS = (
    *("series.npy", "mask.npy", "timestamps.npy", "adjacency.npy"),
    *("nodes.json", "meta.json", "events.csv"),
)


@campaign
@given(part=st.sampled_from(PARTS), seed=seeds)
def test_prepared_data(copied_data, part, seed):
    layout = DataLayout(copied_data)
    path = layout.processed(toy.DATASET) / part
    good = path.read_bytes()
    card = load_card(toy.DATASET, copied_data)
    for content, found in damaged(seed, path, read_canonical, path.parent):
        assert found.series.shape == found.mask.shape == (toy.STEPS, toy.NODES, 1)
        assert np.isfinite(found.adjacency).all()
        if content != good and part != "meta.json":
            assert outcome(damages, toy.DATASET, card, layout)
