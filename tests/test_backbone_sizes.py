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


def gated_pools(terms: int, embedding: int, *inputs: int) -> int:
    """Weights of one recurrent layer after another of width 64, with 3 x 64 columns each."""
    return sum(embedding * terms * 192 * (given + 64) for given in inputs)


def astgcn_170() -> int:
    count = 12 * 12 * 64 + 12  # regression
    for width in (3, 64):
        count += 170 + width * 170 + width + 2 * 12 * 12  # attention of steps
        count += 12 + width * 12 + width + 2 * 170 * 170  # attention of nodes
        count += 3 * width * 64  # Chebyshev
        count += 3 * 64 * 64 + 64 + width * 64 + 64 + 2 * 64  # temporal, residual, norm
    return count


def opencity(width: int, layers: int) -> int:
    embeddings = 1441 * width // 2 + 8 * width // 2 + (8 * width + width) + 12 * width
    head = 24 * width * 288 + 288
    attentions = 6 * (width * width + width)
    graph = width * width + (width * width + width)
    perceptron = 3 * width * 2 * width
    return embeddings + head + layers * (attentions + graph + perceptron + 4 * width)


# A state of 64 read by one layer; per gate, 3 inputs and the state, 3 terms, two biases.
HEAD, GATE = 12 * 65, 3 * (3 + 64) * 64 + 2 * 64
TGCN = 3 * (3 * 64 + 64 + 128 * 64 + 64) + HEAD
BY_HAND: list[tuple[str, int, dict[str, Any], int]] = [
    # 748 810: the official model of PEMS04, whose only input is the value.
    ("agcrn", 307, {"calendar": False}, 748_810),
    ("agcrn", 307, {}, 3070 + gated_pools(2, 10, 3, 64) + 2 * 10 * 192 + HEAD),
    ("astgcn", 170, {}, astgcn_170()),
    # 371 392: the official code with one input channel, by its issue tracker (2020).
    ("dcrnn", 87, {"calendar": False}, 371_392),
    ("dcrnn", 87, {}, 2 * (gated_pools(5, 1, 3, 64) + 2 * 192) + 64 - 2 * 5 * 192),
    ("dlinear", 3, {}, 2 * (12 * 12 + 12)),
    ("dlinear", 50, {}, 2 * (12 * 12 + 12)),
    # LargeST prints 98K: embedding, two layers, two linear layers.
    ("lstm", 3, {}, 128 + 256 * (32 + 64 + 2) + 256 * 130 + 65 * 512 + 513 * 12),
    ("lstm", 60, {}, 97_932),
    # METR-LA and PEMS-BAY with the official code; our weekday is one more input.
    ("mtgnn", 207, {}, 405_452 + 32 + 19 * 64),
    ("mtgnn", 325, {}, 573_484 + 32 + 19 * 64),
    ("geometric_temporal", 5, {"layer": "gconv_gru"}, 3 * GATE + HEAD),
    # Peepholes and one more bias.
    ("geometric_temporal", 5, {"layer": "gconv_lstm"}, 4 * GATE + 3 * 64 + 4 * 64 + HEAD),
    (
        "geometric_temporal",
        5,
        {"layer": "gc_lstm"},
        4 * (3 * 64 + 64 + 3 * 64 * 64 + 64) + HEAD,
    ),
    ("geometric_temporal", 5, {"layer": "tgcn"}, TGCN),
    ("geometric_temporal", 5, {"layer": "a3tgcn"}, TGCN + 12),
    ("opencity", 4, {"size": "mini", "head": "next_day"}, opencity(128, 3)),
    ("opencity", 4, {"size": "base", "head": "next_day"}, opencity(256, 3)),
    ("opencity", 4, {"size": "plus", "head": "next_day"}, opencity(512, 6)),
    ("last_value", 5, {}, 0),
    ("historical_average", 5, {}, 0),
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


def test_published_totals_of_opencity_and_astgcn() -> None:
    """Millions as the paper of OpenCity has them; LargeST's count of ASTGCN."""
    millions = [f"{opencity(*size) / 1e6:.2f}" for size in ((128, 3), (256, 3), (512, 6))]
    assert millions == ["1.67", "4.72", "25.97"]
    assert astgcn_170() == 180_336


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gwnet", 7 * 32 * 32 + 32 + 64),  # the last mix and its normalisation
        ("stgcn", 14_912),  # residual projections that do not shrink
        ("stid", 0),
        ("stnorm", 32 * 32 + 32),  # the last residual layer
        # Three layers for a model without graph; seven padded steps of 3 inputs.
        ("mtgnn", 3 * (32 * 32 + 32) + 7 * 3 * 64),
    ],
)
def test_counts_include_what_no_forecast_depends_on(name: str, count: int) -> None:
    model = build(name, *PEMS08)
    parameters = dict(model.named_parameters())
    assert sum(parameters[key].numel() for key in model.unused_parameters()) == count
