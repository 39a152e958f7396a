"""What single backbones do as their papers say: reach, graphs, calendars, what is declined."""

from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
from typing import Any

import pytest
import torch
from test_backbone_oracles import MTGNN, OPENCITY, PER_DAY, STAEFORMER, STTN, build

from stprune.backbones import geometric_temporal
from stprune.backbones.base import BACKBONES, ForecastTask
from stprune.backbones.opencity import attend
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


def city(nodes: int) -> torch.Tensor:
    weights = torch.rand(nodes, nodes, generator=torch.Generator().manual_seed(0))
    return weights * (weights > 0.5)


def next_day(per_day: int) -> Any:
    task = ForecastTask(4, per_day, per_day, 1, 0, per_day, city(4))
    backbone_class: Any = BACKBONES.load("opencity")
    return backbone_class(task, backbone_class.Options(head="next_day", width=16, layers=1))


@pytest.mark.parametrize(("per_day", "steps"), [(288, 12), (48, 2), (24, 1)])
def test_one_set_of_weights_for_every_step_length(per_day: int, steps: int) -> None:
    """A day is 24 patches at 5, 10, 30 or 60 minutes, and the state always fits."""
    model = next_day(per_day)
    model.load_state_dict(next_day(288).state_dict())
    assert (model.patches, model.steps) == (24, steps)
    batch = torch.randn(2, per_day, 4, 1), *torch.zeros(2, 2, per_day, dtype=torch.int64)
    assert model(*batch).shape == (2, per_day, 4)


def test_graphs_follow_the_model_and_its_copies() -> None:
    model, (inputs, *calendar) = build("opencity", OPENCITY)
    expected = model.eval()(inputs, *calendar)
    twin = copy.deepcopy(model)
    model.use_graph("there", city(9))
    assert torch.equal(twin(inputs, *calendar), expected)
    narrow = twin.float()(inputs.float(), *calendar)
    torch.testing.assert_close(narrow.double(), expected, rtol=1e-4, atol=1e-5)


def test_attention_drops_its_share_and_makes_up_for_it() -> None:
    """Values are unit vectors, so that the result is the attention matrix itself."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 40, 2, 16, 16, generator=generator, dtype=torch.float64)
    value = torch.eye(16, dtype=torch.float64).expand_as(query)
    whole = attend(query, key, value, 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = attend(query, key, value, 0.25)
        torch.manual_seed(0)
        assert torch.equal(dropped, attend(query, key, value, 0.25))
        assert not torch.equal(dropped, attend(query, key, value, 0.25))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.75, rtol=1e-9, atol=0)
    # 20480 draws: the standard deviation of the share is 0.003; of each place's, 0.048.
    assert abs(kept.double().mean() - 0.75) < 0.012
    assert (kept.double().mean(dim=(0, 1)) - 0.75).abs().max() < 0.24
    neighbours = (kept[..., :-1] & kept[..., 1:]).double().mean()
    assert abs(neighbours - 0.75**2) < 0.016


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
