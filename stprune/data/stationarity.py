"""How much a window moves: a statistic of the data alone (ST-Prune; our reading)."""

from __future__ import annotations

import torch
from torch import Tensor

from stprune.data.windows import WindowStore

NODE_BLOCK = 256


def first_difference(store: WindowStore) -> Tensor:
    """Mean absolute first difference of each window; small means stationary.

    psi_i = mean over nodes of (mean over the window's T + H - 1 steps of |x(t + 1) - x(t)|),
    each node divided by its standard deviation over the split. Differences that touch a
    missing value are left out. Nothing is materialised: running sums give every window.

    Returns:
        (n,) float32, on the store's device.
    """
    length = store.history + store.horizon
    steps = slice(store.first, store.first + store.size + length - 1)
    total = torch.zeros(store.size, dtype=torch.float64, device=store.device)
    counted = torch.zeros_like(total)
    for start in range(0, store.series.shape[1], NODE_BLOCK):
        nodes = slice(start, start + NODE_BLOCK)
        values = store.series[steps, nodes, store.target_channel].double()
        observed = (
            torch.ones_like(values)
            if store.target_mask is None
            else store.target_mask[steps, nodes].double()
        )
        share, valid = _node_means(values, observed, length - 1)
        total += share.sum(1)
        counted += valid.sum(1)
    return (total / counted.clamp(min=1)).float()


def _node_means(values: Tensor, observed: Tensor, differences: int) -> tuple[Tensor, Tensor]:
    """Scaled mean difference of each window and node, and whether there was any: (n, nodes)."""
    count = observed.sum(0).clamp(min=1)
    mean = (values * observed).sum(0) / count
    std = (((values - mean) * observed).square().sum(0) / count).sqrt()
    both = observed[1:] * observed[:-1]
    moved = (values[1:] - values[:-1]).abs() * both / std.clamp(min=1e-12)
    window_sum = _sliding_sum(moved, differences)
    window_count = _sliding_sum(both, differences)
    valid = window_count > 0.5
    return torch.where(valid, window_sum / window_count.clamp(min=1), 0.0), valid.double()


def _sliding_sum(values: Tensor, length: int) -> Tensor:
    """Sums over ``length`` consecutive rows of (T, nodes): (T - length + 1, nodes)."""
    running = values.cumsum(0)
    first = running[length - 1 : length]
    return torch.cat([first, running[length:] - running[:-length]])
