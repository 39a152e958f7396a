"""What single backbones do as their papers say: reach, graphs, calendars, what is declined."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from oracles import dcrnn
from oracles import geometric_temporal as packages_own
from test_backbone_oracles import (
    ASTGCN,
    GWNET,
    LSTM,
    MTGNN,
    PER_DAY,
    STAEFORMER,
    STNORM,
    STTN,
    a_graph,
    build,
)
from torch import Tensor

from stprune.backbones import geometric_temporal
from stprune.backbones.base import BACKBONES, ForecastTask
from stprune.backbones.dcrnn import diffusion_terms
from stprune.backbones.geometric_temporal import CELLS, EdgeList, gcn_propagation
from stprune.backbones.stnorm import SpatialNorm, TemporalNorm
from stprune.base.errors import ConfigError, DataError, DeclinedError
from stprune.base.schema import validate


def reached(output: Tensor, inputs: Tensor, axis: int) -> list[int]:
    """Places along an axis of the inputs (B, T, N, C) that the output depends on."""
    (gradient,) = torch.autograd.grad(output.sum(), inputs)
    others = tuple({0, 1, 2, 3} - {axis})
    return np.flatnonzero(gradient.abs().amax(dim=others) > 0).tolist()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("dlinear", {}, [1]),
        ("lstm", LSTM, [1]),
        ("stid", {}, [1]),
        ("stnorm", STNORM | {"spatial_norm": False}, [1]),
        ("stnorm", STNORM | {"channels": 5}, [0, 1, 2, 3]),
        ("agcrn", {"hidden_channels": 3}, [0, 1, 2, 3]),
        ("staeformer", STAEFORMER | {"spatial_layers": 0}, [1]),
        ("staeformer", STAEFORMER, [0, 1, 2, 3]),
        ("gwnet", GWNET | {"blocks": 1, "layers": 1}, [1]),
    ],
)
def test_nodes_that_a_node_depends_on(
    name: str, options: dict[str, Any], expected: list[int]
) -> None:
    model, batch = build(name, options, nodes=4)
    assert reached(model.eval()(*batch)[:, :, 1], batch[0], 2) == expected


@pytest.mark.parametrize(
    ("name", "options"), [("gwnet", GWNET), ("stnorm", STNORM | {"blocks": 4})]
)
def test_a_receptive_field_of_thirteen_steps(name: str, options: dict[str, Any]) -> None:
    """Four blocks with dilations 1 and 2: an older step changes nothing, the thirteenth does."""
    model, batch = build(name, options, history=20)
    assert reached(model.eval()(*batch), batch[0], 1) == list(range(7, 20))


def test_diffusion_reaches_as_far_as_its_walks() -> None:
    """By hand, on a ring with walks of one hop: the first step starts from an empty state and
    moves its input 1 hop; each later one moves the state 2 hops, through the reset gate and then
    through the candidate. Two steps of history and one of horizon make 1 + 2 + 2."""
    options = {"hidden_channels": 4, "layers": 1, "diffusion_steps": 1}
    model, batch = build("dcrnn", options, nodes=40, history=2, horizon=1)
    model.use_graph("ring", torch.eye(40).roll(1, dims=1).double())
    assert reached(model.eval()(*batch)[:, :, 20], batch[0], 2) == list(range(15, 26))


def test_walks_of_a_chain() -> None:
    """On 0 -> 1 -> 2, Pᵀ moves a value one node on; T_2 = 2 Pᵀ² - I."""
    chain = torch.tensor([[0.0, 7.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    value = torch.tensor([[1.0], [0.0], [0.0]])
    moved = (diffusion_terms(chain, 2) @ value).view(4, 3).tolist()
    assert moved == [[0, 1, 0], [-1, 0, 2], [0, 0, 0], [-1, 0, 0]]


LAYERS = sorted([*CELLS, "a3tgcn"])


@pytest.mark.parametrize(
    ("name", "options", "oracle"),
    [
        ("dcrnn", {"hidden_channels": 4}, dcrnn),
        *(
            ("geometric_temporal", {"layer": layer, "hidden_channels": 4}, packages_own)
            for layer in LAYERS
        ),
    ],
)
def test_another_graph_of_another_size(name: str, options: dict[str, Any], oracle: Any) -> None:
    model, first = build(name, options, history=4)
    before, keys = model(*first), set(model.state_dict())
    other = a_graph(8)
    model.use_graph("other", other)
    _, batch = build(name, options, history=4, nodes=8)
    expected = oracle.forecast_on(model, batch, other)
    torch.testing.assert_close(model(*batch), expected, rtol=0, atol=1e-9)
    assert set(model.state_dict()) == keys
    model.use_graph("home", model.task.adjacency)
    assert torch.equal(model(*first), before)


@pytest.mark.parametrize(("name", "options"), [("dlinear", {}), ("lstm", LSTM)])
def test_forecasts_of_single_nodes_go_to_any_graph(name: str, options: dict[str, Any]) -> None:
    model, (inputs, *calendar) = build(name, options, nodes=4)
    expected = model.eval()(inputs, *calendar)
    model.use_graph("another", torch.ones(8, 8))
    twice = model(torch.cat([inputs, inputs], 2), *calendar)
    torch.testing.assert_close(twice[:, :, 4:], expected)


def test_a_model_of_its_own_nodes_cannot_move_to_another_graph() -> None:
    model, _ = build("agcrn", {"hidden_channels": 3})
    with pytest.raises(DeclinedError, match="agcrn"):
        model.use_graph("other", torch.eye(7))


@pytest.mark.parametrize(
    "name", ["astgcn", "dcrnn", "gwnet", "opencity", "stgcn", "sttn", "geometric_temporal"]
)
def test_a_graph_with_negative_weights_is_refused(name: str) -> None:
    graph = torch.ones(3, 3)
    graph[0, 1] = -1.0
    backbone_class = BACKBONES.load(name)
    with pytest.raises(DataError):
        backbone_class(ForecastTask(3, 12, 4, 1, 0, PER_DAY, graph), backbone_class.Options())


@pytest.mark.parametrize(
    ("name", "options", "history"),
    [
        ("stgcn", {}, 8),
        ("staeformer", STAEFORMER | {"heads": 5}, 12),
        ("sttn", STTN | {"heads": 4}, 12),
        ("geometric_temporal", {}, 1),
    ],
)
def test_declines_what_it_cannot_do(name: str, options: dict[str, Any], history: int) -> None:
    with pytest.raises(DeclinedError, match=name):
        build(name, options, history=history)


@pytest.mark.parametrize(
    ("name", "options"), [("dlinear", {"kernel": 4}), ("mtgnn", {"convolution_channels": 30})]
)
def test_options_that_cannot_be_are_refused(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        validate(BACKBONES.load(name).Options, options, "here")


def test_moving_average_of_dlinear_by_hand() -> None:
    """Of 1, 2, 6 over three steps: 4/3, 3 and 14/3; with R = 1 and S = 0 their sum is 9."""
    model, batch = build("dlinear", {"kernel": 3}, nodes=3, history=3, horizon=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name == "trend.weight" else 0.0)
    inputs = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64).view(1, 3, 1, 1)
    forecast = model(inputs, batch[1][:1], batch[2][:1])
    torch.testing.assert_close(forecast.squeeze(), torch.tensor(9.0, dtype=torch.float64))


@pytest.mark.parametrize(("nodes", "history"), [(5, 1), (1, 12), (1, 1)])
def test_attention_of_astgcn_without_a_choice_gets_no_gradient(nodes: int, history: int) -> None:
    model, batch = build("astgcn", ASTGCN, nodes=nodes, history=history)
    model(*batch).square().sum().backward()
    without = {k for k, p in model.named_parameters() if not p.grad.abs().max() > 1e-12}
    assert without == model.unused_parameters()
    assert without


def test_edges_of_astgcn_count_and_their_weights_do_not() -> None:
    model, batch = build("astgcn", ASTGCN)

    def on(adjacency: Tensor) -> Tensor:
        task = ForecastTask(5, 12, 4, 1, 0, PER_DAY, adjacency)
        other = type(model)(task, model.options).double()
        other.load_state_dict(model.state_dict())
        forecast: Tensor = other(*batch)
        return forecast

    weightless = model.task.adjacency.sign()
    assert torch.equal(on(weightless), model(*batch))
    fewer = weightless * torch.eye(5, dtype=torch.float64)
    assert not torch.allclose(on(fewer), model(*batch))


def test_attention_of_all_blocks_of_astgcn_starts_where_it_can_learn() -> None:
    """With the published start, that of the second block is saturated and gets no gradient."""
    backbone_class = BACKBONES.load("astgcn")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        task = ForecastTask(30, 12, 12, 1, 0, PER_DAY, a_graph(30).float())
        model = backbone_class(task, backbone_class.Options())
        inputs = torch.randn(4, 12, 30, 1)
    steps = torch.arange(48).view(4, 12)
    model(inputs, steps % PER_DAY, steps // PER_DAY).square().mean().backward()
    attention = {k: p.grad for k, p in model.named_parameters() if "attention" in k}
    assert len(attention) == 2 * 10
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in attention.values())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.uniform_(generator=torch.Generator().manual_seed(0))
    model.zero_grad()
    model(inputs, steps % PER_DAY, steps // PER_DAY).square().mean().backward()
    assert model.get_parameter("blocks.1.temporal_attention.mixing").grad.abs().max() == 0


def test_the_learned_graph_of_mtgnn() -> None:
    """No edge both ways, and no more neighbours than asked for; the given graph plays no part."""
    model, batch = build("mtgnn", MTGNN, nodes=9)
    graph = model.graph()
    assert ((graph > 0).sum(dim=1) <= 2).all()
    assert (graph * graph.T == 0).all()
    assert (graph > 0).any()
    forecast = model.eval()(*batch)
    model.task.adjacency.fill_(1.0)
    assert torch.equal(model(*batch), forecast)


def test_saturated_edges_of_mtgnn_are_ranked_by_their_strength() -> None:
    """In float32 all of them are exactly 1, and the strongest must still be kept."""
    model, _ = build("mtgnn", MTGNN | {"embedding_rank": 1, "neighbours": 1}, nodes=4)
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


def test_weekday_of_staeformer_counts_unless_the_legacy_is_asked_for() -> None:
    """With `legacy_dow` only the fraction weekday / 7 among the inputs is left."""
    for legacy in (False, True):
        model, (inputs, slots, weekdays) = build("staeformer", STAEFORMER | {"legacy_dow": legacy})
        model.eval()
        other = (weekdays + 1) % 7
        assert not torch.allclose(model(inputs, slots, other), model(inputs, slots, weekdays))
        with torch.no_grad():
            model.input_projection.weight[:, -1] = 0.0
        same = torch.allclose(model(inputs, slots, other), model(inputs, slots, weekdays))
        assert same == legacy


@pytest.mark.parametrize(
    ("temporal", "spatial", "reached"),
    [(0, 0, [(1, 2)]), (1, 0, [(0, 2), (1, 2), (2, 2)]), (0, 1, [(1, 0), (1, 1), (1, 2)])],
)
def test_tokens_of_staeformer_meet_along_the_axes_attended(
    temporal: int, spatial: int, reached: list[tuple[int, int]]
) -> None:
    """The output of step 1 and node 2 depends on the inputs of these (step, node)."""
    options = STAEFORMER | {"temporal_layers": temporal, "spatial_layers": spatial}
    model, batch = build("staeformer", options, nodes=3, history=3)
    with torch.no_grad():
        for t in (0, 2):  # the forecast reads step 1 alone
            model.regression.weight[:, t * 12 : (t + 1) * 12] = 0.0
    (gradient,) = torch.autograd.grad(model.eval()(*batch)[0, :, 2].sum(), batch[0])
    assert [tuple(place) for place in gradient[0, :, :, 0].nonzero().tolist()] == reached


def test_st_norm_over_time_takes_a_node_s_level_away() -> None:
    """A level and a scale of each node's own are gone; moments are averaged for evaluation."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, 2, 4, generator=generator, dtype=torch.float64)
    shifted = values * torch.tensor([2.0, 5.0])[:, None] + torch.tensor([100.0, -7.0])[:, None]
    norm = TemporalNorm(2, 4).double()
    torch.testing.assert_close(norm(shifted), norm(values), rtol=0, atol=1e-4)
    fresh = TemporalNorm(2, 4).double()
    fresh(values)
    expected = 0.1 * values.mean(dim=(0, 1)).flatten()
    torch.testing.assert_close(fresh.norm.running_mean, expected)
    expected = 0.9 + 0.1 * values.flatten(0, 1).var(dim=0).flatten()
    torch.testing.assert_close(fresh.norm.running_var, expected)


def test_st_norm_over_nodes_takes_a_step_s_level_away() -> None:
    """By hand: 1, 2, 3 have mean 2 and deviation 1; a single node has no spread."""
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).view(1, 1, 3, 1)
    norm = SpatialNorm(1).double()
    for level in (0.0, 50.0):
        result = norm(values + level).flatten()
        torch.testing.assert_close(result, (values - 2).flatten(), rtol=0, atol=1e-4)
    norm = SpatialNorm(2)
    torch.nn.init.constant_(norm.bias, 0.25)
    alone = norm(torch.randn(2, 3, 1, 2, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(alone, torch.full_like(alone, 0.25), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1]),
        ({"causal": False}, [0, 1, 2, 3]),
        ({"legacy_softmax": True}, [0, 1, 2, 3]),
    ],
    ids=["causal", "both ways", "legacy"],
)
def test_steps_that_a_step_of_sttn_attends_to(
    options: dict[str, bool], expected: list[int]
) -> None:
    """Step 1 of a block's output depends on these steps of its input; the legacy leaks."""
    model, _ = build("sttn", STTN | options, nodes=4, history=4)
    entered = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(0)).double()
    entered.requires_grad_()
    assert reached(model.eval().blocks[0](entered)[0, 1], entered, 1) == expected


@pytest.mark.parametrize("layer", LAYERS)
def test_windows_and_unlinked_nodes_of_the_packages_layers_do_not_meet(layer: str) -> None:
    model, (inputs, *calendar) = build("geometric_temporal", {"layer": layer}, history=4)
    graph = a_graph(5)
    graph[0], graph[:, 0] = 0.0, 0.0  # node 0 has no edge at all
    model.use_graph("cut", graph)
    for window, node in ((0, 0), (1, 3)):
        forecast = model(inputs, *calendar)[window, :, node].sum()
        (gradient,) = torch.autograd.grad(forecast, inputs)
        reached = gradient.abs().amax(dim=(1, 3)) > 0
        assert reached[window, node]
        assert not reached[[other for other in range(3) if other != window]].any()
        assert bool(reached[window, 0]) == (node == 0)
        if node == 0:
            assert not reached[window, 1:].any()


def test_propagation_of_a_pair() -> None:
    """Edge 0 -> 1 of weight 3: node 1 collects 3 + 1, node 0 its own 1; a loop is kept."""
    graph = torch.tensor([[0.0, 3.0], [0.0, 0.0]])
    assert gcn_propagation(graph).tolist() == [[1.0, 3 / 2], [0.0, 1 / 4]]
    graph[1, 1] = 6.0  # node 1 collects 3 + 6
    torch.testing.assert_close(gcn_propagation(graph), torch.tensor([[1.0, 1.0], [0.0, 6 / 9]]))


def test_edges_of_copies_are_shifted() -> None:
    edges = EdgeList(torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]))
    index, weight = edges.copies(2)
    assert index.tolist() == [[0, 1, 3, 4], [1, 2, 4, 5]]
    assert weight.tolist() == [2.0, 0.5, 2.0, 0.5]


def test_says_how_to_install_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_arguments: Any) -> None:
        raise ImportError("No module named 'torch_geometric_temporal'")

    monkeypatch.setattr(geometric_temporal, "GeometricLayer", missing)
    with pytest.raises(DeclinedError, match="pip install --no-deps torch-geometric-temporal"):
        build("geometric_temporal", {"layer": "tgcn"})


PROGRAM = """
import sys
import torch
from stprune.backbones.geometric_temporal import import_geometric_temporal
package = import_geometric_temporal()
assert package is import_geometric_temporal()
assert "torch_sparse" not in sys.modules
layer = package.nn.recurrent.GConvGRU(2, 4, 2)
state = layer(torch.ones(3, 2), torch.tensor([[0, 1], [1, 2]]), torch.tensor([1.0, 0.5]))
print(tuple(state.shape))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("torch_sparse") is not None, reason="torch-sparse is installed here"
)
def test_imports_and_runs_without_torch_sparse_or_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(3, 4)"
