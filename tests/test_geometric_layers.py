"""Layers of PyTorch Geometric Temporal, batched and prepared once, are still those layers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stprune.backbones import geometric_temporal
from stprune.backbones.base import ForecastTask, parameter_count
from stprune.backbones.geometric_temporal import GeometricTemporal, GeometricTemporalOptions
from stprune.backbones.layers.geometric_layers import (
    CELLS,
    KEPT_SIZES,
    EdgeList,
    GeometricLayer,
    LayerName,
    gcn_propagation,
)
from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.backbones.layers.graph import symmetric_laplacian
from stprune.base.errors import DataError, DeclinedError

LAYERS = sorted([*CELLS, "a3tgcn"])
PER_DAY = 24
Batch = tuple[Tensor, Tensor, Tensor]


def a_graph(nodes: int, seed: int = 0) -> Tensor:
    """Directed and weighted, with a self-loop; node 0 has no edge at all."""
    generator = torch.Generator().manual_seed(seed)
    graph = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    graph = graph * (graph < 0.6)
    graph[0], graph[:, 0] = 0.0, 0.0
    graph[nodes // 2, nodes // 2] = 0.7
    return graph


def build(layer: str, **sizes: int) -> GeometricTemporal:
    """A small float64 model with all weights away from their start."""
    shape = {"nodes": 5, "history": 4, "horizon": 3, "channels": 1} | sizes
    graph = a_graph(shape["nodes"]) if shape["nodes"] > 1 else torch.zeros(1, 1).double()
    task = ForecastTask(**shape, target_channel=0, steps_per_day=PER_DAY, adjacency=graph)
    options = GeometricTemporalOptions.model_validate({"layer": layer, "hidden_channels": 4})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = GeometricTemporal(task, options).double()
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


def packages_own(model: GeometricTemporal, batch: Batch, graph: Tensor) -> Tensor:
    """The package's cell with our weights, window by window, normalising each time itself."""
    layer, nodes = model.options.layer, len(graph)
    name: LayerName = "tgcn" if layer == "a3tgcn" else layer
    recurrent = import_geometric_temporal().nn.recurrent
    values = model.calendar_inputs(*batch)
    more: dict[str, Any] = {}
    if name == "tgcn":
        cell = recurrent.TGCN(values.shape[-1], 4).double()
    else:
        cell = getattr(recurrent, CELLS[name])(values.shape[-1], 4, 3).double()
        largest = np.linalg.eigvalsh(symmetric_laplacian(graph).numpy()).max()
        more["lambda_max"] = torch.tensor(float(largest), dtype=torch.float64)
        graph = torch.maximum(graph, graph.T)
    cell.load_state_dict(model.layer.cell.state_dict())
    index = graph.nonzero().T
    edge_weight = graph[index[0], index[1]]
    windows = []
    for window in values:
        states = [window.new_zeros(nodes, 4)] * model.layer.states
        hidden = []
        for step in window:
            result = cell(step, index, edge_weight, *states, **more)
            states = list(result) if isinstance(result, tuple) else [result]
            hidden.append(states[0])
        if model.attention is None:
            read = hidden[-1]
        else:
            share = torch.exp(model.attention) / torch.exp(model.attention).sum()
            read = sum((s * h for s, h in zip(share, hidden, strict=True)), torch.zeros(()))
        windows.append((read @ model.regression.weight.T + model.regression.bias).T)
    return torch.stack(windows)


@pytest.mark.parametrize("layer", LAYERS)
def test_equals_the_packages_layer(layer: str) -> None:
    model = build(layer, channels=2)
    batch, leaves = a_batch(model.task), list(model.parameters())
    ours, theirs = model(*batch), packages_own(model, batch, model.task.adjacency)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert ours.detach().std() > 1e-3
    pull = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).view(ours.shape)
    (mine,) = torch.autograd.grad((ours * pull).sum(), batch[0], retain_graph=True)
    (plainly,) = torch.autograd.grad((theirs * pull).sum(), batch[0])
    torch.testing.assert_close(mine, plainly, rtol=0, atol=1e-8)
    for gradient in torch.autograd.grad((ours * pull).sum(), leaves):
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_are_those_of_finite_differences(layer: str) -> None:
    model = build(layer, nodes=3, history=2, horizon=2)
    inputs, slots, weekdays = a_batch(model.task, windows=1)
    assert torch.autograd.gradcheck(lambda values: model(values, slots, weekdays), (inputs,))


@pytest.mark.parametrize("layer", LAYERS)
def test_windows_and_unlinked_nodes_do_not_see_each_other(layer: str) -> None:
    model = build(layer)
    inputs, *calendar = a_batch(model.task)
    for window, node in ((0, 0), (1, 3), (2, 0)):
        forecast = model(inputs, *calendar)[window, :, node].sum()
        (gradient,) = torch.autograd.grad(forecast, inputs)
        reached = gradient.abs().amax(dim=(1, 3)) > 0
        assert reached[window, node]
        assert not reached[[other for other in range(3) if other != window]].any()
        assert bool(reached[window, 0]) == (node == 0)  # node 0 has no edge
        if node == 0:
            assert not reached[window, 1:].any()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("windows", [1, 3])
def test_one_node_alone(layer: str, windows: int) -> None:
    model = build(layer, nodes=1)
    batch = a_batch(model.task, windows)
    forecast = model(*batch)
    (gradient,) = torch.autograd.grad(forecast.square().sum(), batch[0])
    assert forecast.shape == (windows, 3, 1)
    assert torch.isfinite(forecast).all()
    assert (gradient.abs().amax(dim=(2, 3)) > 0).all()


@pytest.mark.parametrize("layer", LAYERS)
def test_another_graph_of_another_size(layer: str) -> None:
    model, other = build(layer), a_graph(8, seed=5)
    first = a_batch(model.task)
    before, keys = model(*first), set(model.state_dict())
    model.use_graph("other", other)
    batch = a_batch(model.task, nodes=8)
    expected = packages_own(model, batch, other)
    torch.testing.assert_close(model(*batch), expected, rtol=0, atol=1e-9)
    assert set(model.state_dict()) == keys
    model.use_graph("home", model.task.adjacency)
    assert torch.equal(model(*first), before)


def test_parameters_by_hand() -> None:
    """3 inputs, width 64, 3 terms, 12 steps of horizon and of history."""
    head, per_gate = 12 * 65, 3 * (3 + 64) * 64 + 2 * 64
    counts = {
        "gconv_gru": 3 * per_gate + head,
        "gconv_lstm": 4 * per_gate + 3 * 64 + 4 * 64 + head,  # peepholes and one more bias
        "gc_lstm": 4 * (3 * 64 + 64 + 3 * 64 * 64 + 64) + head,
        "tgcn": 3 * (3 * 64 + 64 + 128 * 64 + 64) + head,
    }
    counts["a3tgcn"] = counts["tgcn"] + 12
    task = ForecastTask(5, 12, 12, 1, 0, PER_DAY, a_graph(5))
    for layer, expected in counts.items():
        options = GeometricTemporalOptions.model_validate({"layer": layer})
        assert parameter_count(GeometricTemporal(task, options)) == expected, layer


def test_propagation_of_a_pair() -> None:
    """Edge 0 -> 1 of weight 3: node 1 collects 3 + 1, node 0 its own 1; a loop is kept."""
    graph = torch.tensor([[0.0, 3.0], [0.0, 0.0]])
    assert gcn_propagation(graph).tolist() == [[1.0, 3 / 2], [0.0, 1 / 4]]
    graph[1, 1] = 6.0  # node 1 collects 3 + 6
    torch.testing.assert_close(gcn_propagation(graph), torch.tensor([[1.0, 1.0], [0.0, 6 / 9]]))


def test_edges_of_copies_are_shifted_and_kept() -> None:
    edges = EdgeList(torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]))
    index, weight = edges.copies(2)
    assert index.tolist() == [[0, 1, 3, 4], [1, 2, 4, 5]]
    assert weight.tolist() == [2.0, 0.5, 2.0, 0.5]
    assert edges.copies(2)[0] is index
    edges.double()
    assert edges.copies(2)[1].dtype == torch.float64
    for count in range(3, 3 + KEPT_SIZES):
        edges.copies(count)
    assert edges.copies(2)[0] is not index  # only the last few sizes are kept


def test_nothing_is_normalised_again() -> None:
    """The convolutions mix by the very numbers they are given, whatever their scale."""
    for name in CELLS:
        layer = GeometricLayer(name, 2, 3, 2)
        sequence = torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(0))
        own = layer(sequence, EdgeList(torch.eye(3)))
        assert torch.allclose(own[:, :, :1], layer(sequence[:, :, :1], EdgeList(torch.eye(1))))
        assert not torch.allclose(own, layer(sequence, EdgeList(2 * torch.eye(3))))


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
@pytest.mark.parametrize("layer", ["gconv_gru", "tgcn"])
def test_refuses_weights_that_are_none(layer: str, weight: float) -> None:
    graph = torch.eye(3)
    graph[0, 1] = weight
    options = GeometricTemporalOptions.model_validate({"layer": layer})
    with pytest.raises(DataError, match="at least 0"):
        GeometricTemporal(ForecastTask(3, 12, 12, 1, 0, PER_DAY, graph), options)


def test_declines_a_history_of_one_step() -> None:
    with pytest.raises(DeclinedError, match="nothing to remember; give at least 2"):
        build("gconv_gru", history=1)


def test_says_how_to_install_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_arguments: Any) -> None:
        raise ImportError("No module named 'torch_geometric_temporal'")

    monkeypatch.setattr(geometric_temporal, "GeometricLayer", missing)
    with pytest.raises(DeclinedError, match="pip install --no-deps torch-geometric-temporal"):
        build("tgcn")


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("torch_sparse") is not None, reason="torch-sparse is installed here"
)
def test_importing_warns_of_nothing() -> None:
    program = (
        "import sys, torch\n"
        "from stprune.backbones.layers.geometric_temporal import import_geometric_temporal\n"
        "import_geometric_temporal()\n"
        "assert 'torch_sparse' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
