"""OpenCity by its paper's equations: one window, one node and one patch at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import Batch, laplacian, linear

Patches = list[Tensor]


def forecast(model: Any, batch: Batch) -> Tensor:
    task, options = model.task, model.options
    per_day, horizon = task.steps_per_day, task.horizon
    length = math.ceil(task.history / options.patches)
    count = math.ceil(task.history / length)
    missing = length * count - task.history
    adjacency = task.adjacency.numpy()
    mix = torch.from_numpy(mixing(adjacency, options.self_loops))
    places = torch.from_numpy(eigenvectors(adjacency, options.eigenvectors))
    position = _positions(count, model.patch.weight.shape[0])

    def calendar(slot: int, weekday: int) -> Tensor:
        minute = (slot + 1) * 1440 // per_day
        return torch.cat([model.minute.weight[minute], model.weekday.weight[weekday + 1]])

    windows = []
    for x, slots, weekdays in zip(*batch, strict=True):
        mean = x.mean(dim=0)
        deviation = torch.sqrt(((x - mean) ** 2).mean(dim=0) + 1e-5)
        past, future = [], []
        for p in range(count):
            first = max(0, p * length - missing)
            past.append(calendar(int(slots[first]), int(weekdays[first])))
            slot = int(slots[-1]) + 1 + p * horizon // count
            future.append(calendar(slot % per_day, (int(weekdays[-1]) + slot // per_day) % 7))
        hidden: list[Patches] = []
        for series in ((x - mean) / deviation).unbind(1):
            nothing = torch.zeros_like(series[0])
            patches = []
            for p in range(count):
                numbers = range(p * length - missing, (p + 1) * length - missing)
                steps = [series[t] if t >= 0 else nothing for t in numbers]
                steps += [nothing] * (options.patch_steps - length)
                patches.append(model.patch.weight @ torch.cat(steps) + position[p])
            hidden.append(patches)
        for block in model.blocks:
            here = [linear(place, model.place) for place in places]
            hidden = _block(block, hidden, past, future, here, mix, options.heads)
        columns = []
        for n, patches in enumerate(hidden):
            scaled = linear(torch.cat(patches), model.head)[:horizon]
            target = task.target_channel
            columns.append(scaled * deviation[n, target] + mean[n, target])
        windows.append(torch.stack(columns, dim=1))
    return torch.stack(windows)


def mixing(adjacency: NDArray[np.float64], self_loops: bool) -> NDArray[np.float64]:
    """I + D^(-1/2) A D^(-1/2), each row divided by its sum, entry by entry."""
    weights = adjacency.copy()
    if self_loops:
        np.fill_diagonal(weights, 1.0)
    degree = weights.sum(axis=1)
    result = np.eye(len(weights))
    for i, j in zip(*np.nonzero(weights), strict=True):
        column = degree[j] if degree[j] > 0 else np.inf
        result[i, j] += weights[i, j] / math.sqrt(degree[i] * column)
    rows: NDArray[np.float64] = result.sum(axis=1, keepdims=True)
    return result / rows


def eigenvectors(adjacency: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Of the Laplacian's small eigenvalues, the largest entry of each positive."""
    matrix = laplacian(adjacency)
    alone = (matrix == np.eye(len(matrix))).all(axis=1).sum()
    values, vectors = np.linalg.eigh(matrix)
    places = np.zeros((len(matrix), count))
    for column, index in enumerate(np.argsort(values)[alone + 1 :][:count]):
        vector = vectors[:, index]
        places[:, column] = vector * np.sign(vector[np.abs(vector).argmax()])
    return places


def _positions(count: int, width: int) -> Tensor:
    position = torch.zeros(count, width, dtype=torch.float64)
    for p in range(count):
        for d in range(0, width, 2):
            position[p, d] = math.sin(p / 10000 ** (d / width))
            position[p, d + 1] = math.cos(p / 10000 ** (d / width))
    return position


def _rms_norm(x: Tensor, layer: Any) -> Tensor:
    return x / torch.sqrt((x**2).mean() + 1e-6) * layer.weight


def _attend(query: Patches, key: Patches, value: Patches, heads: int) -> Patches:
    """Softmax attention of lists of patches, head by head."""
    size = len(query[0]) // heads
    result = []
    for q in query:
        parts = []
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            scores = torch.stack([(q[own] * k[own]).sum() / math.sqrt(size) for k in key])
            shares = torch.exp(scores) / torch.exp(scores).sum()
            parts.append(sum(s * v[own] for s, v in zip(shares, value, strict=True)))
        result.append(torch.cat(parts))
    return result


def _block(
    block: Any,
    hidden: list[Patches],
    past: Patches,
    future: Patches,
    places: Patches,
    mix: Tensor,
    heads: int,
) -> list[Patches]:
    """All nodes of one window through one block; ``hidden`` has a list of patches a node."""
    attended = []
    for patches, here in zip(hidden, places, strict=True):
        h = [_rms_norm(v, block.before_attention) for v in patches]
        context, itself = block.context, block.itself
        q = [linear(v + here, context.query) for v in future]
        k = [linear(v + here, context.key) for v in past]
        c = _attend(q, k, [linear(v, context.value) for v in h], heads)
        u = [_rms_norm(a + b, context.norm) for a, b in zip(c, h, strict=True)]
        layers = (itself.query, itself.key, itself.value)
        q, k, values = ([linear(v, layer) for v in u] for layer in layers)
        s = _attend(q, k, values, heads)
        attended.append([_rms_norm(a + b, itself.norm) for a, b in zip(s, u, strict=True)])
    gate_weight, value_weight = block.gates.weight.chunk(2)
    result = []
    for n, patches in enumerate(hidden):
        new = []
        for p, patch in enumerate(patches):
            near = torch.stack([mix[n, m] * attended[m][p] for m in range(len(hidden))])
            mixed = 0.05 * attended[n][p] + 0.95 * linear(near.sum(0), block.neighbours)
            x = patch + linear(mixed, block.mixed)
            y = _rms_norm(x, block.before_perceptron)
            gate = gate_weight @ y
            inner = gate * torch.sigmoid(gate) * (value_weight @ y)
            new.append(x + linear(inner, block.output))
        result.append(new)
    return result
