"""Optimisers by name, what Muon is for, and the course of the learning rate."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_runs import key_of

import stprune.training.run
from stprune.backbones.base import OptimiserSettings
from stprune.base.errors import ConfigError
from stprune.config.experiment import parse_config
from stprune.training.engine import Engine
from stprune.training.optimisation import RateSchedule, build_optimiser
from stprune.training.run import train

MUON = OptimiserSettings(optimiser="muon", learning_rate=0.02, weight_decay=0.1)


class Net(nn.Module):
    """A table, two layers, a stack of matrices, and one parameter that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.table_embedding = nn.Parameter(torch.randn(5, 4))
            self.first = nn.Linear(4, 6)
            self.stack = nn.Parameter(torch.randn(2, 6, 6))
            self.last = nn.Linear(6, 3)
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)

    def forward(self) -> Tensor:
        hidden: Tensor = torch.tanh(self.first(self.table_embedding))
        for matrix in self.stack:
            hidden = torch.tanh(hidden @ matrix)
        return (self.last(hidden) - 1).square().mean()


def _train(net: Net, *optimisers: torch.optim.Optimizer) -> None:
    for _ in range(4):
        net.zero_grad()
        net().backward()
        for optimiser in optimisers:
            optimiser.step()


@pytest.mark.parametrize(
    ("excludes", "to_muon"),
    [
        ((), {"table_embedding", "first.weight", "last.weight"}),
        (("*embedding*", "last.*"), {"first.weight"}),
    ],
)
def test_only_matrices_go_to_muon(excludes, to_muon):
    net = Net()
    settings = MUON.model_copy(update={"muon_excludes": excludes})
    groups = build_optimiser(net, settings).param_groups
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    matrices, rest = ({names[id(p)] for p in group["params"]} for group in groups)
    assert matrices == to_muon
    assert matrices | rest == {*names.values()} - {"frozen"}
    with pytest.raises(ConfigError, match="`stack`"):
        build_optimiser(net, MUON.model_copy(update={"muon_excludes": ("stack",)}))


@pytest.mark.parametrize("scale", ["adamw", "original"])
def test_muon_steps_are_those_of_torchs_two_optimisers(scale):
    ours, theirs = Net(), Net()
    settings = MUON.model_copy(update={"muon_scale": scale, "momentum": 0.8})
    _train(ours, build_optimiser(ours, settings))
    matrices = [theirs.table_embedding, theirs.first.weight, theirs.last.weight]
    rate = {"adamw": "match_rms_adamw", "original": "original"}[scale]
    muon = torch.optim.Muon(matrices, 0.02, weight_decay=0.1, momentum=0.8, adjust_lr_fn=rate)
    rest = [theirs.first.bias, theirs.stack, theirs.last.bias]
    _train(theirs, muon, torch.optim.AdamW(rest, 0.02, weight_decay=0.1))
    for (name, mine), reference in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, reference, msg=name)


def test_settings_that_contradict_each_other_are_refused(toy_values):
    for values in (
        {"momentum": 0.9},
        {"muon_scale": "original"},
        {"milestones": [2], "step_epochs": 3},
        {"milestones": [4, 2]},
        {"schedule": "cosine", "step_epochs": 3},
        {"warmup": 0.1},
    ):
        toy_values["backbones"]["stid"]["optimisation"] = values
        with pytest.raises(ConfigError, match=r"toy.yaml at `backbones\.stid` in `optimisation`"):
            parse_config(toy_values, "toy.yaml")


def _bare(**settings: Any) -> tuple[torch.optim.Optimizer, RateSchedule]:
    chosen = OptimiserSettings(**settings)
    optimiser = build_optimiser(nn.Linear(1, 1), chosen)
    return optimiser, RateSchedule(optimiser, chosen)


def _rate(optimiser: torch.optim.Optimizer) -> float:
    return float(optimiser.param_groups[0]["lr"])


def test_cuts_by_hand():
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"milestones": (2, 5)}, [0, 0, 1, 1, 1, 2, 2]),
        ({"step_epochs": 3}, [0, 0, 0, 1, 1, 1, 2]),
    ]
    for changes, cuts in cases:
        optimiser, schedule = _bare(learning_rate=1.0, gamma=0.3, **changes)
        for cut in cuts:
            assert _rate(optimiser) == pytest.approx(0.3**cut)
            schedule.begin_epoch(3, [3])
            schedule.step()


def _rates(epochs: list[int], plans: list[list[int]], **settings: Any) -> list[float]:
    """The rate of every step; at each epoch's beginning the plan of those to come is told."""
    optimiser, schedule = _bare(schedule="cosine", learning_rate=1.0, **settings)
    rates = []
    optimiser.register_step_post_hook(lambda *_: rates.append(_rate(optimiser)))
    for steps, ahead in zip(epochs, plans, strict=True):
        schedule.begin_epoch(steps, ahead)
        first, done = _rate(optimiser), len(rates)
        for _ in range(steps):
            optimiser.step()
        assert rates[done] == first
        schedule.step()
    return rates


def test_a_cosine_ends_with_the_run_by_hand():
    # As planned, it is the usual one.
    rates = _rates([10, 3, 3, 10], [[3, 3, 10], [3, 10], [10], []], final_rate=0.1)
    usual = [0.1 + 0.45 * (1 + math.cos(math.pi * step / 26)) for step in range(26)]
    assert rates == pytest.approx(usual)
    # Longer, then much shorter than planned: each epoch takes its share of what is left.
    rates = _rates([4, 4, 4], [[4], [4, 4], []])
    assert all(later < earlier for earlier, later in pairwise(rates))
    # Of the course: 4/8 in the first epoch, 4/12 of the other half in the second, then the rest.
    reached = [0.0, 0.5, 0.5 + 0.5 / 3]
    reached.append(reached[2] + (1 - reached[2]) * 3 / 4)
    by_hand = [0.5 * (1 + math.cos(math.pi * x)) for x in reached]
    assert [*rates[::4], rates[-1]] == pytest.approx(by_hand)
    rates = _rates([8, 8], [[8], []], warmup=0.25)
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[10] == pytest.approx(0.5)  # 6 of the 12 steps after it
    assert rates[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 11 / 12)))
    # By epochs each epoch counts alike and has one rate.
    plans = [[1, 1, 5], [1, 5], [5], []]
    rates = _rates([5, 1, 1, 5], plans, schedule_unit="epochs")
    values = [0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates == pytest.approx([values[0]] * 5 + values[1:3] + [values[3]] * 5)


def test_each_step_has_its_place(toy_values, monkeypatch):
    rates: list[float] = []

    class Noting(Engine):
        def _step(self, *arguments: Any) -> Any:
            loss = super()._step(*arguments)
            rates.append(_rate(self.optimiser))
            return loss

    monkeypatch.setattr(stprune.training.run, "Engine", Noting)
    toy_values["training"] |= {"epochs": 6, "budget": "total_windows"}
    toy_values["pruners"] = dict.fromkeys(["full", "random_dynamic"])
    optimisation = {"learning_rate": 0.01, "schedule": "cosine"}
    toy_values["backbones"]["stid"]["optimisation"] = optimisation
    cost = train(parse_config(toy_values, "toy.yaml"), key_of("random_dynamic", 0.5), []).cost
    assert cost.budget_share == pytest.approx(cost.windows_visited / (6 * cost.training_windows))
    steps = cost.gradient_steps
    curve = [0.01 / 2 * (1 + math.cos(math.pi * k / steps)) for k in range(steps)]
    assert rates == pytest.approx(curve)
