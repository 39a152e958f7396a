"""Parameter counts are those of published training logs; histories that do not fit are met.

The counts are from the logs of ST-TTC (NeurIPS 2025), which uses the models of LargeST; all
forecast 12 steps from 12 and take the value, the time of day and the weekday as inputs.
"""

from __future__ import annotations

import pytest
import torch

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask, parameter_count
from stprune.base.errors import DeclinedError

PEMS03, PEMS04, PEMS07, PEMS08, URBANEV = (358, 288), (307, 288), (883, 288), (170, 288), (275, 24)
PUBLISHED = [
    ("gwnet", PEMS03, 304_004),
    ("gwnet", PEMS04, 302_984),
    ("gwnet", PEMS07, 314_504),
    ("gwnet", PEMS08, 300_244),
    ("gwnet", URBANEV, 302_344),
    ("stgcn", PEMS03, 324_236),
    ("stgcn", PEMS04, 298_124),
    ("stgcn", PEMS07, 593_036),
    ("stgcn", PEMS08, 227_980),
    ("stgcn", URBANEV, 281_740),
    ("stid", URBANEV, 67_788),
]


def build(name: str, nodes: int, per_day: int, history: int = 12, **options: int) -> Backbone:
    """A backbone on a ring of nodes."""
    ring = torch.eye(nodes).roll(1, dims=1)
    backbone_class = BACKBONES.load(name)
    task = ForecastTask(nodes, history, 12, 1, 0, per_day, ring)
    return backbone_class(task, backbone_class.Options(**options))


@pytest.mark.parametrize(("name", "data", "published"), PUBLISHED)
def test_parameters_as_published(name: str, data: tuple[int, int], published: int) -> None:
    assert parameter_count(build(name, *data)) == published


def test_counts_include_what_is_never_used() -> None:
    """7200 + 64 in the last layer of Graph WaveNet; 14 912 in STGCN's residual paths."""
    unused = {}
    for name in ("gwnet", "stgcn", "stid"):
        model = build(name, *PEMS08)
        parameters = dict(model.named_parameters())
        unused[name] = sum(parameters[key].numel() for key in model.unused_parameters())
    assert unused == {"gwnet": 7 * 32 * 32 + 32 + 64, "stgcn": 14_912, "stid": 0}


def test_one_layer_of_gwnet_never_mixes_nodes() -> None:
    unused = build("gwnet", 5, 24, blocks=1, layers=1).unused_parameters()
    assert {"source_embedding", "target_embedding", "diffusions.0.weight"} <= unused


def test_stgcn_declines_a_history_that_its_kernels_use_up() -> None:
    build("stgcn", 5, 24, history=9)
    message = r"stgcn: a history of 8 steps is too short.* consume 8; give at least 9 steps"
    with pytest.raises(DeclinedError, match=message):
        build("stgcn", 5, 24, history=8)


@pytest.mark.parametrize("history", [1, 12, 30])
def test_gwnet_and_stid_take_any_history(history: int) -> None:
    for name in ("gwnet", "stid"):
        model = build(name, 5, 24, history=history)
        calendar = torch.zeros(2, history, dtype=torch.int64)
        forecast = model(torch.ones(2, history, 5, 1), calendar, calendar)
        assert forecast.shape == (2, 12, 5)


def test_receptive_field_of_gwnet_is_thirteen_steps() -> None:
    """Four blocks with dilations 1 and 2: an older step changes nothing, the thirteenth does."""
    model = build("gwnet", 5, 24, history=20).eval()
    inputs = torch.randn(2, 20, 5, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    calendar = torch.zeros(2, 20, dtype=torch.int64)
    (gradient,) = torch.autograd.grad(model(inputs, calendar, calendar).sum(), inputs)
    reached = gradient.abs().amax(dim=(0, 2, 3)) > 0
    assert reached.tolist() == [False] * 7 + [True] * 13
