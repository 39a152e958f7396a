"""MTGNN: as the paper's equations written plainly, and as PyTorch Geometric Temporal has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count
from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.base.errors import ConfigError
from stprune.base.schema import validate

PER_DAY = 24
SMALL = {
    "residual_channels": 3,
    "convolution_channels": 8,
    "skip_channels": 5,
    "end_channels": 6,
    "embedding_rank": 4,
    "neighbours": 2,
}
Batch = tuple[Tensor, Tensor, Tensor]
Weights = dict[str, Tensor]


def build(seed: int = 3, **sizes: Any) -> tuple[Any, Batch]:
    """A float64 model away from its start, in evaluation, and a batch of three windows."""
    shape = {"nodes": 5, "history": 12, "horizon": 4, "channels": 1}
    shape |= {key: sizes.pop(key) for key in list(sizes) if key in shape}
    task = ForecastTask(
        **shape, target_channel=0, steps_per_day=PER_DAY, adjacency=torch.eye(shape["nodes"])
    )
    backbone_class = BACKBONES.load("mtgnn")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = backbone_class(task, backbone_class.Options(**sizes)).double().eval()
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        inputs = torch.randn(3, shape["history"], shape["nodes"], shape["channels"]).double()
        slots = torch.randint(PER_DAY, (3, shape["history"]))
        weekdays = torch.randint(7, (3, shape["history"]))
    return model, (inputs.requires_grad_(), slots, weekdays)


def published_weights(model: Any) -> Weights:
    """Ours by published parts: one matrix a hop, one kernel a size, skip layers by step."""
    weights = {
        "e1": model.graph.source,
        "e2": model.graph.target,
        "theta1.w": model.graph.source_projection.weight,
        "theta1.b": model.graph.source_projection.bias,
        "theta2.w": model.graph.target_projection.weight,
        "theta2.b": model.graph.target_projection.bias,
        "start.w": model.start.weight,
        "start.b": model.start.bias,
        "skip0.w": torch.cat([model.padding_skip, model.first_skip.weight], dim=1),
        "skip0.b": model.first_skip.bias,
        "skipE.w": model.last_skip.weight,
        "skipE.b": model.last_skip.bias,
        "end1.w": model.end.weight,
        "end1.b": model.end.bias,
        "end2.w": model.regression.weight,
        "end2.b": model.regression.bias,
    }
    for i, layer in enumerate(model.layers):
        for kernel, w, b in zip((2, 3, 6, 7), layer.gate.weights, layer.gate.biases, strict=True):
            for part, index in (("filter", 0), ("gate", 1)):
                weights[f"{i}.{part}{kernel}.w"] = w[index, :, :, 0]
                weights[f"{i}.{part}{kernel}.b"] = b[index]
        for direction in range(2):
            # (hops, in, out) to (out, hops * in), the hops one after another.
            matrix = layer.mix.weight[:, direction].flatten(0, 1).T
            weights[f"{i}.mix{direction}.w"] = matrix
            weights[f"{i}.mix{direction}.b"] = layer.mix.bias[direction]
        weights[f"{i}.skip.w"], weights[f"{i}.skip.b"] = layer.skip.weight, layer.skip.bias
        weights[f"{i}.norm.w"], weights[f"{i}.norm.b"] = layer.norm.weight, layer.norm.bias
    return weights


def plain_graph(w: Weights, neighbours: int, saturation: float) -> Tensor:
    """Row by row: A_ij of the strongest edges of node i, 0 for the others."""
    nodes = len(w["e1"])
    one = torch.tanh(saturation * (w["e1"] @ w["theta1.w"].T + w["theta1.b"]))
    two = torch.tanh(saturation * (w["e2"] @ w["theta2.w"].T + w["theta2.b"]))
    rows = []
    for i in range(nodes):
        edges = [
            torch.relu(torch.tanh(saturation * (one[i] @ two[j] - two[i] @ one[j])))
            for j in range(nodes)
        ]
        strengths = [edge.detach().item() for edge in edges]
        strongest = sorted(range(nodes), key=strengths.__getitem__)[-neighbours:]
        rows.append(torch.stack([e * (j in strongest) for j, e in enumerate(edges)]))
    return torch.stack(rows)


def plain_mix(w: Weights, name: str, x: Tensor, graph: Tensor, depth: int, kept: float) -> Tensor:
    """The two steps of mix-hop propagation: pass information on, then select."""
    looped = graph + torch.eye(len(graph), dtype=graph.dtype)
    normalised = looped / looped.sum(dim=1, keepdim=True)
    hidden, hops = x, [x]
    for _ in range(depth):
        hidden = kept * x + (1 - kept) * torch.einsum("vw,bwtc->bvtc", normalised, hidden)
        hops.append(hidden)
    return torch.cat(hops, dim=-1) @ w[f"{name}.w"].T + w[f"{name}.b"]


def plain_inception(w: Weights, name: str, x: Tensor, dilation: int) -> Tensor:
    """Each kernel by itself, its last steps kept; x is (B, N, T, C)."""
    steps = x.shape[2]
    parts = []
    for kernel in (2, 3, 6, 7):
        weight, out = w[f"{name}{kernel}.w"], []
        for last in range(6 * dilation, steps):
            seen = [last - (kernel - 1 - tap) * dilation for tap in range(kernel)]
            taps = [x[:, :, step] @ weight[:, :, tap].T for tap, step in enumerate(seen)]
            out.append(sum(taps) + w[f"{name}{kernel}.b"])
        parts.append(torch.stack(out, dim=2))
    return torch.cat(parts, dim=-1)


def plain_mtgnn(model: Any, batch: Batch) -> Tensor:
    """The forecast (B, H, N) by the equations, without dropout."""
    w, options = published_weights(model), model.options
    inputs, slots, weekdays = batch
    calendar = torch.stack([slots.double() / PER_DAY, weekdays.double() / 7], dim=-1)
    nodes = inputs.shape[2]
    x = torch.cat([inputs, calendar[:, :, None].expand(-1, -1, nodes, -1)], dim=-1)
    missing = model.receptive_field - x.shape[1]
    if missing > 0:
        x = torch.cat([x.new_zeros(len(x), missing, *x.shape[2:]), x], dim=1)
    x = x.transpose(1, 2)
    graph = plain_graph(w, options.neighbours, options.saturation)

    skip = x.flatten(2) @ w["skip0.w"].T + w["skip0.b"]
    x = x @ w["start.w"].T + w["start.b"]
    for i in range(options.layers):
        dilation = options.dilation_growth**i
        value = torch.tanh(plain_inception(w, f"{i}.filter", x, dilation))
        gated = value * torch.sigmoid(plain_inception(w, f"{i}.gate", x, dilation))
        skip = skip + gated.flatten(2) @ w[f"{i}.skip.w"].T + w[f"{i}.skip.b"]
        mixed = sum(
            plain_mix(w, f"{i}.mix{d}", gated, g, options.mix_depth, options.kept_share)
            for d, g in enumerate((graph, graph.T))
        )
        mixed = mixed + x[:, :, -mixed.shape[2] :]
        windows = []
        for window in mixed:
            spread = (window - window.mean()).square().mean().add(1e-5).sqrt()
            windows.append((window - window.mean()) / spread)
        x = torch.stack(windows) * w[f"{i}.norm.w"] + w[f"{i}.norm.b"]
    skip = skip + x.flatten(2) @ w["skipE.w"].T + w["skipE.b"]
    hidden = torch.relu(torch.relu(skip) @ w["end1.w"].T + w["end1.b"])
    return (hidden @ w["end2.w"].T + w["end2.b"]).transpose(1, 2)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        SMALL | {"channels": 2},
        SMALL | {"layers": 2, "dilation_growth": 2, "history": 23, "mix_depth": 3},
        SMALL | {"layers": 1, "history": 7, "mix_depth": 1, "kept_share": 0.4},
        SMALL | {"nodes": 2, "history": 1, "neighbours": 1},
    ],
    ids=["published", "two channels", "longer than the receptive field", "exact", "one step"],
)
def test_forecast_and_gradients_of_the_plain_equations(sizes: dict[str, Any]) -> None:
    model, batch = build(**sizes)
    ours, plain = model(*batch), plain_mtgnn(model, batch)
    assert ours.std() > 1e-3
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)
    pull = torch.linspace(-1, 1, ours.numel(), dtype=torch.float64).reshape(ours.shape)
    parameters = dict(model.named_parameters())
    used = [batch[0]] + [p for k, p in parameters.items() if k not in model.unused_parameters()]
    our_gradients = torch.autograd.grad((ours * pull).sum(), used)
    plain_gradients = torch.autograd.grad((plain * pull).sum(), used)
    for mine, theirs in zip(our_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)
    assert plain_gradients[0].abs().max() > 1e-4


def test_gradients_against_finite_differences() -> None:
    sizes = SMALL | {"layers": 1, "history": 3, "nodes": 3, "horizon": 2}
    model, (inputs, *calendar) = build(**sizes)
    assert torch.autograd.gradcheck(lambda values: model(values, *calendar), (inputs,))


@pytest.mark.parametrize(("nodes", "published"), [(207, 405_452), (325, 573_484)])
def test_parameters_as_the_official_code_counts(nodes: int, published: int) -> None:
    """METR-LA and PEMS-BAY, with its default sizes and inputs value and time of day.

    Our weekday adds a row of 32 to the first layer and 19 steps of 64 to the first skip path.
    """
    with torch.random.fork_rng():
        model, _ = build(nodes=nodes, horizon=12)
    assert parameter_count(model) == published + 32 + 19 * 64


def test_unused_parameters_are_counted() -> None:
    """Three layers of 32 * 32 + 32 for a model without graph; seven padded steps of 3 * 64."""
    model, _ = build(nodes=5)
    parameters = dict(model.named_parameters())
    unused = sum(parameters[name].numel() for name in model.unused_parameters())
    assert unused == 3 * (32 * 32 + 32) + 7 * 3 * 64


def test_no_edge_both_ways_and_no_more_neighbours_than_asked_for() -> None:
    model, _ = build(nodes=9, **SMALL)
    graph = model.graph()
    assert ((graph > 0).sum(dim=1) <= 2).all()
    assert (graph * graph.T == 0).all()
    assert (graph > 0).any()


def test_saturated_edges_are_ranked_by_their_strength() -> None:
    """In float32 all of them are exactly 1, and the strongest must still be kept."""
    model, _ = build(nodes=4, **(SMALL | {"embedding_rank": 1, "neighbours": 1}))
    graph = model.graph.float()
    with torch.no_grad():
        for projection in (graph.source_projection, graph.target_projection):
            projection.weight.fill_(1.0)
            projection.bias.zero_()
        graph.saturation = 50.0
        # tanh(50 e): 0.1 to 0.4 for sources and targets that make scores rise with the node.
        graph.source.copy_(torch.atanh(torch.tensor([[0.9], [0.1], [0.2], [0.3]])) / 50)
        graph.target.copy_(torch.atanh(torch.tensor([[0.1], [0.3], [0.6], [0.9]])) / 50)
    assert graph()[0].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_the_given_graph_plays_no_part() -> None:
    model, batch = build(**SMALL)
    other, _ = build(**SMALL)
    other.task.adjacency.fill_(1.0)
    assert torch.equal(model(*batch), other(*batch))


def test_width_that_kernels_cannot_share_is_refused() -> None:
    options = BACKBONES.load("mtgnn").Options
    with pytest.raises(ConfigError, match="convolution_channels"):
        validate(options, {"convolution_channels": 30}, "here")


@pytest.fixture
def double_by_default() -> Iterator[None]:
    """Geometric Temporal makes its masks in the default type and knows no other."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.usefixtures("double_by_default")
@pytest.mark.parametrize("history", [12, 21])
def test_forecast_of_geometric_temporal(history: int) -> None:
    """The same weights in its MTGNN: another implementation, with rounding of its own."""
    import_geometric_temporal()
    from torch_geometric_temporal.nn.attention.mtgnn import MTGNN

    model, batch = build(history=history, nodes=6, neighbours=3)
    with torch.no_grad():  # away from saturation, where it breaks ties as they come
        model.graph.source.mul_(0.1)
    theirs: nn.Module = MTGNN(
        gcn_true=True,
        build_adj=True,
        gcn_depth=2,
        num_nodes=6,
        kernel_set=[2, 3, 6, 7],
        kernel_size=7,
        dropout=0.3,
        subgraph_size=3,
        node_dim=40,
        dilation_exponential=1,
        conv_channels=32,
        residual_channels=32,
        skip_channels=64,
        end_channels=128,
        seq_length=history,
        in_dim=3,
        out_dim=4,
        layers=3,
        propalpha=0.05,
        tanhalpha=3,
        layer_norm_affline=True,
    ).double()
    assert parameter_count(theirs) == parameter_count(model)
    theirs.load_state_dict(geometric_temporal_state(model))
    channels_first = model.calendar_inputs(*batch).permute(0, 3, 2, 1)
    torch.testing.assert_close(
        model(*batch), theirs.eval()(channels_first)[..., 0], rtol=0, atol=1e-9
    )


def geometric_temporal_state(model: Any) -> Weights:
    """Our weights by the names and shapes of its layers."""
    w = published_weights(model)

    def by_step(name: str, features: int) -> Tensor:
        """(out, T * C) to (out, C, 1, T)."""
        return w[name].unflatten(1, (-1, features)).transpose(1, 2)[:, :, None]

    def pointwise(name: str) -> Tensor:
        return w[name][:, :, None, None]

    state = {
        "_graph_constructor._embedding1.weight": w["e1"],
        "_graph_constructor._embedding2.weight": w["e2"],
        "_skip_conv_0.weight": by_step("skip0.w", 3),
        "_skip_conv_E.weight": by_step("skipE.w", 32),
        "_start_conv.weight": pointwise("start.w"),
        "_end_conv_1.weight": pointwise("end1.w"),
        "_end_conv_2.weight": pointwise("end2.w"),
    }
    for ours, name in (("skip0", "skip_conv_0"), ("skipE", "skip_conv_E"), ("start", "start_conv")):
        state[f"_{name}.bias"] = w[f"{ours}.b"]
    for i in (1, 2):
        state[f"_end_conv_{i}.bias"] = w[f"end{i}.b"]
        state[f"_graph_constructor._linear{i}.weight"] = w[f"theta{i}.w"]
        state[f"_graph_constructor._linear{i}.bias"] = w[f"theta{i}.b"]
    for i, layer in enumerate(model.layers):
        prefix = f"_mtgnn_layers.{i}"
        for part in ("filter", "gate"):
            for number, kernel in enumerate((2, 3, 6, 7)):
                place = f"{prefix}._{part}_conv._time_conv.{number}"
                state[f"{place}.weight"] = w[f"{i}.{part}{kernel}.w"][:, :, None]
                state[f"{place}.bias"] = w[f"{i}.{part}{kernel}.b"]
        for direction in range(2):
            place = f"{prefix}._mixprop_conv{direction + 1}._mlp._mlp"
            state[f"{place}.weight"] = pointwise(f"{i}.mix{direction}.w")
            state[f"{place}.bias"] = w[f"{i}.mix{direction}.b"]
        state[f"{prefix}._residual_conv.weight"] = layer.without_graph.weight[:, :, None, None]
        state[f"{prefix}._residual_conv.bias"] = layer.without_graph.bias
        state[f"{prefix}._skip_conv.weight"] = by_step(f"{i}.skip.w", 32)
        state[f"{prefix}._skip_conv.bias"] = w[f"{i}.skip.b"]
        state[f"{prefix}._normalization._weight"] = w[f"{i}.norm.w"].permute(2, 0, 1)
        state[f"{prefix}._normalization._bias"] = w[f"{i}.norm.b"].permute(2, 0, 1)
    return {name: tensor.detach() for name, tensor in state.items()}
