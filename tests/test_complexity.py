"""The complexity of a window, by hand and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stprune.complexity import complexity


def test_complexity_by_hand() -> None:
    # Nodes' mean errors 2 and 6, steps' mean errors 3 and 5.
    errors = torch.tensor([[[1.0, 5.0], [3.0, 7.0]]])
    mask = torch.ones_like(errors, dtype=torch.bool)
    assert complexity(errors, mask, spatial_weight=0.0, temporal_weight=0.0).tolist() == [4.0]
    assert complexity(errors, mask, spatial_weight=1.0, temporal_weight=0.0).tolist() == [6.0]
    assert complexity(errors, mask, spatial_weight=0.0, temporal_weight=1.0).tolist() == [5.0]
    assert complexity(errors, mask, spatial_weight=0.5, temporal_weight=3.0).tolist() == [8.0]


def test_complexity_leaves_masked_entries_out() -> None:
    # Node 0 is observed at step 0 only, node 2 never: means 1 and 6, step means 3 and 7.
    errors = torch.tensor([[[1.0, 5.0, 0.0], [0.0, 7.0, 0.0]]])
    mask = torch.tensor([[[True, True, False], [False, True, False]]])
    assert complexity(errors, mask, spatial_weight=0.0, temporal_weight=0.0).tolist() == [3.5]
    assert complexity(errors, mask, spatial_weight=1.0, temporal_weight=0.0).tolist() == [6.0]
    assert complexity(errors, mask, spatial_weight=0.0, temporal_weight=1.0).tolist() == [5.5]
    nothing = torch.zeros_like(mask)
    assert complexity(errors * 0, nothing, spatial_weight=1.0, temporal_weight=1.0).tolist() == [
        0.0
    ]


def test_a_local_anomaly_is_more_complex_than_the_same_error_everywhere() -> None:
    everywhere = torch.full((12, 100), 1.0)
    local = torch.zeros(12, 100)
    local[:, 7] = 100.0
    errors = torch.stack([everywhere, local])
    calm, burst = complexity(
        errors, torch.ones_like(errors, dtype=torch.bool), spatial_weight=1.0, temporal_weight=0.0
    ).tolist()
    assert calm == pytest.approx(1.0)
    assert burst == pytest.approx(1.0 + np.sqrt(99.0), rel=1e-5)
