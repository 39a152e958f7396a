"""Plain, slow versions of the backbones, written from the papers, to compare with.

Weights are plain dictionaries with names of their own. All convolutions over time are loops,
graphs are normalised here again, and nothing is skipped or merged.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Weights = dict[str, Tensor]
Matrix = NDArray[np.float64]


def with_calendar(inputs: Tensor, slots: Tensor, weekdays: Tensor, per_day: int) -> Tensor:
    """(B, T, N, C + 2): the values, the fraction of the day and weekday / 7 of each step."""
    batch, steps, nodes, channels = inputs.shape
    result = inputs.new_zeros(batch, steps, nodes, channels + 2)
    result[..., :channels] = inputs
    for b in range(batch):
        for t in range(steps):
            result[b, t, :, channels] = slots[b, t].item() / per_day
            result[b, t, :, channels + 1] = weekdays[b, t].item() / 7
    return result


def stid(weights: Weights, features: Tensor, slots: Tensor, weekdays: Tensor) -> Tensor:
    """STID window by window and node by node; features (B, T, N, F) to (B, H, N)."""
    batch, _, nodes, _ = features.shape
    windows = []
    for b in range(batch):
        columns = []
        for n in range(nodes):
            series = features[b, :, n, :].reshape(-1)  # step by step: values, time, weekday
            hidden = [weights["series.w"] @ series + weights["series.b"], weights["node"][n]]
            hidden.append(weights["slot"][slots[b, -1]])
            if "weekday" in weights:
                hidden.append(weights["weekday"][weekdays[b, -1]])
            z = torch.cat(hidden)
            layer = 0
            while f"mlp{layer}.w1" in weights:
                p = f"mlp{layer}"
                inner = torch.relu(weights[f"{p}.w1"] @ z + weights[f"{p}.b1"])
                z = z + weights[f"{p}.w2"] @ inner + weights[f"{p}.b2"]
                layer += 1
            columns.append(weights["out.w"] @ z + weights["out.b"])
        windows.append(torch.stack(columns, dim=1))
    return torch.stack(windows)


def _temporal(x: Tensor, weights: Weights, name: str) -> Tensor:
    """(P + x) * sigmoid(Q) of STGCN, one output step at a time; kernel is (K, in, 2 out)."""
    kernel, bias = weights[f"{name}.kernel"], weights[f"{name}.bias"]
    length, width_in, double = kernel.shape
    width = double // 2
    steps = []
    for t in range(x.shape[1] - length + 1):
        both = bias + sum(x[:, t + k] @ kernel[k] for k in range(length))
        now = x[:, t + length - 1]
        if width_in > width:
            now = now @ weights[f"{name}.align.w"].T + weights[f"{name}.align.b"]
        elif width_in < width:
            now = torch.cat([now, now.new_zeros(*now.shape[:-1], width - width_in)], dim=-1)
        steps.append((both[..., :width] + now) * torch.sigmoid(both[..., width:]))
    return torch.stack(steps, dim=1)


def _layer_norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    """Normalised over nodes and channels, each step of each window for itself."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * weights[f"{name}.w"] + weights[f"{name}.b"]


def scaled_laplacian(adjacency: Matrix) -> Matrix:
    """2 L / lambda_max - I, entry by entry."""
    nodes = len(adjacency)
    weight = np.zeros((nodes, nodes))
    for i in range(nodes):
        for j in range(nodes):
            if i != j:
                weight[i, j] = max(adjacency[i, j], adjacency[j, i])
    degree = weight.sum(axis=1)
    laplacian = np.eye(nodes)
    for i in range(nodes):
        for j in range(nodes):
            if weight[i, j] > 0:
                laplacian[i, j] -= weight[i, j] / np.sqrt(degree[i] * degree[j])
    largest = float(np.linalg.eigvalsh(laplacian).max())
    return laplacian * (2 / largest) - np.eye(nodes)


def stgcn(weights: Weights, features: Tensor, adjacency: Matrix, blocks: int) -> Tensor:
    """STGCN; features (B, T, N, F) to (B, H, N)."""
    operator = torch.from_numpy(scaled_laplacian(adjacency))
    x = features
    for block in range(blocks):
        x = _temporal(x, weights, f"{block}.first")
        x = x @ weights[f"{block}.graph.align.w"].T + weights[f"{block}.graph.align.b"]
        theta = weights[f"{block}.graph.theta"]
        previous, current = x, torch.einsum("vw,btwc->btvc", operator, x)
        total = x + previous @ theta[0] + weights[f"{block}.graph.b"]
        for k in range(1, len(theta)):
            total = total + current @ theta[k]
            following = 2 * torch.einsum("vw,btwc->btvc", operator, current) - previous
            previous, current = current, following
        x = _temporal(torch.relu(total), weights, f"{block}.second")
        x = _layer_norm(x, weights, f"{block}.norm")
    x = _layer_norm(_temporal(x, weights, "out"), weights, "out.norm")
    x = torch.relu(x @ weights["fc1.w"].T + weights["fc1.b"])
    return (x @ weights["fc2.w"].T + weights["fc2.b"])[:, 0].transpose(1, 2)


def transition(adjacency: Matrix) -> Matrix:
    """Each row divided by its sum."""
    result = np.zeros_like(adjacency)
    for i, row in enumerate(adjacency):
        if row.sum() > 0:
            result[i] = row / row.sum()
    return result


def gwnet(
    weights: Weights,
    features: Tensor,
    adjacency: Matrix,
    dilations: list[int],
    order: int,
    batch_statistics: bool = False,
) -> Tensor:
    """Graph WaveNet with every layer run in full; features (B, T, N, F) to (B, H, N).

    Args:
        weights: By the names used below; lists of layers are numbered.
        features: Values and calendar.
        adjacency: (N, N).
        dilations: Of all layers; every convolution sees two steps.
        order: Largest power of each graph.
        batch_statistics: Normalise by the batch, as in training, not by stored moments.
    """
    missing = 1 + sum(dilations) - features.shape[1]
    if missing > 0:
        before = features.new_zeros(features.shape[0], missing, *features.shape[2:])
        features = torch.cat([before, features], dim=1)
    scores = torch.relu(weights["e1"] @ weights["e2"])
    learned = torch.exp(scores) / torch.exp(scores).sum(dim=1, keepdim=True)
    graphs = [
        torch.from_numpy(transition(adjacency)),
        torch.from_numpy(transition(adjacency.T.copy())),
        learned,
    ]
    x = features @ weights["start.w"].T + weights["start.b"]
    skip: Tensor | None = None
    for i, dilation in enumerate(dilations):
        entered = x
        early, late = x[:, :-dilation], x[:, dilation:]
        value, gate = (
            early @ weights[f"{i}.{part}.early"].T
            + late @ weights[f"{i}.{part}.late"].T
            + weights[f"{i}.{part}.b"]
            for part in ("filter", "gate")
        )
        z = torch.tanh(value) * torch.sigmoid(gate)
        contribution = z @ weights[f"{i}.skip.w"].T + weights[f"{i}.skip.b"]
        skip = contribution if skip is None else skip[:, -z.shape[1] :] + contribution
        terms = [z]
        for graph in graphs:
            walked = z
            for _ in range(order):
                # Node w collects from every node v along the edge v -> w.
                walked = torch.einsum("vw,btvc->btwc", graph, walked)
                terms.append(walked)
        mixed = torch.cat(terms, dim=-1) @ weights[f"{i}.mix.w"].T + weights[f"{i}.mix.b"]
        x = _batch_norm(mixed + entered[:, dilation:], weights, f"{i}.norm", batch_statistics)
    assert skip is not None
    end = torch.relu(torch.relu(skip) @ weights["end.w"].T + weights["end.b"])
    return (end @ weights["out.w"].T + weights["out.b"])[:, -1].transpose(1, 2)


def _batch_norm(x: Tensor, weights: Weights, name: str, batch_statistics: bool) -> Tensor:
    """Normalised by channel."""
    mean, variance = weights[f"{name}.mean"], weights[f"{name}.var"]
    if batch_statistics:
        mean = x.mean(dim=(0, 1, 2))
        variance = ((x - mean) ** 2).mean(dim=(0, 1, 2))
    return (x - mean) / torch.sqrt(variance + 1e-5) * weights[f"{name}.w"] + weights[f"{name}.b"]
