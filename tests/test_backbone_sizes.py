"""Parameter counts are the published ones, or worked by hand from the papers' sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count

# Nodes and steps a day.
DATA = {"pems03": (358, 288), "pems04": (307, 288), "pems07": (883, 288), "pems08": (170, 288)}
DATA["urban_ev"] = (275, 24)
# From the logs of ST-TTC (NeurIPS 2025), which uses the models of LargeST: 12 steps from 12, inputs
# value, time of day and weekday. In the order of DATA; 0 where there is no log.
LOGGED = {
    "gwnet": (304_004, 302_984, 314_504, 300_244, 302_344),
    "stgcn": (324_236, 298_124, 593_036, 227_980, 281_740),
    "stid": (0, 0, 0, 0, 67_788),
    "staeformer": (0, 0, 0, 1_223_460, 1_317_924),
    "stnorm": (301_100, 274_988, 569_900, 204_844, 258_604),
    "sttn": (90_828, 87_564, 124_428, 78_796, 85_516),
}


def opencity(width: int, layers: int) -> int:
    embeddings = 1441 * width // 2 + 8 * width // 2 + (8 * width + width) + 12 * width
    head = 24 * width * 288 + 288
    attentions = 6 * (width * width + width)
    graph = width * width + (width * width + width)
    perceptron = 3 * width * 2 * width
    return embeddings + head + layers * (attentions + graph + perceptron + 4 * width)


CASES: list[tuple[str, int, int, dict[str, Any], int]] = [
    *(
        (name, *size, {}, count)
        for name, counts in LOGGED.items()
        for size, count in zip(DATA.values(), counts, strict=True)
        if count
    ),
    # 748 810: the official model of PEMS04, whose only input is the value.
    ("agcrn", 307, 288, {"calendar": False}, 748_810),
    # LargeST's count; 371 392 below: the official code with one input channel (2020).
    ("astgcn", 170, 288, {}, 180_336),
    ("dcrnn", 87, 288, {"calendar": False}, 371_392),
    ("dlinear", 50, 288, {}, 2 * (12 * 12 + 12)),
    # LargeST prints 98K.
    ("lstm", 60, 288, {}, 97_932),
    # METR-LA and PEMS-BAY with the official code; our weekday is one more input.
    ("mtgnn", 207, 288, {}, 405_452 + 32 + 19 * 64),
    ("mtgnn", 325, 288, {}, 573_484 + 32 + 19 * 64),
    ("opencity", 4, 288, {"size": "mini", "head": "next_day"}, opencity(128, 3)),
    ("opencity", 4, 288, {"size": "base", "head": "next_day"}, opencity(256, 3)),
    ("opencity", 4, 288, {"size": "plus", "head": "next_day"}, opencity(512, 6)),
]


@pytest.mark.parametrize(("name", "nodes", "per_day", "options", "count"), CASES)
def test_parameters_as_published(
    name: str, nodes: int, per_day: int, options: dict[str, Any], count: int
) -> None:
    steps = per_day if options.get("head") == "next_day" else 12
    task = ForecastTask(nodes, steps, steps, 1, 0, per_day, torch.eye(nodes).roll(1, dims=1))
    backbone_class = BACKBONES.load(name)
    model = backbone_class(task, backbone_class.Options.model_validate(options))
    assert parameter_count(model) == count


def test_published_totals_of_opencity() -> None:
    millions = [f"{opencity(*size) / 1e6:.2f}" for size in ((128, 3), (256, 3), (512, 6))]
    assert millions == ["1.67", "4.72", "25.97"]
