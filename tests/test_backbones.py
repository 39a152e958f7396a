"""What single backbones do as their papers say: reach, graphs, calendars, what is declined."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest
import torch
from test_backbone_oracles import (
    MTGNN,
    PER_DAY,
    STAEFORMER,
    STTN,
    build,
)

from stprune.backbones import geometric_temporal
from stprune.backbones.base import BACKBONES, ForecastTask
from stprune.base.errors import ConfigError, DataError, DeclinedError
from stprune.base.schema import validate


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
    ("name", "options", "history", "horizon"),
    [
        ("stgcn", {}, 8, 4),
        ("staeformer", STAEFORMER | {"heads": 5}, 12, 4),
        ("sttn", STTN | {"heads": 4}, 12, 4),
        ("geometric_temporal", {}, 1, 4),
        ("opencity", {"head": "next_day"}, 12, 12),  # no day
        ("opencity", {"head": "next_day", "patches": 5}, PER_DAY, PER_DAY),  # of no equal length
        ("opencity", {}, 300, 12),  # patches of 13 steps
        ("opencity", {"width": 40}, 12, 12),  # for 16 heads
        ("opencity", {"width": 3, "heads": 1}, 12, 12),  # an odd width
    ],
)
def test_declines_what_it_cannot_do(
    name: str, options: dict[str, Any], history: int, horizon: int
) -> None:
    with pytest.raises(DeclinedError, match=name):
        build(name, options, history=history, horizon=horizon)


@pytest.mark.parametrize(
    ("name", "options"), [("dlinear", {"kernel": 4}), ("mtgnn", {"convolution_channels": 30})]
)
def test_options_that_cannot_be_are_refused(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        validate(BACKBONES.load(name).Options, options, "here")


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


def test_says_how_to_install_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_arguments: Any) -> None:
        raise ImportError("No module named 'torch_geometric_temporal'")

    monkeypatch.setattr(geometric_temporal, "import_geometric_temporal", missing)
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
