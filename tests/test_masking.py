"""What a mean error hides, by hand; and whether scores rank windows with incidents above others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import mannwhitneyu

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout, RunKey
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.card import DatasetCard, load_card
from stprune.data.dataset import forecast_data
from stprune.data.prepare import prepare
from stprune.describe.masking import (
    error_percentiles,
    in_quarters,
    masking_by_node,
    masking_table,
)
from stprune.pruning.base import window_mae
from stprune.pruning.complexity import SpatialStructure, complexity, edge_list
from stprune.training.evaluation import incident_windows
from stprune.training.scoring import ModelProbe

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


def test_percentiles_of_a_quarter_run_from_its_smallest_to_its_largest_error() -> None:
    table = error_percentiles(in_quarters(masked())).set_index(["quarter", "percentile"])["error"]
    assert table[1, 0] == 0
    assert table[1, 100] == 7
    assert table[4, 0] == 7


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(DataError):
        in_quarters(masked()[:3])


def incidents(*steps: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(steps, columns=["first_step", "last_step"])


def found(events: pd.DataFrame, starts: range) -> list[int]:
    """Which windows of 2 input and 2 target steps are touched."""
    touched = incident_windows(events, np.array(starts) + 2, horizon=2)
    return [int(window) for window in np.flatnonzero(touched)]


def test_windows_with_an_incident_by_hand() -> None:
    # The targets of the window that starts at step i are steps i + 2 and i + 3.
    assert found(incidents((5, 6)), range(10)) == [2, 3, 4]
    assert found(incidents((5, 6)), range(2, 12)) == [0, 1, 2]
    # Before the targets of the first window, at both ends, and after the last.
    assert found(incidents((0, 1), (13, 20)), range(10)) == []
    assert found(incidents((0, 2), (12, 20)), range(10)) == [0, 9]


def auc(scores: torch.Tensor, positive: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    """Area under the ROC curve: the chance that a positive window scores above another."""
    values = scores.numpy()
    statistic = mannwhitneyu(values[positive], values[~positive]).statistic
    return float(statistic / (positive.sum() * (~positive).sum()))


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
    positive = incident_windows(freeway.events, starts + 12, horizon=12)
    assert 0.05 < positive.mean() < 0.95
    areas = {"mean": auc(window_mae(errors, mask), positive)}
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
        areas[kind] = auc(score, positive)
    assert all(0.5 < area < 1 for area in areas.values()), areas
