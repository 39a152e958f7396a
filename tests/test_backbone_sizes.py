"""Parameter counts are the published ones, or worked by hand from the papers' sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask, parameter_count

# Nodes and steps a day. The counts of these are from the logs of ST-TTC (NeurIPS 2025), which uses
# the models of LargeST: 12 steps from 12, inputs value, time of day and weekday.
PEMS03, PEMS04, PEMS07, PEMS08, URBANEV = (358, 288), (307, 288), (883, 288), (170, 288), (275, 24)
LOGGED = {
    "gwnet": {
        PEMS03: 304_004,
        PEMS04: 302_984,
        PEMS07: 314_504,
        PEMS08: 300_244,
        URBANEV: 302_344,
    },
    "stgcn": {
        PEMS03: 324_236,
        PEMS04: 298_124,
        PEMS07: 593_036,
        PEMS08: 227_980,
        URBANEV: 281_740,
    },
    "stid": {URBANEV: 67_788},
    "staeformer": {PEMS08: 1_223_460, URBANEV: 1_317_924},
    "stnorm": {
        PEMS03: 301_100,
        PEMS04: 274_988,
        PEMS07: 569_900,
        PEMS08: 204_844,
        URBANEV: 258_604,
    },
    "sttn": {PEMS03: 90_828, PEMS04: 87_564, PEMS07: 124_428, PEMS08: 78_796, URBANEV: 85_516},
}


def build(name: str, nodes: int, per_day: int = 288, **options: Any) -> Backbone:
    """A backbone on a ring of nodes, 12 steps from 12 unless it forecasts a day from a day."""
    ring = torch.eye(nodes).roll(1, dims=1)
    steps = per_day if options.get("head") == "next_day" else 12
    backbone_class = BACKBONES.load(name)
    task = ForecastTask(nodes, steps, steps, 1, 0, per_day, ring)
    with torch.random.fork_rng():
        return backbone_class(task, backbone_class.Options.model_validate(options))


def opencity(width: int, layers: int) -> int:
    embeddings = 1441 * width // 2 + 8 * width // 2 + (8 * width + width) + 12 * width
    head = 24 * width * 288 + 288
    attentions = 6 * (width * width + width)
    graph = width * width + (width * width + width)
    perceptron = 3 * width * 2 * width
    return embeddings + head + layers * (attentions + graph + perceptron + 4 * width)


BY_HAND: list[tuple[str, int, dict[str, Any], int]] = [
    # 748 810: the official model of PEMS04, whose only input is the value.
    ("agcrn", 307, {"calendar": False}, 748_810),
    # LargeST's count; 371 392 below: the official code with one input channel (2020).
    ("astgcn", 170, {}, 180_336),
    ("dcrnn", 87, {"calendar": False}, 371_392),
    ("dlinear", 50, {}, 2 * (12 * 12 + 12)),
    # LargeST prints 98K.
    ("lstm", 60, {}, 97_932),
    # METR-LA and PEMS-BAY with the official code; our weekday is one more input.
    ("mtgnn", 207, {}, 405_452 + 32 + 19 * 64),
    ("mtgnn", 325, {}, 573_484 + 32 + 19 * 64),
    ("opencity", 4, {"size": "mini", "head": "next_day"}, opencity(128, 3)),
    ("opencity", 4, {"size": "base", "head": "next_day"}, opencity(256, 3)),
    ("opencity", 4, {"size": "plus", "head": "next_day"}, opencity(512, 6)),
]


@pytest.mark.parametrize(
    ("name", "data", "published"),
    [(name, data, count) for name, counts in LOGGED.items() for data, count in counts.items()],
)
def test_parameters_as_published(name: str, data: tuple[int, int], published: int) -> None:
    assert parameter_count(build(name, *data)) == published


@pytest.mark.parametrize(("name", "nodes", "options", "count"), BY_HAND)
def test_parameters_by_hand(name: str, nodes: int, options: dict[str, Any], count: int) -> None:
    assert parameter_count(build(name, nodes, **options)) == count


def test_published_totals_of_opencity() -> None:
    millions = [f"{opencity(*size) / 1e6:.2f}" for size in ((128, 3), (256, 3), (512, 6))]
    assert millions == ["1.67", "4.72", "25.97"]
