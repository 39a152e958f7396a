"""DCRNN is what the paper's equations say, and has the size of the official code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stprune.backbones.base import ForecastTask, parameter_count
from stprune.backbones.dcrnn import Dcrnn, DcrnnOptions, DiffusionGru, diffusion_terms
from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.backbones.layers.graph_product import GraphProduct
from stprune.base.errors import DataError

Weights = dict[str, Tensor]
Batch = tuple[Tensor, Tensor, Tensor]
PER_DAY = 24


def a_graph(nodes: int, seed: int = 0) -> Tensor:
    """Directed, weighted, with a node that no edge leaves and one that none enters."""
    generator = torch.Generator().manual_seed(seed)
    graph = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    graph = graph * (graph < 0.6)
    graph[0] = 0.0
    graph[:, -1] = 0.0
    return graph


def build(options: dict[str, Any], **sizes: int) -> Dcrnn:
    """A float64 model with all weights away from their start."""
    shape = {"nodes": 5, "history": 4, "horizon": 3, "channels": 1} | sizes
    task = ForecastTask(
        **shape, target_channel=0, steps_per_day=PER_DAY, adjacency=a_graph(shape["nodes"])
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Dcrnn(task, DcrnnOptions(**options)).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def a_batch(task: ForecastTask, windows: int = 3, nodes: int | None = None) -> Batch:
    generator = torch.Generator().manual_seed(1)
    shape = (windows, task.history, nodes or task.nodes, task.channels)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    slots = torch.randint(PER_DAY, shape[:2], generator=generator)
    weekdays = torch.randint(7, shape[:2], generator=generator)
    return inputs.requires_grad_(), slots, weekdays


def weights_of(model: Dcrnn) -> Weights:
    """By layer, gate ("r", "u", "c") and number of the term: (in + width, width) each."""
    width = model.options.hidden_channels
    count = 2 * model.options.diffusion_steps + 1
    weights = {"out": model.projection.weight[0]}
    for part in ("encoder", "decoder"):
        for index, layer in enumerate(getattr(model, part)):
            for gate, name in enumerate("ruc"):
                columns = slice(gate * width, (gate + 1) * width)
                of_input = layer.input_weight[:, columns].chunk(count)
                if name == "c":
                    of_state = layer.candidate_weight.chunk(count)
                else:
                    of_state = layer.gate_weight[:, columns].chunk(count)
                for k in range(count):
                    both = torch.cat([of_input[k], of_state[k]])
                    weights[f"{part}.{index}.{name}.{k}"] = both
                weights[f"{part}.{index}.{name}.b"] = layer.bias[columns]
    return weights


def plain_walk(graph: Tensor) -> Tensor:
    """Entry (i, j) is the chance to go from i to j."""
    result = torch.zeros_like(graph)
    for i in range(len(graph)):
        total = float(graph[i].sum())
        for j in range(len(graph)):
            if total > 0:
                result[i, j] = graph[i, j] / total
    return result


def plain_convolution(weights: Weights, name: str, x: Tensor, graph: Tensor, steps: int) -> Tensor:
    """Equation 2 on one window, (N, in) to (N, out), with Chebyshev terms of both walks."""
    total = x @ weights[f"{name}.0"] + weights[f"{name}.b"]
    term = 1
    for walk in (plain_walk(graph), plain_walk(graph.T)):
        before, now = x, walk.T @ x
        for _ in range(steps):
            total = total + now @ weights[f"{name}.{term}"]
            before, now = now, 2 * walk.T @ now - before
            term += 1
    return total


def plain_cell(
    weights: Weights, name: str, x: Tensor, h: Tensor, graph: Tensor, steps: int
) -> Tensor:
    """Equation 3 on one window."""
    r = torch.sigmoid(plain_convolution(weights, f"{name}.r", torch.cat([x, h], 1), graph, steps))
    u = torch.sigmoid(plain_convolution(weights, f"{name}.u", torch.cat([x, h], 1), graph, steps))
    kept = torch.cat([x, r * h], 1)
    c = torch.tanh(plain_convolution(weights, f"{name}.c", kept, graph, steps))
    return u * h + (1 - u) * c


def plain(model: Dcrnn, weights: Weights, batch: Batch, graph: Tensor) -> Tensor:
    """The encoder and decoder window by window and step by step: (B, H, N)."""
    inputs, slots, weekdays = batch
    options, nodes = model.options, inputs.shape[2]
    width, steps, layers = options.hidden_channels, options.diffusion_steps, range(options.layers)
    windows = []
    for b in range(len(inputs)):
        states = [inputs.new_zeros(nodes, width) for _ in layers]
        for t in range(inputs.shape[1]):
            columns = [inputs[b, t]]
            if options.calendar:
                day, week = slots[b, t].item() / PER_DAY, weekdays[b, t].item() / 7
                columns.append(inputs.new_tensor([[day, week]] * nodes))
            x = torch.cat(columns, dim=1)
            for layer in layers:
                x = plain_cell(weights, f"encoder.{layer}", x, states[layer], graph, steps)
                states[layer] = x
        x, forecasts = inputs.new_zeros(nodes, 1), []
        for _ in range(model.task.horizon):
            for layer in layers:
                x = plain_cell(weights, f"decoder.{layer}", x, states[layer], graph, steps)
                states[layer] = x
            x = (x @ weights["out"])[:, None]
            forecasts.append(x[:, 0])
        windows.append(torch.stack(forecasts))
    return torch.stack(windows)


SETTINGS = [
    ({"hidden_channels": 6}, {}),
    ({"hidden_channels": 3, "layers": 1, "diffusion_steps": 1}, {"channels": 2}),
    ({"hidden_channels": 4, "layers": 3, "diffusion_steps": 3}, {"horizon": 1}),
    ({"hidden_channels": 4, "calendar": False}, {"nodes": 1}),
    ({"hidden_channels": 4}, {"history": 1}),
]


@pytest.mark.parametrize(("options", "sizes"), SETTINGS)
def test_equals_the_equations(options: dict[str, Any], sizes: dict[str, int]) -> None:
    model = build(options, **sizes)
    batch = a_batch(model.task)
    ours = model(*batch)
    theirs = plain(model, weights_of(model), batch, model.task.adjacency)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert ours.detach().std() > 1e-3
    used = [p for name, p in model.named_parameters() if name not in model.unused_parameters()]
    pull = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).view(ours.shape)
    leaves = [batch[0], *used]
    pairs = zip(
        torch.autograd.grad((ours * pull).sum(), leaves),
        torch.autograd.grad((theirs * pull).sum(), leaves),
        strict=True,
    )
    for mine, plainly in pairs:
        torch.testing.assert_close(mine, plainly, rtol=0, atol=1e-8)
        assert plainly.abs().max() > 0


def test_gradients_are_those_of_finite_differences() -> None:
    model = build({"hidden_channels": 2, "layers": 1}, nodes=3, history=2, horizon=2)
    inputs, slots, weekdays = a_batch(model.task, windows=1)
    names = [name for name, _ in model.named_parameters()]

    def forecast(values: Tensor, *parameters: Tensor) -> Any:
        arguments = (values, slots, weekdays)
        return torch.func.functional_call(
            model, dict(zip(names, parameters, strict=True)), arguments
        )

    assert torch.autograd.gradcheck(forecast, (inputs, *model.parameters()))


def test_parameters_as_published() -> None:
    """The official code counts 371 392 with one input channel (its issue tracker, 2020).

    By hand, with 5 terms and width 64: 192 columns for 1 + 64 and 64 + 64 channels, each once
    in the encoder and once in the decoder, biases, and a projection of 64.
    """
    by_hand = 2 * (5 * 192 * (1 + 64 + 64 + 64) + 2 * 192) + 64
    assert by_hand == 371_392
    task = ForecastTask(87, 12, 12, 1, 0, 288, torch.eye(87))
    assert parameter_count(Dcrnn(task, DcrnnOptions(calendar=False))) == by_hand
    # Two more input channels, each for 5 terms and 192 columns.
    assert parameter_count(Dcrnn(task, DcrnnOptions())) == by_hand + 2 * 5 * 192


def test_a_cell_equals_the_packages_where_that_is_right() -> None:
    """PyTorch Geometric Temporal's DCRNN takes weights for degrees only, and the degrees of the
    walk against the edges from the wrong nodes; on a plain undirected graph both are alike."""
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (1, 4)]
    graph = torch.zeros(5, 5)
    for i, j in edges:
        graph[i, j] = graph[j, i] = 1.0
    index = graph.nonzero().T
    width, terms = 4, 5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = import_geometric_temporal().nn.recurrent.DCRNN(2, width, 3)
        ours = DiffusionGru(2, width, terms - 1)
        inputs, state = torch.randn(5, 2), torch.randn(5, width)
    with torch.no_grad():
        for gate, convolution in enumerate((theirs.conv_x_r, theirs.conv_x_z, theirs.conv_x_h)):
            along, against = convolution.weight
            blocks = torch.stack([along[0] + against[0], *along[1:], *against[1:]])
            columns = slice(gate * width, (gate + 1) * width)
            ours.input_weight[:, columns] = blocks[:, :2].flatten(0, 1)
            target = ours.candidate_weight if gate == 2 else ours.gate_weight[:, columns]
            target.copy_(blocks[:, 2:].flatten(0, 1))
            ours.bias[columns] = convolution.bias
    expected = theirs(inputs, index, graph[index[0], index[1]], state)
    supports = GraphProduct(diffusion_terms(graph, 2))
    actual = ours(ours.convolve_input(inputs[:, None], supports), state[:, None], supports)[:, 0]
    torch.testing.assert_close(actual, expected)


def test_walks_of_a_chain() -> None:
    """On 0 -> 1 -> 2, Pᵀ moves a value one node on; T_2 = 2 Pᵀ² - I."""
    chain = torch.tensor([[0.0, 7.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    value = torch.tensor([[1.0], [0.0], [0.0]])
    moved = (diffusion_terms(chain, 2) @ value).view(4, 3).tolist()
    assert moved == [[0, 1, 0], [-1, 0, 2], [0, 0, 0], [-1, 0, 0]]


def test_a_node_reaches_only_as_far_as_its_walks() -> None:
    """By hand, on a ring with walks of one hop: the first step starts from an empty state and
    moves its input 1 hop; each later one moves the state 2 hops, through the reset gate and then
    through the candidate. Two steps of history and one of horizon make 1 + 2 + 2."""
    nodes = 40
    task = ForecastTask(nodes, 2, 1, 1, 0, PER_DAY, torch.eye(nodes).roll(1, dims=1))
    options = DcrnnOptions(hidden_channels=4, layers=1, diffusion_steps=1)
    model = Dcrnn(task, options).double()
    batch = a_batch(task, windows=1)
    (gradient,) = torch.autograd.grad(model(*batch)[0, 0, 20], batch[0])
    reached = (gradient.abs().amax(dim=(0, 1, 3)) > 0).nonzero().flatten().tolist()
    assert reached == list(range(20 - 5, 20 + 6))


def test_another_graph_of_another_size() -> None:
    model = build({"hidden_channels": 4})
    other = a_graph(8, seed=5)
    first = a_batch(model.task)
    before = model(*first)
    model.use_graph("other", other)
    batch = a_batch(model.task, nodes=8)
    theirs = plain(model, weights_of(model), batch, other)
    torch.testing.assert_close(model(*batch), theirs, rtol=0, atol=1e-9)
    assert not any("terms" in key for key in model.state_dict())
    model.use_graph("home", model.task.adjacency)
    assert torch.equal(model(*first), before)


def test_refuses_negative_weights() -> None:
    graph = torch.eye(3)
    graph[0, 1] = -1.0
    with pytest.raises(DataError, match="weight -1 at row 0, column 1"):
        Dcrnn(ForecastTask(3, 12, 12, 1, 0, PER_DAY, graph), DcrnnOptions())
