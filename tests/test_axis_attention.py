"""Attention along an axis: views, not copies, and the usual result."""

from __future__ import annotations

import pytest
import torch

from stprune.backbones.layers.axis_attention import Axis, attend, split_heads


@pytest.mark.parametrize(("axis", "shape"), [("time", (2, 15, 4, 3)), ("nodes", (8, 3, 5, 3))])
def test_heads_are_views(axis: Axis, shape: tuple[int, ...]) -> None:
    values = torch.arange(2 * 4 * 5 * 9.0).view(2, 4, 5, 9)
    heads = split_heads(values, 3, axis)
    assert heads.shape == shape
    assert heads.data_ptr() == values.data_ptr()
    # Window 1, step 2, node 3, head 1.
    token = heads[1, 3 * 3 + 1, 2] if axis == "time" else heads[1 * 4 + 2, 1, 3]
    assert torch.equal(token, values[1, 2, 3, 3:6])


@pytest.mark.parametrize("causal", [False, True])
def test_weights_by_hand(causal: bool) -> None:
    """One channel, two steps: scores 0 and log 3 make weights 1/4 and 3/4."""
    query = torch.tensor([1.0, 1.0]).view(1, 2, 1, 1)
    key = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1)
    value = torch.tensor([8.0, 16.0]).view(1, 2, 1, 1)
    result = attend(query, key, value, 1, "time", causal).flatten()
    torch.testing.assert_close(result, torch.tensor([8.0 if causal else 14.0, 14.0]))


def test_a_result_along_nodes_is_that_along_time_with_the_axes_exchanged() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 3, 5, 8, generator=generator, dtype=torch.float64) for _ in range(3)]
    along_nodes = attend(parts[0], parts[1], parts[2], 4, "nodes")
    exchanged = [part.transpose(1, 2).contiguous() for part in parts]
    along_time = attend(exchanged[0], exchanged[1], exchanged[2], 4, "time")
    torch.testing.assert_close(along_nodes, along_time.transpose(1, 2), rtol=0, atol=1e-12)
    assert along_nodes.is_contiguous()
