"""A backbone of ours next to its public form, with random weights, to compare them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask
from stprune.backbones.reference import from_published
from stprune.published_forms import published_form

BATCH, PER_DAY = 3, 24
Batch = tuple[Tensor, Tensor, Tensor]
SMALL: dict[str, dict[str, Any]] = {
    "gwnet": {"residual_channels": 4, "skip_channels": 6, "end_channels": 7, "embedding_rank": 2},
    "stgcn": {"temporal_channels": 5, "graph_channels": 3, "output_channels": 6},
    "stid": {"series_width": 5, "node_width": 3, "time_of_day_width": 4},
    "staeformer": {
        "input_width": 4,
        "time_of_day_width": 3,
        "day_of_week_width": 2,
        "adaptive_width": 3,
        "feed_forward_width": 7,
        "heads": 3,
        "temporal_layers": 2,
        "spatial_layers": 1,
    },
}


def build(
    name: str,
    options: dict[str, Any],
    sizes: dict[str, int] | None = None,
    dtype: torch.dtype = torch.float64,
    scatter: float = 0.1,
) -> tuple[nn.Module, Backbone, Batch]:
    """The public form with random weights and moments, ours with other ones, and a batch."""
    generator = torch.Generator().manual_seed(5)
    shape = {"nodes": 6, "history": 12, "horizon": 5, "channels": 1} | (sizes or {})
    nodes = shape["nodes"]
    adjacency = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    adjacency = (adjacency * (adjacency < 0.4)).to(dtype)  # directed, with holes
    task = ForecastTask(**shape, target_channel=0, steps_per_day=PER_DAY, adjacency=adjacency)
    backbone_class = BACKBONES.load(name)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        chosen = backbone_class.Options(**options)
        ours = backbone_class(task, chosen).to(dtype)
        form = published_form(name, task, chosen).to(dtype)
    with torch.no_grad():
        for key, value in form.state_dict().items():
            noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
            if key.endswith(("running_mean", "running_var")):
                value.copy_(0.5 + noise)
            elif value.is_floating_point():
                value.add_(scatter * (2 * noise - 1))
    inputs = torch.randn(
        BATCH, shape["history"], nodes, shape["channels"], generator=generator, dtype=torch.float64
    )
    steps = (BATCH, shape["history"])
    slots = torch.randint(PER_DAY, steps, generator=generator)
    weekdays = torch.randint(7, steps, generator=generator)
    return form, ours, (inputs.to(dtype).requires_grad_(), slots, weekdays)


def load(name: str, form: nn.Module, ours: Backbone) -> None:
    ours.load_state_dict(from_published(name, ours, form.state_dict()))


def forecasts(form: nn.Module, ours: Backbone, batch: Batch) -> tuple[Tensor, Tensor]:
    return form(ours.calendar_inputs(*batch)), ours(*batch)
