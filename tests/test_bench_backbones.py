"""The benchmark of backbones measures every form side by side and holds ours to the goals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import backbones
from benchmarks.own_process import in_own_process
from benchmarks.peers import PEERS, missing_package, peer
from benchmarks.step_cost import StepSize, Subject, peak_megabytes, step_costs
from stprune.backbones.base import BACKBONES, parameter_count
from stprune.published_forms import CLASSES

SMALL = StepSize(
    nodes=20, edges=35, batch=4, threads=1, rounds=2, seconds=0.0, slow_seconds=float("inf")
)


def test_graph_is_as_thin_as_asked() -> None:
    adjacency = StepSize().task().adjacency
    assert adjacency.shape == (170, 170)
    assert adjacency.count_nonzero() == 295
    assert not adjacency.diagonal().any()


def test_forms_of_a_backbone_are_counted_and_timed() -> None:
    ours, published = step_costs("stid", ("ours", "published"), SMALL)
    assert ours.of_ours == 1.0
    assert published.of_ours > 0
    assert ours.parameters == published.parameters
    # Six layers of width 96, the embedding of 36 values and the head, forward and backward.
    windows = SMALL.batch * SMALL.nodes
    layers = 6 * 96 * 96 + 96 * 12
    # The embedding needs no gradient of its inputs: two products, not three.
    assert published.operations == 2 * windows * (3 * layers + 2 * 36 * 32)
    assert ours.operations < published.operations


def test_slow_backbone_is_measured_at_a_quarter_of_the_batch() -> None:
    hasty = StepSize(**{**vars(SMALL), "slow_seconds": 0.0})
    (cost,) = step_costs("stid", ("ours",), hasty)
    assert cost.batch == 1
    both = step_costs("stid", ("ours", "published"), hasty)
    assert [cost.batch for cost in both] == [4, 4]


@pytest.mark.slow
def test_memory_is_that_of_the_step() -> None:
    """STID on many windows keeps at least the inputs of its six wide layers until the backward."""
    size = StepSize(**{**vars(SMALL), "batch": 512, "nodes": 50})
    least = 6 * 512 * 50 * 96 * 4 / 1e6
    measured = in_own_process(peak_megabytes, "stid", "ours", size)
    assert least < measured < 20 * least


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_published_form_takes_a_step(name: str) -> None:
    subject = Subject(name, "published", SMALL)
    before = [parameter.clone() for parameter in subject.model.parameters()]
    subject.step()
    after = subject.model.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_that_are_here_forecast(name: str) -> None:
    missing = missing_package(name, SMALL.task())
    if missing is not None:
        pytest.skip(missing)
    features = torch.rand(2, SMALL.steps, SMALL.nodes, 3) * 0.9
    model = peer(name, SMALL.task())
    assert model(features).shape == (2, SMALL.steps, SMALL.nodes)
    assert parameter_count(model) > 0


def test_goals_are_limits_of_our_share() -> None:
    rows = [
        {"form": "ours", "of_ours": 1.0, "memory_of_ours": 1.0},
        {"form": "published", "of_ours": 4.0, "memory_of_ours": 0.5},
    ]
    speed, memory = backbones._goals("gwnet", rows)
    assert (speed.value, speed.limit, speed.met) == (0.25, 0.5, True)
    assert (memory.value, memory.limit, memory.met) == (2.0, 1.0, False)
    assert not backbones._goals("lstm", rows)


@pytest.mark.slow
def test_bench_prints_ours_next_to_the_published_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbones, "SIZE", SMALL)
    monkeypatch.setattr(backbones, "COMPILED", ())
    monkeypatch.setattr(backbones, "NAMES", ("last_value", "stgcn"))
    result = backbones.run(tmp_path)
    assert [row["form"] for row in result.rows] == ["ours", "published"]
    assert [goal.name for goal in result.goals] == ["step of stgcn", "peak memory of stgcn"]
    assert "last_value: nothing to train." in result.notes
    assert "stgcn" in result.text()
    assert set(backbones.LEAST_SPEED_UP) <= set(BACKBONES.ids())
