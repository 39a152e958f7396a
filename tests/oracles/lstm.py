"""LSTM by the equations of its cell: one window, one node and one step at a time."""

from typing import Any

import torch
from torch import Tensor

from . import linear


def of_window(model: Any, window: Tensor) -> Tensor:
    columns = []
    for features in window.unbind(1):
        series = list(linear(features, model.embedding))
        for layer in range(model.options.layers):
            series = _layer(model.recurrence, layer, series)
        columns.append(linear(torch.relu(linear(series[-1], model.hidden)), model.regression))
    return torch.stack(columns, dim=1)


def _layer(recurrence: Any, layer: int, series: list[Tensor]) -> list[Tensor]:
    """The states of one layer, step by step; gates stand as input, forget, candidate, output."""
    of_input, of_state, bias, other_bias = (
        getattr(recurrence, f"{part}_l{layer}").chunk(4)
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = series[0].new_zeros(len(bias[0]))
    states = []
    for x in series:
        i, f, g, o = (of_input[k] @ x + bias[k] + of_state[k] @ h + other_bias[k] for k in range(4))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    return states
