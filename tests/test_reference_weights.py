"""Published weights load into our backbones, come back unchanged, and forecast the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from published_pairs import SMALL, build, forecasts, load
from torch import Tensor, nn

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count
from stprune.backbones.reference import from_published, to_published
from stprune.published_forms import published_form
from stprune.published_forms.layouts import LAYOUTS

# Names and shapes of the public code at the small sizes, 6 nodes, 12 steps to 5, one channel.
# fmt: off
PUBLISHED = {
    "gwnet": {
        "nodevec1": (6, 2), "nodevec2": (2, 6), "start_conv.weight": (4, 3, 1, 1),
        "filter_convs.7.weight": (4, 4, 1, 2), "gate_convs.0.bias": (4,),
        "skip_convs.3.weight": (6, 4, 1, 1), "bn.7.running_var": (4,), "bn.2.weight": (4,),
        "bn.0.num_batches_tracked": (), "gconv.7.mlp.mlp.weight": (4, 28, 1, 1),
        "end_conv_1.weight": (7, 6, 1, 1), "end_conv_2.weight": (5, 7, 1, 1),
    },
    "stgcn": {
        "st_blocks.0.tmp_conv1.align.align_conv.weight": (5, 3, 1, 1),
        "st_blocks.0.tmp_conv1.causal_conv.weight": (10, 3, 3, 1),
        "st_blocks.1.graph_conv.align.align_conv.weight": (3, 5, 1, 1),
        "st_blocks.1.graph_conv.cheb_graph_conv.weight": (3, 3, 3),
        "st_blocks.1.graph_conv.cheb_graph_conv.bias": (3,),
        "st_blocks.1.tmp_conv2.causal_conv.bias": (10,), "st_blocks.0.tc2_ln.weight": (6, 5),
        "output.tmp_conv1.causal_conv.weight": (12, 5, 4, 1), "output.tc1_ln.bias": (6, 6),
        "output.fc1.weight": (6, 6), "output.fc2.weight": (5, 6),
    },
    "stid": {
        "node_emb": (6, 3), "time_in_day_emb": (24, 4), "time_series_emb_layer.bias": (5,),
        "time_series_emb_layer.weight": (5, 36, 1, 1), "encoder.2.fc1.weight": (12, 12, 1, 1),
        "encoder.0.fc2.bias": (12,), "regression_layer.weight": (5, 12, 1, 1),
    },
    "staeformer": {
        "input_proj.weight": (4, 3), "tod_embedding.weight": (24, 3), "output_proj.bias": (5,),
        "dow_embedding.weight": (7, 2), "adaptive_embedding": (12, 6, 3),
        "output_proj.weight": (5, 144), "attn_layers_t.1.attn.FC_Q.weight": (12, 12),
        "attn_layers_s.0.attn.FC_K.bias": (12,), "attn_layers_t.0.attn.FC_V.weight": (12, 12),
        "attn_layers_s.0.attn.out_proj.weight": (12, 12), "attn_layers_t.1.ln1.weight": (12,),
        "attn_layers_t.1.feed_forward.0.weight": (7, 12), "attn_layers_s.0.ln2.bias": (12,),
        "attn_layers_s.0.feed_forward.2.weight": (12, 7),
    },
}
# fmt: on
TENSORS = {"gwnet": 2 + 6 + 8 * 13, "stgcn": 2 * 14 + 10, "stid": 2 + 4 + 3 * 4}
TENSORS["staeformer"] = 7 + 3 * 16
CASES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    *((name, options, {}) for name, options in SMALL.items()),
    ("gwnet", SMALL["gwnet"] | {"blocks": 2, "layers": 3, "diffusion_steps": 1}, {"channels": 2}),
    ("gwnet", SMALL["gwnet"] | {"self_loops": False}, {"history": 5}),
    ("stgcn", SMALL["stgcn"] | {"chebyshev_terms": 4}, {"channels": 7}),
    ("stgcn", SMALL["stgcn"] | {"blocks": 1, "chebyshev_terms": 1}, {"history": 5}),
    ("stid", SMALL["stid"] | {"day_of_week_width": 2}, {"channels": 2}),
    ("stid", SMALL["stid"] | {"node_width": 0, "time_of_day_width": 0, "layers": 1}, {}),
    ("staeformer", SMALL["staeformer"] | {"legacy_dow": True, "temporal_layers": 0}, {}),
    (
        "staeformer",
        {"input_width": 4, "time_of_day_width": 0, "day_of_week_width": 0, "adaptive_width": 0},
        {"channels": 2, "history": 3},
    ),
]
# The public code counts steps before the receptive field in batch moments, ours does not.
LONG = ("gwnet", SMALL["gwnet"], {"history": 20})


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """A state with the gradient of each weight in its place, and moments as they are."""
    state = module.state_dict()
    for key, parameter in module.named_parameters():
        gradient = parameter.grad
        state[key] = torch.zeros_like(parameter) if gradient is None else gradient.clone()
    return state


@pytest.mark.parametrize("name", LAYOUTS)
def test_names_and_shapes_are_the_published_ones(name: str) -> None:
    form, ours, _ = build(name, SMALL[name])
    published = {key: tuple(value.shape) for key, value in form.state_dict().items()}
    assert len(published) == TENSORS[name]
    assert PUBLISHED[name].items() <= published.items()
    back = {key: tuple(value.shape) for key, value in to_published(name, ours).items()}
    assert back == published


@pytest.mark.parametrize(
    ("name", "nodes", "per_day", "count"),
    [
        ("gwnet", 170, 288, 300_244),
        ("stgcn", 170, 288, 227_980),
        ("stid", 275, 24, 67_788),
        ("staeformer", 170, 288, 1_223_460),
        ("staeformer", 275, 24, 1_317_924),
    ],
)
def test_forms_have_the_published_sizes(name: str, nodes: int, per_day: int, count: int) -> None:
    task = ForecastTask(nodes, 12, 12, 1, 0, per_day, torch.eye(nodes).roll(1, dims=1))
    form = published_form(name, task, BACKBONES.load(name).Options())
    assert parameter_count(form) == count
    features = torch.zeros(2, 12, nodes, 3)
    assert form(features).shape == (2, 12, nodes)


@pytest.mark.parametrize(("name", "options", "sizes"), [*CASES, LONG])
def test_loaded_weights_forecast_the_same(
    name: str, options: dict[str, Any], sizes: dict[str, int]
) -> None:
    form, ours, batch = build(name, options, sizes)
    theirs, before = forecasts(form.eval(), ours.eval(), batch)
    assert (theirs - before).abs().max() > 1e-3
    load(name, form, ours)
    theirs, mine = forecasts(form, ours, batch)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "options", "sizes"), CASES)
def test_loaded_weights_train_the_same(
    name: str, options: dict[str, Any], sizes: dict[str, int]
) -> None:
    """Forecast, gradient of inputs and of every weight, and moments after a training step."""
    form, ours, batch = build(name, options | {"dropout": 0.0}, sizes)
    load(name, form, ours)
    theirs, mine = forecasts(form.train(), ours.train(), batch)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
    pull = torch.linspace(-1, 1, mine.numel(), dtype=mine.dtype).reshape(mine.shape)
    input_gradients = []
    for forecast in (theirs, mine):
        (forecast * pull).sum().backward()
        input_gradients.append(batch[0].grad)
        batch[0].grad = None
    torch.testing.assert_close(*input_gradients, rtol=0, atol=1e-8)
    expected, found = from_published(name, ours, gradients(form)), gradients(ours)
    for key, value in found.items():
        if is_last_norm(name, ours, key):
            continue  # the public code normalises a result that it then throws away
        torch.testing.assert_close(value, expected[key], rtol=1e-8, atol=1e-8, msg=key)
    weights = [key for key, _ in ours.named_parameters() if key not in ours.unused_parameters()]
    assert all(expected[key].abs().max() > 0 for key in weights)


def is_last_norm(name: str, ours: Any, key: str) -> bool:
    return name == "gwnet" and key.startswith(f"norms.{len(ours.norms) - 1}.")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("training", [False, True])
def test_published_sizes_in_single_precision(name: str, training: bool) -> None:
    """Scattered by little, as trained weights are, so that the forecasts are of order one."""
    form, ours, batch = build(
        name, {"dropout": 0.0}, {"nodes": 20, "horizon": 12}, torch.float32, scatter=0.01
    )
    load(name, form, ours)
    theirs, mine = forecasts(form.train(training), ours.train(training), batch)
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "options", "sizes"), CASES)
def test_there_and_back_is_the_identity(
    name: str, options: dict[str, Any], sizes: dict[str, int]
) -> None:
    form, ours, _ = build(name, options, sizes, torch.float32)
    published = form.state_dict()
    state = from_published(name, ours, published)
    back = to_published(name, ours, state)
    assert back.keys() == published.keys()
    for key, value in published.items():
        assert back[key].dtype == value.dtype
        assert torch.equal(back[key], value), key
    again = from_published(name, ours, to_published(name, ours))
    assert again.keys() == ours.state_dict().keys()
    assert all(torch.equal(again[key], value) for key, value in ours.state_dict().items())


def test_mapped_weights_share_no_memory() -> None:
    form, ours, _ = build("stid", SMALL["stid"])
    state = from_published("stid", ours, form.state_dict())
    kept = copy.deepcopy(state)
    with torch.no_grad():
        for parameter in form.parameters():
            parameter.zero_()
    assert all(torch.equal(state[key], value) for key, value in kept.items())
