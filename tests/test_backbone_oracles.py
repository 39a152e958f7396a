"""Every backbone forecasts, and learns, what its oracle does from the same weights."""

from typing import Any

import pytest
import torch
from oracles import Batch, oracle_forecast

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask

PER_DAY = 24
# Forecasters without weights; what they forecast is counted by hand in their own tests.
UNTRAINED = {"historical_average", "last_value"}


def a_graph(nodes: int) -> torch.Tensor:
    """Directed and weighted, with self-loops here and there; no edge leaves node 2."""
    generator = torch.Generator().manual_seed(7)
    adjacency = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    adjacency = adjacency * (adjacency < 0.5)
    adjacency[2:3] = 0.0
    return adjacency


def build(name: str, options: dict[str, Any], **sizes: int) -> tuple[Any, Batch]:
    """A float64 backbone with all weights and moments away from their start, and a batch."""
    generator = torch.Generator().manual_seed(7)
    shape = {"nodes": 5, "history": 12, "horizon": 4, "channels": 1} | sizes
    nodes = shape["nodes"]
    task = ForecastTask(**shape, target_channel=0, steps_per_day=PER_DAY, adjacency=a_graph(nodes))
    backbone_class = BACKBONES.load(name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model: Backbone = backbone_class(task, backbone_class.Options(**options)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise)
        for key, buffer in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                noise = torch.rand(buffer.shape, generator=generator, dtype=torch.float64)
                buffer.copy_(0.5 + noise)
    inputs = torch.randn(
        3, shape["history"], nodes, shape["channels"], generator=generator, dtype=torch.float64
    )
    steps = (3, shape["history"])
    slots = torch.randint(PER_DAY, steps, generator=generator)
    weekdays = torch.randint(7, steps, generator=generator)
    return model, (inputs.requires_grad_(), slots, weekdays)


GWNET = {"residual_channels": 4, "skip_channels": 6, "end_channels": 7, "embedding_rank": 2}
STAEFORMER = {
    "input_width": 3,
    "time_of_day_width": 2,
    "day_of_week_width": 3,
    "adaptive_width": 4,
    "feed_forward_width": 7,
    "heads": 3,
    "temporal_layers": 1,
    "spatial_layers": 2,
}
STID = {"series_width": 5, "node_width": 3, "time_of_day_width": 4, "layers": 2}
ASTGCN = {"graph_channels": 4, "temporal_channels": 3}
LSTM = {"input_width": 3, "hidden_width": 4, "output_width": 5}
STNORM = {"channels": 3, "blocks": 2, "layers": 2}
STTN = {"channels": 6, "heads": 3, "end_channels": 5, "expansion": 2, "blocks": 2}
OPENCITY = {"width": 8, "heads": 2, "layers": 2, "eigenvectors": 3}
DAY = {"history": PER_DAY, "horizon": PER_DAY}
PUBLISHED: dict[str, Any] = {}

CASES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("agcrn", {"hidden_channels": 6}, {"history": 4}),
    ("agcrn", {"hidden_channels": 4, "layers": 3, "chebyshev_terms": 4}, {"history": 4}),
    ("agcrn", {"hidden_channels": 4, "calendar": False}, {"nodes": 2, "history": 1}),
    ("astgcn", PUBLISHED, {}),
    ("astgcn", ASTGCN, {"channels": 2, "history": 5}),
    ("astgcn", ASTGCN | {"blocks": 3, "chebyshev_terms": 4}, {"history": 2}),
    ("astgcn", ASTGCN, {"nodes": 1}),
    ("dcrnn", {"hidden_channels": 6}, {"history": 4}),
    ("dcrnn", {"hidden_channels": 3, "layers": 1, "diffusion_steps": 1}, {"channels": 2}),
    ("dcrnn", {"hidden_channels": 4, "layers": 3, "diffusion_steps": 3}, {"horizon": 1}),
    ("dcrnn", {"hidden_channels": 4, "calendar": False}, {"nodes": 1, "history": 1}),
    ("dlinear", PUBLISHED, {}),
    ("dlinear", {"kernel": 5}, {"history": 9, "channels": 3}),
    ("dlinear", PUBLISHED, {"history": 1}),
    *(
        (
            "geometric_temporal",
            {"layer": layer, "hidden_channels": 4},
            {"history": 4, "channels": 2},
        )
        for layer in ("a3tgcn", "gc_lstm", "gconv_gru", "gconv_lstm", "tgcn")
    ),
    ("gwnet", PUBLISHED, {}),
    ("gwnet", GWNET | {"self_loops": False}, {"history": 5}),
    ("gwnet", GWNET | {"blocks": 2, "layers": 3, "diffusion_steps": 1}, {"channels": 2}),
    ("lstm", PUBLISHED, {"nodes": 3, "history": 5}),
    ("lstm", LSTM | {"layers": 1}, {"history": 1, "channels": 2}),
    ("opencity", OPENCITY | {"heads": 4}, {"nodes": 4, "history": 6}),
    ("opencity", OPENCITY | {"patches": 4, "swiglu_ratio": 1.5}, {"channels": 2, "horizon": 7}),
    ("opencity", OPENCITY | {"patches": 2, "eigenvectors": 8}, {"nodes": 3, "horizon": 30}),
    ("opencity", OPENCITY | {"head": "next_day", "patches": 4, "patch_steps": 6}, DAY),
    ("staeformer", STAEFORMER, {"history": 4}),
    ("staeformer", STAEFORMER | {"heads": 1, "legacy_dow": True}, {"history": 6, "channels": 2}),
    ("staeformer", STAEFORMER | {"adaptive_width": 0, "time_of_day_width": 0}, {"history": 3}),
    ("staeformer", STAEFORMER | {"day_of_week_width": 0, "temporal_layers": 0}, {"history": 4}),
    ("stgcn", PUBLISHED, {}),
    ("stgcn", {"chebyshev_terms": 4, "temporal_channels": 4, "graph_channels": 3}, {"channels": 7}),
    ("stgcn", {"blocks": 1, "chebyshev_terms": 1}, {"history": 5}),
    ("stid", PUBLISHED, {}),
    ("stid", STID | {"day_of_week_width": 4}, {"channels": 2}),
    ("stid", STID | {"node_width": 0, "time_of_day_width": 0, "layers": 1}, {"history": 3}),
    ("stnorm", STNORM, {"history": 7}),
    ("stnorm", STNORM, {"history": 4, "channels": 2}),
    ("stnorm", STNORM | {"temporal_norm": False, "layers": 1}, {"history": 7}),
    ("stnorm", STNORM | {"spatial_norm": False}, {"history": 7}),
    ("sttn", STTN, {"history": 4}),
    ("sttn", STTN | {"causal": False, "heads": 2, "blocks": 1}, {"history": 4, "channels": 2}),
    ("sttn", STTN | {"legacy_softmax": True, "diffusion_steps": 1}, {"nodes": 3, "history": 6}),
]


def test_every_backbone_has_an_oracle():
    assert {name for name, *_ in CASES} | UNTRAINED == set(BACKBONES.ids())


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(("name", "options", "sizes"), CASES)
def test_forecast_and_gradients_are_those_of_the_oracle(name, options, sizes, training):
    if training:
        options = options | {
            key: 0.0 for key in BACKBONES.load(name).Options.model_fields if "dropout" in key
        }
    model, batch = build(name, options, **sizes)
    model.train(training)
    theirs = oracle_forecast(name, model, batch)
    ours = model(*batch)
    assert ours.dtype == torch.float64
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert ours.detach().std() > 1e-3

    leaves = [batch[0], *model.parameters()]
    pull = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).view(ours.shape)
    # What we leave out of the computation changes nothing in the published model either.
    mine, expected = (
        torch.autograd.grad((forecast * pull).sum(), leaves, materialize_grads=True)
        for forecast in (ours, theirs)
    )
    torch.testing.assert_close(mine, expected, rtol=1e-8, atol=1e-8)
    assert expected[0].abs().max() > 1e-5
