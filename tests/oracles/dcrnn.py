"""DCRNN by the paper's equations, window by window and step by step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import Weights


def of_window(model: Any, series: Tensor) -> Tensor:
    graph = model.task.adjacency
    options, weights = model.options, _weights(model)
    width, steps, layers = options.hidden_channels, options.diffusion_steps, range(options.layers)
    # Entry (i, j) of a walk is the chance to go from i to j; no edge leaves some nodes.
    walks = tuple((w / w.sum(1, keepdim=True)).nan_to_num().T for w in (graph, graph.T))

    def cell(name: str, x: Tensor, h: Tensor) -> Tensor:
        """Equation 3 on one window."""
        both = torch.cat([x, h], 1)
        r = torch.sigmoid(_convolve(weights, f"{name}.r", both, walks, steps))
        u = torch.sigmoid(_convolve(weights, f"{name}.u", both, walks, steps))
        gated = torch.cat([x, r * h], 1)
        return u * h + (1 - u) * torch.tanh(_convolve(weights, f"{name}.c", gated, walks, steps))

    nodes = series.shape[1]
    states = [series.new_zeros(nodes, width) for _ in layers]
    for x in series:
        for layer in layers:
            states[layer] = x = cell(f"encoder.{layer}", x, states[layer])
    x, forecasts = series.new_zeros(nodes, 1), []
    for _ in range(model.task.horizon):
        for layer in layers:
            states[layer] = x = cell(f"decoder.{layer}", x, states[layer])
        x = x @ model.projection.weight.T
        forecasts.append(x[:, 0])
    return torch.stack(forecasts)


def _weights(model: Any) -> Weights:
    """By layer, gate ("r", "u", "c") and number of the term: (in + width, width) each."""
    width = model.options.hidden_channels
    count = 2 * model.options.diffusion_steps + 1
    weights = {}
    for part in ("encoder", "decoder"):
        for index, layer in enumerate(getattr(model, part)):
            for gate, name in enumerate("ruc"):
                columns = slice(gate * width, (gate + 1) * width)
                of_input = layer.input_weight[:, columns].chunk(count)
                of_state = layer.candidate_weight if name == "c" else layer.gate_weight[:, columns]
                for k, (one, other) in enumerate(zip(of_input, of_state.chunk(count), strict=True)):
                    weights[f"{part}.{index}.{name}.{k}"] = torch.cat([one, other])
                weights[f"{part}.{index}.{name}.b"] = layer.bias[columns]
    return weights


def _convolve(
    weights: Weights, name: str, x: Tensor, walks: tuple[Tensor, ...], steps: int
) -> Tensor:
    """Equation 2 on one window, (N, in) to (N, out), with Chebyshev terms of both walks."""
    total = x @ weights[f"{name}.0"] + weights[f"{name}.b"]
    term = 1
    for moved in walks:
        before, now = x, moved @ x
        for _ in range(steps):
            total = total + now @ weights[f"{name}.{term}"]
            before, now = now, 2 * moved @ now - before
            term += 1
    return total
