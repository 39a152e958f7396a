"""One independent version of each backbone, in the plainest form, to compare ours with.

A module ``<id>.py`` has ``forecast(model, batch)``, or ``of_window(model, series)`` for a window
with its calendar, (T, N, C) to (H, N), or the public ``Form`` and ``published_state(model)``. Each
makes the forecast of ``model(*batch)`` from the model's own weights, with gradients: weights are
shared, not copied, so gradients with respect to them can be compared as well.
"""

import importlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Weights = dict[str, Tensor]
# Inputs (B, T, N, C), slots of the day (B, T) and weekdays (B, T).
Batch = tuple[Tensor, Tensor, Tensor]


def oracle_forecast(name: str, model: Any, batch: Batch) -> Tensor:
    """The forecast of backbone ``name`` by its oracle, (B, H, N)."""
    oracle = importlib.import_module(f"{__name__}.{name}")
    if hasattr(oracle, "forecast"):
        forecast: Tensor = oracle.forecast(model, batch)
        return forecast
    values = with_calendar(model, batch) if getattr(model.options, "calendar", True) else batch[0]
    if hasattr(oracle, "Form"):
        form = oracle.Form(model.task, model.options)
        return in_public_form(form, oracle.published_state(model), model, values)
    return torch.stack([oracle.of_window(model, series) for series in values])


def with_calendar(model: Any, batch: Batch) -> Tensor:
    """(B, T, N, C + 2): the values, the fraction of the day and weekday / 7 of each step."""
    inputs, slots, weekdays = batch
    columns = [slots.double() / model.task.steps_per_day, weekdays.double() / 7]
    nodes = inputs.shape[2]
    calendar = torch.stack(columns, dim=-1)[:, :, None].expand(-1, -1, nodes, -1)
    return torch.cat([inputs, calendar.to(inputs.dtype)], dim=-1)


def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each vector of the last axis minus its mean, over its deviation, scaled and shifted."""
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def batch_normalised(x: Tensor, norm: Any, training: bool) -> Tensor:
    """Each channel of the last axis by the batch's moments in training, else by stored ones."""
    mean, variance = norm.running_mean, norm.running_var
    if training:
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(dim=axes)
        variance = ((x - mean) ** 2).mean(dim=axes)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def linear(x: Tensor, layer: Any) -> Tensor:
    """W x + b on the last axis, of a layer with or without a bias."""
    result = x @ layer.weight.T
    return result if layer.bias is None else result + layer.bias


def named(layers: dict[str, Any], pointwise: bool = False) -> Weights:
    """Weight and bias of each layer; a pointwise layer as a convolution of 1 x 1."""
    state = {}
    for name, layer in layers.items():
        weight = layer.weight[:, :, None, None] if pointwise else layer.weight
        state |= {f"{name}.weight": weight, f"{name}.bias": layer.bias}
    return state


def in_public_form(form: nn.Module, state: Weights, model: nn.Module, features: Tensor) -> Tensor:
    """Run a module of the public code with weights made of ours; strict in names and shapes."""
    shapes = {name: value.shape for name, value in form.state_dict().items()}
    assert {name: value.shape for name, value in state.items()} == shapes
    form = form.to(features.dtype).train(model.training)
    forecast: Tensor = torch.func.functional_call(form, state, (features,))
    return forecast


def convolved(x: Tensor, layer: Any, dilation: int = 1) -> Tensor:
    """A convolution over time tap by tap, (B, T, N, C) to (B, T - (K - 1) dilation, N, out)."""
    taps = layer.weight[..., 0].unbind(2)
    steps = x.shape[1] - (len(taps) - 1) * dilation
    total: Tensor = layer.bias
    for k, tap in enumerate(taps):
        total = total + x[:, k * dilation : k * dilation + steps] @ tap.T
    return total


def laplacian(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """I - D^(-1/2) W D^(-1/2) of the undirected graph without loops, entry by entry."""
    edges = np.maximum(weights, weights.T)
    np.fill_diagonal(edges, 0.0)
    degrees = edges.sum(axis=1)
    result = np.eye(len(edges))
    for i, j in zip(*np.nonzero(edges), strict=True):
        result[i, j] -= edges[i, j] / np.sqrt(degrees[i] * degrees[j])
    return result


def polynomials(weights: NDArray[np.float64], terms: int) -> list[Tensor]:
    """Chebyshev polynomials of 2 L / λ - I, L the Laplacian of the graph."""
    matrix, one = laplacian(weights), np.eye(len(weights))
    scaled = 2.0 / np.linalg.eigvalsh(matrix).max() * matrix - one
    result = [one, scaled]
    for _ in range(terms):
        result.append(2.0 * scaled @ result[-1] - result[-2])
    return [torch.from_numpy(p) for p in result[:terms]]
