"""ST-Norm with every layer in full; each normalisation one series and one step at a time."""

from typing import Any

import torch
from torch import Tensor

from . import Batch, convolved, linear, with_calendar


def forecast(model: Any, batch: Batch) -> Tensor:
    options, features = model.options, with_calendar(model, batch)
    dilations = [2**layer for _ in range(options.blocks) for layer in range(options.layers)]
    field = 1 + (options.kernel - 1) * sum(dilations)
    batch, steps, nodes, channels = features.shape
    before = features.new_zeros(batch, max(0, field - steps), nodes, channels)
    x = linear(torch.cat([before, features], dim=1)[:, -field:], model.start)
    skip: Tensor = torch.zeros(())
    for layer, residual, dilation in zip(model.layers, model.residuals, dilations, strict=True):
        views = [x]
        if options.temporal_norm:
            views.append(_over_time(x, layer.temporal_norm, model.training))
        if options.spatial_norm:
            views.append(_over_nodes(x, layer.spatial_norm))
        both = convolved(torch.cat(views, dim=-1), layer.convolution, dilation)
        value, gate = both.chunk(2, dim=-1)
        z = torch.tanh(value) * torch.sigmoid(gate)
        skip = linear(z, layer.skip) + (skip[:, -z.shape[1] :] if skip.ndim else skip)
        x = linear(z, residual) + x[:, -z.shape[1] :]
    end = torch.relu(linear(torch.relu(skip), model.end))
    return linear(end, model.regression)[:, -1].transpose(1, 2)


def _over_time(x: Tensor, norm: Any, training: bool) -> Tensor:
    """Node by node and channel by channel, over all windows and steps of x, (B, T, N, C)."""
    result = torch.empty_like(x)
    _, _, nodes, channels = x.shape
    for n in range(nodes):
        for c in range(channels):
            place = n * channels + c
            series = x[:, :, n, c]
            mean, variance = norm.running_mean[place], norm.running_var[place]
            if training:
                mean = series.sum() / series.numel()
                variance = ((series - mean) ** 2).sum() / series.numel()
            normal = (series - mean) / torch.sqrt(variance + 1e-5)
            result[:, :, n, c] = normal * norm.weight[place] + norm.bias[place]
    return result


def _over_nodes(x: Tensor, norm: Any) -> Tensor:
    """Step by step and channel by channel, over the N nodes, the variance divided by N - 1."""
    mean = x.sum(dim=2, keepdim=True) / x.shape[2]
    variance = ((x - mean) ** 2).sum(dim=2, keepdim=True) / (x.shape[2] - 1)
    return (x - mean) / torch.sqrt(variance + 1e-5) * norm.weight + norm.bias
