"""MTGNN as PyTorch Geometric Temporal has it, run with our weights.

It breaks ties of saturated edges as they come, so weights must be away from saturation.
"""

from typing import Any

import torch
from torch import Tensor

from stprune.backbones.geometric_temporal import import_geometric_temporal

from . import Batch, Weights, in_public_form, named, with_calendar

KERNELS = (2, 3, 6, 7)


def forecast(model: Any, batch: Batch) -> Tensor:
    import_geometric_temporal()
    from torch_geometric_temporal.nn.attention.mtgnn import MTGNN

    task, options = model.task, model.options
    # The package makes its masks in the default type and knows no other.
    torch.set_default_dtype(torch.float64)
    try:
        form = MTGNN(
            gcn_true=True,
            build_adj=True,
            gcn_depth=options.mix_depth,
            num_nodes=task.nodes,
            kernel_set=list(KERNELS),
            kernel_size=KERNELS[-1],
            dropout=options.dropout,
            subgraph_size=min(options.neighbours, task.nodes),
            node_dim=options.embedding_rank,
            dilation_exponential=options.dilation_growth,
            conv_channels=options.convolution_channels,
            residual_channels=options.residual_channels,
            skip_channels=options.skip_channels,
            end_channels=options.end_channels,
            seq_length=task.history,
            in_dim=task.channels + 2,
            out_dim=task.horizon,
            layers=options.layers,
            propalpha=options.kept_share,
            tanhalpha=options.saturation,
            layer_norm_affline=True,
        )
        channels_first = with_calendar(model, batch).permute(0, 3, 2, 1)
        return in_public_form(form, _state(model), model, channels_first)[..., 0]
    finally:
        torch.set_default_dtype(torch.float32)


def _by_step(weight: Tensor, features: int) -> Tensor:
    """(out, T * C) to (out, C, 1, T)."""
    return weight.unflatten(1, (-1, features)).transpose(1, 2)[:, :, None]


def _state(model: Any) -> Weights:
    """Our weights by the names and shapes of the package's layers."""
    task, options, graph = model.task, model.options, model.graph
    first = torch.cat([model.padding_skip, model.first_skip.weight], dim=1)
    projections = {"_linear1": graph.source_projection, "_linear2": graph.target_projection}
    state = {
        **named({f"_graph_constructor.{name}": layer for name, layer in projections.items()}),
        "_graph_constructor._embedding1.weight": graph.source,
        "_graph_constructor._embedding2.weight": graph.target,
        "_skip_conv_0.weight": _by_step(first, task.channels + 2),
        "_skip_conv_E.weight": _by_step(model.last_skip.weight, options.residual_channels),
        "_skip_conv_0.bias": model.first_skip.bias,
        "_skip_conv_E.bias": model.last_skip.bias,
    }
    pointwise = {"_start_conv": model.start, "_end_conv_1": model.end}
    pointwise["_end_conv_2"] = model.regression
    for i, layer in enumerate(model.layers):
        prefix = f"_mtgnn_layers.{i}"
        pointwise[f"{prefix}._residual_conv"] = layer.without_graph
        for number in range(len(KERNELS)):
            for index, part in enumerate(("filter", "gate")):
                place = f"{prefix}._{part}_conv._time_conv.{number}"
                state[f"{place}.weight"] = layer.gate.weights[number][index]
                state[f"{place}.bias"] = layer.gate.biases[number][index]
        for direction in range(2):
            place = f"{prefix}._mixprop_conv{direction + 1}._mlp._mlp"
            # (hops, in, out) to (out, hops * in), the hops one after another.
            matrix = layer.mix.weight[:, direction].flatten(0, 1).T
            state[f"{place}.weight"] = matrix[:, :, None, None]
            state[f"{place}.bias"] = layer.mix.bias[direction]
        skip = _by_step(layer.skip.weight, options.convolution_channels)
        state |= {f"{prefix}._skip_conv.weight": skip, f"{prefix}._skip_conv.bias": layer.skip.bias}
        state[f"{prefix}._normalization._weight"] = layer.norm.weight.permute(2, 0, 1)
        state[f"{prefix}._normalization._bias"] = layer.norm.bias.permute(2, 0, 1)
    return state | named(pointwise, pointwise=True)
