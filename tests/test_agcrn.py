"""AGCRN is what the paper's equations say, and has the published size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stprune.backbones.agcrn import Agcrn, AgcrnOptions
from stprune.backbones.base import ForecastTask, parameter_count
from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.base.errors import DeclinedError

Weights = dict[str, Tensor]
Batch = tuple[Tensor, Tensor, Tensor]
PER_DAY = 24


def build(options: dict[str, Any], **sizes: int) -> Agcrn:
    """A float64 model with all weights away from their start."""
    shape = {"nodes": 5, "history": 4, "horizon": 3, "channels": 1} | sizes
    adjacency = torch.zeros(shape["nodes"], shape["nodes"])
    task = ForecastTask(**shape, target_channel=0, steps_per_day=PER_DAY, adjacency=adjacency)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Agcrn(task, AgcrnOptions(**options)).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def a_batch(task: ForecastTask, windows: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(1)
    shape = (windows, task.history, task.nodes, task.channels)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    slots = torch.randint(PER_DAY, shape[:2], generator=generator)
    weekdays = torch.randint(7, shape[:2], generator=generator)
    return inputs.requires_grad_(), slots, weekdays


def weights_of(model: Any) -> Weights:
    """Pools as published: (d, K, in + width, columns), of the gates and of the candidate."""
    width, terms = model.options.hidden_channels, model.options.chebyshev_terms
    weights = {
        "e": model.embedding,
        "out.w": model.regression.weight,
        "out.b": model.regression.bias,
    }
    for index, layer in enumerate(model.recurrent):
        of_input = layer.input_pool.unflatten(1, (terms, -1))
        for name, columns, of_state in (
            ("gate", slice(2 * width), layer.gate_pool),
            ("update", slice(2 * width, None), layer.candidate_pool),
        ):
            both = [of_input[..., columns], of_state.unflatten(1, (terms, -1))]
            weights[f"{index}.{name}.w"] = torch.cat(both, dim=2)
            weights[f"{index}.{name}.b"] = layer.bias_pool[:, columns]
    return weights


def plain_graph(embedding: Tensor, terms: int) -> list[Tensor]:
    """Equation 5, entry by entry, and its Chebyshev polynomials."""
    rows = []
    for own in embedding:
        scores = torch.stack([torch.relu((own * other).sum()) for other in embedding])
        rows.append(torch.exp(scores) / torch.exp(scores).sum())
    graph = torch.stack(rows)
    polynomials = [torch.eye(len(graph), dtype=graph.dtype), graph]
    for _ in range(2, terms):
        polynomials.append(2 * graph @ polynomials[-1] - polynomials[-2])
    return polynomials[:terms]


def plain_convolution(weights: Weights, name: str, x: Tensor, graphs: list[Tensor]) -> Tensor:
    """Equation 6 on one window, node by node: (N, in) to (N, out)."""
    rows = []
    for node, embedded in enumerate(weights["e"]):
        total = embedded @ weights[f"{name}.b"]
        for k, graph in enumerate(graphs):
            own = sum(e * pool[k] for e, pool in zip(embedded, weights[f"{name}.w"], strict=True))
            total = total + (graph[node] @ x) @ own
        rows.append(total)
    return torch.stack(rows)


def plain(model: Agcrn, weights: Weights, batch: Batch) -> Tensor:
    """Window by window and step by step: (B, H, N)."""
    inputs, slots, weekdays = batch
    width, nodes = model.options.hidden_channels, inputs.shape[2]
    graphs = plain_graph(weights["e"], model.options.chebyshev_terms)
    windows = []
    for b in range(len(inputs)):
        states = [inputs.new_zeros(nodes, width) for _ in range(model.options.layers)]
        for t in range(inputs.shape[1]):
            x = inputs[b, t]
            if model.options.calendar:
                day, week = slots[b, t].item() / PER_DAY, weekdays[b, t].item() / 7
                x = torch.cat([x, x.new_tensor([[day, week]] * nodes)], dim=1)
            for layer, h in enumerate(states):
                both = torch.cat([x, h], dim=1)
                gates = torch.sigmoid(plain_convolution(weights, f"{layer}.gate", both, graphs))
                z, r = gates[:, :width], gates[:, width:]
                both = torch.cat([x, z * h], dim=1)
                candidate = torch.tanh(plain_convolution(weights, f"{layer}.update", both, graphs))
                states[layer] = x = r * h + (1 - r) * candidate
        windows.append((states[-1] @ weights["out.w"].T + weights["out.b"]).T)
    return torch.stack(windows)


SETTINGS = [
    ({"hidden_channels": 6}, {}),
    ({"hidden_channels": 3, "layers": 1, "embedding_width": 2}, {"channels": 2}),
    ({"hidden_channels": 4, "layers": 3, "chebyshev_terms": 4}, {"horizon": 1}),
    ({"hidden_channels": 4, "calendar": False}, {"nodes": 2}),
    ({"hidden_channels": 4}, {"history": 1}),
]


@pytest.mark.parametrize(("options", "sizes"), SETTINGS)
def test_equals_the_equations(options: dict[str, Any], sizes: dict[str, int]) -> None:
    model = build(options, **sizes)
    batch = a_batch(model.task)
    ours = model(*batch)
    theirs = plain(model, weights_of(model), batch)
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
    options = {"hidden_channels": 2, "layers": 1, "embedding_width": 2}
    model = build(options, nodes=3, history=2, horizon=2)
    inputs, slots, weekdays = a_batch(model.task, windows=1)
    names = [name for name, _ in model.named_parameters()]

    def forecast(values: Tensor, *parameters: Tensor) -> Any:
        arguments = (values, slots, weekdays)
        return torch.func.functional_call(
            model, dict(zip(names, parameters, strict=True)), arguments
        )

    assert torch.autograd.gradcheck(forecast, (inputs, *model.parameters()))


def test_parameters_as_published() -> None:
    """748 810 is the official model of PEMS04: 307 nodes, 12 steps, the value as the only input.

    By hand: an embedding of 10; pools of 10 times 2 terms, 192 columns and 1 + 64 or 64 + 64
    channels, with biases; a head of 64 and a bias for each of 12 steps.
    """
    pools = 10 * 2 * 192 * (1 + 64 + 64 + 64) + 2 * 10 * 192
    assert 307 * 10 + pools + 12 * 65 == 748_810
    task = ForecastTask(307, 12, 12, 1, 0, 288, torch.eye(307))
    assert parameter_count(Agcrn(task, AgcrnOptions(calendar=False))) == 748_810
    assert parameter_count(Agcrn(task, AgcrnOptions())) == 748_810 + 2 * 10 * 2 * 192


def test_a_layer_equals_the_packages() -> None:
    """PyTorch Geometric Temporal's AGCRN, step by step, with the same weights."""
    model = build({"hidden_channels": 4, "layers": 1, "chebyshev_terms": 3}, channels=2)
    weights, (inputs, slots, weekdays) = weights_of(model), a_batch(model.task)
    recurrent = import_geometric_temporal().nn.recurrent
    theirs = recurrent.AGCRN(5, 4, 4, 3, 10).double()
    with torch.no_grad():
        for name, convolution in (("gate", theirs._gate), ("update", theirs._update)):
            convolution.weights_pool.copy_(weights[f"0.{name}.w"])
            convolution.bias_pool.copy_(weights[f"0.{name}.b"])
    values = model.calendar_inputs(inputs, slots, weekdays)
    # The package's own start is float32, so the first state is handed to it.
    state = inputs.new_zeros(3, 5, 4)
    for t in range(values.shape[1]):
        state = theirs(values[:, t], model.embedding, state)
    expected = (state @ weights["out.w"].T + weights["out.b"]).transpose(1, 2)
    torch.testing.assert_close(model(inputs, slots, weekdays), expected, rtol=0, atol=1e-9)


def test_the_given_graph_changes_nothing_and_every_node_sees_every_other() -> None:
    model = build({"hidden_channels": 3})  # its given graph has no edges
    batch = a_batch(model.task, windows=1)
    for node in range(5):
        (gradient,) = torch.autograd.grad(model(*batch)[0, 0, node], batch[0])
        assert (gradient.abs().amax(dim=(0, 1, 3)) > 0).all()


def test_nodes_with_equal_embeddings_and_histories_get_equal_forecasts() -> None:
    """All that is a node's own comes from its embedding."""
    model = build({"hidden_channels": 3})
    inputs, *calendar = a_batch(model.task)
    alike = inputs.detach().clone()
    alike[:, :, 3] = alike[:, :, 1]
    with torch.no_grad():
        model.embedding[3] = model.embedding[1]
        forecast = model(alike, *calendar)
    torch.testing.assert_close(forecast[..., 3], forecast[..., 1])
    assert not torch.allclose(forecast[..., 3], forecast[..., 2])


def test_cannot_move_to_another_graph() -> None:
    model = build({"hidden_channels": 3})
    with pytest.raises(DeclinedError, match="agcrn: its weights belong to the 5 nodes"):
        model.use_graph("other", torch.eye(7))
