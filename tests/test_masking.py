"""Ranking windows by what is known to have happened in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout, RunKey
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.card import DatasetCard, load_card
from stprune.data.dataset import forecast_data
from stprune.data.prepare import prepare
from stprune.data.windows import incident_windows
from stprune.describe.incident_ranking import ranking_auc
from stprune.pruning.base import window_mae
from stprune.pruning.complexity import SpatialStructure, complexity, edge_list
from stprune.training.probe import ModelProbe


def incidents(*steps: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(steps, columns=["first_step", "last_step"])


def found(events: pd.DataFrame, starts: range) -> list[int]:
    """Which windows of 2 input and 2 target steps are touched."""
    touched = incident_windows(events, np.array(starts), history=2, horizon=2)
    return [int(window) for window in np.flatnonzero(touched)]


def test_windows_with_an_incident_by_hand() -> None:
    # The targets of the window that starts at step i are steps i + 2 and i + 3.
    assert found(incidents((5, 6)), range(10)) == [2, 3, 4]
    assert found(incidents((5, 6)), range(2, 12)) == [0, 1, 2]
    # Before the targets of the first window, at both ends, and after the last.
    assert found(incidents((0, 1), (13, 20)), range(10)) == []
    assert found(incidents((0, 2), (12, 20)), range(10)) == [0, 9]
    with pytest.raises(DataError, match="lists no incidents"):
        found(pd.DataFrame(), range(10))


@given(
    values=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30).filter(
        lambda rows: len({positive for _, positive in rows}) == 2
    )
)
def test_auc_counts_pairs(values: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in values])
    positive = np.array([flag for _, flag in values])
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[positive]
        for low in scores[~positive]
    ]
    assert ranking_auc(scores, positive) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("flag", [True, False])
def test_auc_needs_both_kinds(flag: bool) -> None:
    with pytest.raises(DataError, match="of 4 windows are positive"):
        ranking_auc(np.arange(4.0), np.full(4, flag))


@pytest.fixture(scope="module")
def freeway(tmp_path_factory: pytest.TempPathFactory) -> CanonicalDataset:
    """The published freeway's first seven days, simulated with its own seed and incidents."""
    published = load_card("sim_freeway").model_dump(mode="json")
    published["options"]["days"] = 7
    published["steps"] = 7 * 288
    folder = tmp_path_factory.mktemp("freeway")
    # JSON is YAML.
    text = DatasetCard.model_validate(published).model_dump_json()
    (folder / "sim_freeway.yaml").write_text(text, encoding="utf-8")
    layout = DataLayout(folder)
    prepare("sim_freeway", layout, cards=folder)
    return read_canonical(layout.processed("sim_freeway"))


@pytest.mark.slow
def test_scores_rank_windows_with_incidents_above_others(
    freeway: CanonicalDataset, tmp_path: Path
) -> None:
    """After a few epochs, every score does better than chance; none is asserted to be best."""
    data = forecast_data(freeway, history=12, horizon=12)
    values = {
        "experiment": "masking",
        "datasets": {"sim_freeway": {"days": 7}},
        "backbones": {"stid": None},
        "pruners": {"full": None},
        "prune_ratios": [0.0],
        "seeds": [0],
        "training": {"epochs": 8, "batch_size": 32},
        "compute": {"own_cores": False},
        "data_directory": str(tmp_path),
        "results_directory": str(tmp_path),
    }
    config = parse_config(values, "the masking test")
    spec = run_spec(config, RunKey("sim_freeway", "stid", "full", 0.0, 0))
    passes = list(ModelProbe(spec, data).train(8, 0))
    errors = torch.cat([part for _, part, _ in passes])
    mask = torch.cat([part for _, _, part in passes])
    starts = np.arange(len(data.train))
    positive = incident_windows(freeway.events, starts, history=12, horizon=12)
    assert 0.05 < positive.mean() < 0.95
    areas = {"mean": ranking_auc(window_mae(errors, mask).numpy(), positive)}
    kinds: tuple[SpatialStructure, ...] = ("std", "top_nodes", "graph")
    for kind in kinds:
        score = complexity(
            errors,
            mask,
            spatial=kind,
            spatial_weight=1.0,
            temporal_weight=0.0,
            edges=edge_list(data.adjacency),
        )
        areas[kind] = ranking_auc(score.numpy(), positive)
    assert all(0.5 < area < 1 for area in areas.values()), areas
