"""Graph WaveNet by the paper's equations: every layer in full, one walk after another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import Batch, batch_normalised, convolved, linear, recent, walk, with_calendar


def forecast(model: Any, batch: Batch) -> Tensor:
    """(B, H, N) of a model in double precision, without dropout."""
    options, width = model.options, model.options.residual_channels
    adjacency = model.task.adjacency.clone()
    if options.self_loops:
        adjacency.fill_diagonal_(1.0)
    learned = torch.relu(model.source_embedding @ model.target_embedding).softmax(dim=1)
    graphs = (walk(adjacency), walk(adjacency.T), learned)
    field = 1 + (options.kernel - 1) * options.blocks * (2**options.layers - 1)
    x = linear(recent(with_calendar(model, batch), field), model.start)
    skip: Tensor = torch.zeros(())
    layers = zip(
        model.gates, model.diffusions, model.norms, model.skip_weight.split(width, 1), strict=True
    )
    for i, (gate, mix, norm, to_skip) in enumerate(layers):
        both = convolved(x, gate.convolution, 2 ** (i % options.layers))
        value, share = both.chunk(2, dim=-1)
        z = torch.tanh(value) * torch.sigmoid(share)
        skip = z @ to_skip.T + model.skip_bias[i] + (skip[:, -z.shape[1] :] if skip.ndim else skip)
        terms = [z]
        for graph in graphs:
            walked = z
            for _ in range(options.diffusion_steps):
                walked = torch.einsum("vw,btvc->btwc", graph, walked)
                terms.append(walked)
        # In the last layer too, where nothing reads the result.
        mixed = mix.bias
        for term, weight in zip(terms, mix.weight, strict=True):
            mixed = mixed + term @ weight
        x = batch_normalised(mixed + x[:, -z.shape[1] :], norm, model.training)
    end = torch.relu(linear(torch.relu(skip), model.end))
    return linear(end, model.regression)[:, -1].transpose(1, 2)
