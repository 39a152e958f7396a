"""DCRNN by the paper's equations, window by window and step by step."""

from typing import Any

import torch
from torch import Tensor


def of_window(model: Any, series: Tensor) -> Tensor:
    graph, layers = model.task.adjacency, range(model.options.layers)
    # Entry (i, j) of a walk is the chance to go from i to j; no edge leaves some nodes.
    walks = [(w / w.sum(1, keepdim=True)).nan_to_num().T for w in (graph, graph.T)]
    nodes, width = series.shape[1], model.options.hidden_channels
    states = [series.new_zeros(nodes, width) for _ in layers]
    for x in series:
        for layer in layers:
            states[layer] = x = _cell(model.encoder[layer], x, states[layer], walks)
    x, forecasts = series.new_zeros(nodes, 1), []
    for _ in range(model.task.horizon):
        for layer in layers:
            states[layer] = x = _cell(model.decoder[layer], x, states[layer], walks)
        x = x @ model.projection.weight.T
        forecasts.append(x[:, 0])
    return torch.stack(forecasts)


def _cell(layer: Any, x: Tensor, h: Tensor, walks: list[Tensor]) -> Tensor:
    """Equation 3 on one window."""
    r, u = (torch.sigmoid(_convolve(layer, gate, x, h, walks)) for gate in range(2))
    return u * h + (1 - u) * torch.tanh(_convolve(layer, 2, x, r * h, walks))


def _convolve(layer: Any, gate: int, x: Tensor, h: Tensor, walks: list[Tensor]) -> Tensor:
    """Equation 2, (N, in + width) to (N, width), with Chebyshev terms of both walks.

    Gates are 0 (r), 1 (u) and 2 (the candidate); the terms of each lie below each other.
    """
    width = h.shape[1]
    columns = slice(gate * width, (gate + 1) * width)
    of_state = layer.candidate_weight if gate == 2 else layer.gate_weight[:, columns]
    count = len(of_state) // width
    pairs = zip(layer.input_weight[:, columns].chunk(count), of_state.chunk(count), strict=True)
    own, *others = (torch.cat(pair) for pair in pairs)
    both = torch.cat([x, h], 1)
    total = both @ own + layer.bias[columns]
    for moved in walks:
        before, now = both, moved @ both
        for _ in range(count // 2):
            total = total + now @ others.pop(0)
            before, now = now, 2 * moved @ now - before
    return total
