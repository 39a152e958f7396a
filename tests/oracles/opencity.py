"""OpenCity by its paper's equations, one window at a time; (N, P, D) are nodes, patches, width."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import Batch, laplacian, linear


def forecast(model: Any, batch: Batch) -> Tensor:
    task, options = model.task, model.options
    length = math.ceil(task.history / options.patches)
    count = math.ceil(task.history / length)
    missing = length * count - task.history
    adjacency = task.adjacency.numpy()
    mix = torch.from_numpy(mixing(adjacency, options.self_loops))
    places = linear(torch.from_numpy(eigenvectors(adjacency, options.eigenvectors)), model.place)
    angles = torch.arange(count)[:, None] / 10000 ** (
        torch.arange(0, model.patch.weight.shape[0], 2, dtype=torch.float64)
        / model.patch.weight.shape[0]
    )
    position = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)

    def calendar(slot: int, weekday: int) -> Tensor:
        minute = (slot + 1) * 1440 // task.steps_per_day
        return torch.cat([model.minute.weight[minute], model.weekday.weight[weekday + 1]])

    windows = []
    for x, slots, weekdays in zip(*batch, strict=True):
        mean = x.mean(dim=0)
        deviation = torch.sqrt(((x - mean) ** 2).mean(dim=0) + 1e-5)
        past, future = [], []
        for p in range(count):
            first = max(0, p * length - missing)
            past.append(calendar(int(slots[first]), int(weekdays[first])))
            slot = int(slots[-1]) + 1 + p * task.horizon // count
            weekday = int(weekdays[-1]) + slot // task.steps_per_day
            future.append(calendar(slot % task.steps_per_day, weekday % 7))
        # Before the window and after a short patch there are zeros.
        steps = torch.cat([x.new_zeros(missing, *mean.shape), (x - mean) / deviation])
        patches = x.new_zeros(count, options.patch_steps, *mean.shape)
        patches[:, :length] = steps.unflatten(0, (count, length))
        hidden = patches.permute(2, 0, 1, 3).flatten(2) @ model.patch.weight.T + position
        for block in model.blocks:
            asked, known = (torch.stack(part) + places[:, None] for part in (future, past))
            hidden = _block(block, hidden, asked, known, mix, options.heads)
        scaled = linear(hidden.flatten(1), model.head)[:, : task.horizon].T
        target = task.target_channel
        windows.append(scaled * deviation[:, target] + mean[:, target])
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


def _rms_norm(x: Tensor, layer: Any) -> Tensor:
    return x / torch.sqrt((x**2).mean(dim=-1, keepdim=True) + 1e-6) * layer.weight


def _attend(layer: Any, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Softmax attention of each node over its patches, head by head, added and normalised."""
    parts = (linear(query, layer.query), linear(key, layer.key), linear(value, layer.value))
    result = []
    for q, k, v in zip(*(part.chunk(heads, dim=-1) for part in parts), strict=True):
        scores = torch.exp(q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]))
        result.append(scores / scores.sum(dim=-1, keepdim=True) @ v)
    return _rms_norm(torch.cat(result, dim=-1) + value, layer.norm)


def _block(
    block: Any, hidden: Tensor, future: Tensor, past: Tensor, mix: Tensor, heads: int
) -> Tensor:
    """(N, P, D) of one window through one block."""
    h = _rms_norm(hidden, block.before_attention)
    u = _attend(block.context, future, past, h, heads)
    s = _attend(block.itself, u, u, u, heads)
    near = torch.einsum("nm,mpd->npd", mix, s)
    mixed = 0.05 * s + 0.95 * linear(near, block.neighbours)
    x = hidden + linear(mixed, block.mixed)
    y = _rms_norm(x, block.before_perceptron)
    gate, value = (y @ weight.T for weight in block.gates.weight.chunk(2))
    return x + linear(gate * torch.sigmoid(gate) * value, block.output)
