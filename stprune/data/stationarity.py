"""How much a window moves, small if it is stationary: of the data alone (ST-Prune; our reading).

Running sums give every window's value; where that cannot be, windows are
gathered in blocks and never all at once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from stprune.data.windows import WindowStore

StationarityMeasure = Literal["first_difference", "window_std", "spectral_flatness"]
NODE_BLOCK = 256
BLOCK_VALUES = 2**22


def stationarity(stores: Sequence[WindowStore], measure: StationarityMeasure) -> Tensor:
    """Stationarity of each window by ``measure``: (n,) float32, on the stores' device, no unit."""
    return torch.cat([MEASURES[measure](store) for store in stores])


def spectral_flatness(store: WindowStore) -> Tensor:
    """Geometric over arithmetic mean of each window's power spectrum, averaged over nodes: (n,).

    The window's mean is taken off first. Whole waves are near 0, white noise is about 0.57 and a
    straight line of 24 steps 0.36. Missing values are the training mean, as in the model's input.
    """
    length = store.length
    values = store.series[..., store.target_channel]
    block = max(1, BLOCK_VALUES // (length * values.shape[1]))
    offsets = torch.arange(length, device=store.device)
    parts = []
    for starts in store.starts.split(block):
        window = values[starts[:, None] + offsets].double()
        power = torch.fft.rfft(window - window.mean(1, keepdim=True), dim=1)[:, 1:].abs().square()
        average = power.mean(1)
        tiny = torch.finfo(power.dtype).tiny
        flatness = power.clamp(min=tiny).log().mean(1).exp() / average.clamp(min=tiny)
        # A constant node has no spectrum but rounding; it is as stationary as can be.
        constant = (window == window[:, :1]).all(1)
        parts.append(flatness.masked_fill(constant, 0.0).mean(1))
    return torch.cat(parts).float()


def _mean_over_nodes(
    measure: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]], store: WindowStore
) -> Tensor:
    """Mean over nodes of a measure (values, observed, length) of each window: (n,)."""
    length = store.length
    first, last = int(store.starts[0]), int(store.starts[-1])
    steps = slice(first, last + length)
    total = torch.zeros(last - first + 1, dtype=torch.float64, device=store.device)
    counted = torch.zeros_like(total)
    for start in range(0, store.series.shape[1], NODE_BLOCK):
        nodes = slice(start, start + NODE_BLOCK)
        values = store.series[steps, nodes, store.target_channel].double()
        mask = store.target_mask
        observed = torch.ones_like(values) if mask is None else mask[steps, nodes].double()
        share, valid = measure(values, observed, length)
        total += share.sum(1)
        counted += valid.sum(1)
    mean = (total / counted.clamp(min=1)).float()
    return mean.index_select(0, store.starts - first)


def _moments(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each node over the split: (nodes,) each."""
    count = observed.sum(0).clamp(min=1)
    mean = (values * observed).sum(0) / count
    std = (((values - mean) * observed).square().sum(0) / count).sqrt()
    return mean, std.clamp(min=1e-12)


def _node_means(values: Tensor, observed: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Mean absolute first difference of each window and node, and whether it has any: (n, nodes).

    psi_i = mean over nodes of (mean over the window's T + H - 1 steps of |x(t + 1) - x(t)|), each
    node divided by its standard deviation over the split. Differences that touch a missing value
    are left out.
    """
    _, std = _moments(values, observed)
    both = observed[1:] * observed[:-1]
    moved = (values[1:] - values[:-1]).abs() * both / std
    total, count = _sliding_sum(moved, length - 1), _sliding_sum(both, length - 1)
    valid = count > 0.5
    return torch.where(valid, total / count.clamp(min=1), 0.0), valid.double()


def _node_spreads(values: Tensor, observed: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Standard deviation in each window, each node divided by its own over the split."""
    mean, std = _moments(values, observed)
    scaled = (values - mean) / std * observed
    count = _sliding_sum(observed, length)
    valid = count > 0.5
    count = count.clamp(min=1)
    average = _sliding_sum(scaled, length) / count
    variance = _sliding_sum(scaled.square(), length) / count - average.square()
    return torch.where(valid, variance.clamp(min=0).sqrt(), 0.0), valid.double()


def _sliding_sum(values: Tensor, length: int) -> Tensor:
    """Sums over ``length`` consecutive rows of (T, nodes): (T - length + 1, nodes)."""
    running = values.cumsum(0)
    first = running[length - 1 : length]
    return torch.cat([first, running[length:] - running[:-length]])


MEASURES: dict[str, Callable[[WindowStore], Tensor]] = {
    "first_difference": partial(_mean_over_nodes, _node_means),
    "window_std": partial(_mean_over_nodes, _node_spreads),
    "spectral_flatness": spectral_flatness,
}
