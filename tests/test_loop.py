"""Pruning in somebody's own loop: losses by hand, the engine's results, resuming, mistakes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe
from test_every_pruner import FakeProbe
from torch import Tensor
from toy_runs import key_of

import stprune
from stprune.base.errors import (
    CheckpointError,
    ConfigError,
    DeclinedError,
    StpruneError,
    UnknownNameError,
)
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import run_spec
from stprune.data.dataset import ForecastData, alone
from stprune.data.stationarity import stationarity
from stprune.loop.epoch_share import LoopError
from stprune.loop.loop import Pruning
from stprune.pruning.base import PRUNERS
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine, build_network
from stprune.training.optimisation import RateSchedule, build_optimiser

WINDOWS, HORIZON, NODES = 60, 2, 3


def pruning_of(name: str = "ucb", **changes: Any) -> Pruning:
    """Six epochs: a full one, four that are pruned, and one of tail."""
    choices = {"epochs": 6, "prune_ratio": 0.6, "batch_size": 7, "seed": 3, **changes}
    return Pruning(name, choices.pop("windows", WINDOWS), **choices)


def errors_of(indices: Tensor, epoch: int) -> Tensor:
    """(B, H, N) errors of both signs that depend on window and epoch alone."""
    generator = torch.Generator().manual_seed(epoch)
    return torch.randn(1000, HORIZON, NODES, generator=generator)[indices]


def run(pruning: Pruning, epochs: range) -> Iterator[list[list[int]]]:
    """The batches of each epoch, observed as they come."""
    for epoch in epochs:
        batches = []
        for indices in pruning.batches():
            pruning.loss(indices, errors_of(indices, epoch))
            batches.append(indices.tolist())
        yield batches


def test_it_is_exported_by_the_package() -> None:
    assert stprune.Pruning is Pruning
    with pytest.raises(AttributeError, match="no attribute 'Prunning'"):
        stprune.Prunning  # noqa: B018


def test_the_loss_by_hand() -> None:
    pruning = pruning_of("full", windows=2, batch_size=2)
    pruning.start_epoch()
    errors = torch.tensor([[[1.0, -3.0]], [[5.0, 100.0]]])
    mask = torch.tensor([[[True, True]], [[True, False]]])
    # Window MAEs (1 + 3) / 2 and 5 / 1; weights 1; a batch of two.
    assert float(pruning.loss(torch.tensor([0, 1]), errors, mask)) == pytest.approx((2 + 5) / 2)


def test_the_weights_of_the_pruner_scale_the_losses() -> None:
    pruning = pruning_of("infobatch", options={"budget": "original"}, batch_size=16)
    weights: dict[int, float] = {}
    for epoch in range(2):
        for indices in pruning.batches():
            errors = errors_of(indices, epoch)
            expected = pruning.selection
            weights = dict(zip(expected.indices.tolist(), expected.weights.tolist(), strict=True))
            each = [weights[number] for number in indices.tolist()]
            assert pruning.weights(indices).tolist() == pytest.approx(each)
            mean = (pruning.weights(indices) * errors.abs().mean((1, 2))).mean()
            by_hand = sum(
                w * float(e.abs().mean()) for w, e in zip(each, errors, strict=True)
            ) / len(each)
            loss = pruning.loss(indices, errors)
            assert float(loss) == pytest.approx(by_hand, rel=1e-5)
            assert float(mean) == pytest.approx(by_hand, rel=1e-5)
    assert len(set(weights.values())) > 1


def test_parts_of_a_batch_add_up_to_it() -> None:
    whole, parts = pruning_of(batch_size=60), pruning_of(batch_size=60)
    (indices,) = [*whole.hand_out().batches]
    parts.start_epoch()
    errors = errors_of(indices, 0)
    loss = whole.loss(indices, errors)
    pieces = zip(indices.split(25), errors.split(25), strict=True)
    total = torch.stack([parts.loss(*piece) for piece in pieces]).sum()
    assert float(total) == pytest.approx(float(loss), rel=1e-5)
    assert parts.epoch == whole.epoch == 1


def test_observing_is_all_that_a_loss_of_ones_own_owes() -> None:
    one, other = pruning_of(), pruning_of()
    for epoch in range(6):
        for indices in other.batches():
            other.weights(indices)
            other.observe(indices, errors_of(indices, epoch).abs())
        (batches,) = run(one, range(epoch, epoch + 1))
        assert other.selection.indices.tolist() == list(chain(*batches))


def test_a_loop_of_ones_own_trains_what_the_engine_trains(
    toy_config: ExperimentConfig, toy_forecast: ForecastData
) -> None:
    """Same data, seed and pruner: the same selections, and weights that differ by rounding."""
    spec, data = run_spec(toy_config, key_of("st_prune", 0.5)), toy_forecast
    engine = Engine(spec, alone(data), fabric_on())
    chosen: list[list[int]] = []
    select = engine.pruner.select

    def noted(epoch: int) -> Any:
        selection = select(epoch)
        chosen.append(sorted(selection.indices.tolist()))
        return selection

    engine.pruner.select = noted  # type: ignore[method-assign]
    torch.manual_seed(0)
    for _ in range(spec.training.epochs):
        engine.train_epoch()

    store = data.train
    pruning = Pruning(
        "st_prune",
        len(store),
        epochs=spec.training.epochs,
        prune_ratio=0.5,
        batch_size=spec.training.batch_size,
        seed=0,
        stationarity=stationarity(store, "first_difference").numpy(),
    )
    model = build_network(spec, data).train()
    optimiser = build_optimiser(model, spec.optimisation)
    scheduler = RateSchedule(optimiser, spec.optimisation)
    torch.manual_seed(0)
    for epoch in range(pruning.epochs):
        for indices in pruning.batches():
            batch = store.gather(indices)
            forecast = model(batch.inputs, batch.time_of_day, batch.day_of_week)
            errors = store.scaler.restore(forecast) - batch.targets
            optimiser.zero_grad()
            pruning.loss(indices, errors, batch.mask).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.optimisation.clip_norm)
            optimiser.step()
        scheduler.step()
        assert sorted(pruning.selection.indices.tolist()) == chosen[epoch]
    for name, values in engine.network.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("done", [0, 1, 3, 5])
def test_a_saved_state_continues_exactly(done: int, started: bool) -> None:
    """Also where the next epoch was chosen, but nothing of it observed."""
    first = pruning_of("epsilon_greedy")
    list(run(first, range(done)))
    if started:
        first.start_epoch()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    expected = list(run(first, range(done, 6)))
    file.seek(0)
    state = torch.load(file, weights_only=True)
    second = pruning_of("epsilon_greedy")
    second.load_state_dict(state)
    assert second.epoch == done
    assert list(run(second, range(done, 6))) == expected
    # What was loaded is still what it was.
    third = pruning_of("epsilon_greedy")
    third.load_state_dict(state)
    assert list(run(third, range(done, 6))) == expected


def test_a_static_pruner_scores_once_and_never_again_when_resumed() -> None:
    def static(probe: ScriptedProbe | None) -> Pruning:
        choices: dict[str, Any] = {"windows": 4, "batch_size": 2, "prune_ratio": 0.5}
        return pruning_of("forgetting", probe=probe, **choices)

    # Windows 1 and 3 get worse again and again, so they are forgotten most often.
    probe = ScriptedProbe(errors=[[1.0, 1, 1, 1], [0.5, 0, 0.5, 0], [0.1, 9, 0.1, 9]] * 4)
    first = static(probe)
    list(run(first, range(2)))
    assert len(probe.calls) == 1
    assert first.selection.indices.size == 2
    second = static(None)
    second.load_state_dict(first.state_dict())
    assert list(run(second, range(2, 6))) == list(run(first, range(2, 6)))


def test_a_control_that_trains_shorter_says_so() -> None:
    pruning = pruning_of("full_fewer_epochs", epochs=10)
    assert 1 <= pruning.epochs < 10
    list(run(pruning, range(pruning.epochs)))
    assert pruning.epoch == pruning.epochs


def test_leaving_an_epoch_keeps_what_was_seen() -> None:
    pruning = pruning_of("ucb")
    for indices in pruning.batches():
        pruning.observe(indices, errors_of(indices, 0))
        break
    pruning.end_epoch()
    visits = pruning.state_dict()["pruner"]["window_state"]["visits"]
    assert visits.nonzero().flatten().tolist() == sorted(indices.tolist())
    pruning.start_epoch()
    assert pruning.epoch == 1


ERRORS = torch.zeros(2, HORIZON, NODES)

MISTAKES: dict[str, tuple[Callable[[Pruning], object], str]] = {
    "beyond": (lambda p: p.loss([0, 60], ERRORS), "there is no window 60; numbers are 0 to 59"),
    "negative": (lambda p: p.weights(torch.tensor([-1])), "there is no window -1"),
    "floats": (lambda p: p.loss([0.0, 1.0], ERRORS), "whole window numbers"),
    "booleans": (lambda p: p.weights(torch.tensor([True, False])), "whole window numbers"),
    "one error each": (lambda p: p.loss([0, 1], ERRORS[:, 0, 0]), r"\(B, H, N\).*\(2,\)"),
    "too few": (lambda p: p.observe([0, 1], ERRORS[:1]), r"of 2 windows.*\(1, 2, 3\)"),
    "whole errors": (lambda p: p.loss([0, 1], ERRORS.long()), "int64"),
    "mask": (lambda p: p.loss([0, 1], ERRORS, ERRORS[:, :1] > 0), r"mask must be bool of shape"),
    "mask type": (lambda p: p.loss([0, 1], ERRORS, ERRORS), "mask must be bool"),
    "device": (lambda p: p.loss([0, 1], ERRORS.to("meta")), "pass device='meta'"),
    "in the middle": (lambda p: p.start_epoch(), "epoch 0 is not over: 0 of 60"),
    "batches twice": (lambda p: [p.hand_out(), p.hand_out()], "epoch 0 is not over"),
    "too much": (
        lambda p: [p.loss(list(range(40)), errors_of(torch.arange(40), 0)) for _ in range(2)],
        "40 of 60 windows were observed, and 40 more are too many",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_loop_is_one_clear_line(mistake: str) -> None:
    call, message = MISTAKES[mistake]
    pruning = pruning_of()
    pruning.start_epoch()
    with pytest.raises(LoopError, match=message) as caught:
        call(pruning)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", ["loss", "observe"])
def test_nothing_is_trained_before_an_epoch_starts(call: str) -> None:
    pruning = pruning_of()
    with pytest.raises(LoopError, match=f"`{call}` was called with no epoch under way"):
        getattr(pruning, call)([0, 1], ERRORS)
    list(run(pruning, range(1)))
    with pytest.raises(LoopError, match=f"`{call}` was called with no epoch under way"):
        getattr(pruning, call)([0, 1], ERRORS)


def test_window_numbers_of_another_epoch_are_refused() -> None:
    """Such as positions in the batch: they must not be taken for windows of weight 0."""
    pruning = pruning_of()
    list(run(pruning, range(1)))
    pruning.start_epoch()
    left_out = sorted(set(range(WINDOWS)) - set(pruning.selection.indices.tolist()))
    with pytest.raises(LoopError, match=f"window {left_out[0]} is not in epoch 1"):
        pruning.weights(left_out[:2])


def test_a_loop_that_does_not_observe_is_stopped() -> None:
    with pytest.raises(LoopError, match="0 of 60 windows were observed; pass every batch"):
        list(pruning_of().batches())


def test_after_the_last_epoch_there_is_no_other() -> None:
    pruning = pruning_of()
    list(run(pruning, range(6)))
    with pytest.raises(LoopError, match="all 6 epochs are over"):
        list(pruning.batches())


@pytest.mark.parametrize(
    ("name", "changes", "kind", "message"),
    [
        ("el2n", {}, DeclinedError, "el2n trains models of its own.*pass `probe`"),
        ("craig", {}, DeclinedError, "craig trains models of its own"),
        ("forgetting", {}, DeclinedError, "forgetting trains models of its own"),
        ("st_prune", {}, DeclinedError, "stationarity"),
        ("st_prun", {}, UnknownNameError, "did you mean `st_prune`"),
        ("ucb", {"options": {"exploratio": 1}}, ConfigError, "did you mean `exploration`"),
        ("ucb", {"prune_ratio": 1.0}, ConfigError, "Pruning: `prune_ratio`"),
        ("ucb", {"windows": 0}, ConfigError, "Pruning: `windows`"),
        ("ucb", {"epochs": 0}, ConfigError, "Pruning: `epochs`"),
        ("ucb", {"batch_size": 0}, ConfigError, "Pruning: `batch_size`"),
        ("st_prune", {"stationarity": [1.0, 2.0]}, ConfigError, "60 finite numbers"),
        ("st_prune", {"stationarity": ["low"] * 60}, ConfigError, "must be 60 numbers .*'low'"),
        ("st_prune", {"stationarity": [np.nan] * 60}, ConfigError, "60 that are not finite"),
        ("ucb", {"rank": 2, "world": 2}, ConfigError, "got rank 2 and world 2"),
        ("ucb", {"world": 2}, ConfigError, "got rank None and world 2"),
        ("ucb", {"rank": 0, "world": 8}, ConfigError, "cannot be shared by 8 devices"),
    ],
)
def test_what_cannot_be_made_says_why(
    name: str, changes: dict[str, Any], kind: type[StpruneError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        pruning_of(name, **changes).start_epoch()
    assert "\n" not in str(caught.value)


def test_a_state_of_something_else_is_refused() -> None:
    state = pruning_of().state_dict()
    with pytest.raises(CheckpointError, match="with another prune_ratio, seed"):
        pruning_of(seed=4, prune_ratio=0.5).load_state_dict(state)
    pruning = pruning_of()
    for indices in pruning.batches():
        pruning.loss(indices, errors_of(indices, 0))
        with pytest.raises(CheckpointError, match="saved between epochs"):
            pruning.state_dict()
        break


def test_processes_without_a_way_to_exchange_are_told() -> None:
    pruning = pruning_of(rank=1, world=2)
    with pytest.raises(ConfigError, match="must exchange what they saw"):
        list(run(pruning, range(1)))


def test_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(run(pruning_of("infobatch"), range(6)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", PRUNERS.ids())
def test_every_pruner_works_without_windows_of_ours(name: str) -> None:
    pruning = pruning_of(
        name,
        stationarity=torch.linspace(0, 1, WINDOWS),
        adjacency=torch.ones(NODES, NODES),
        probe=FakeProbe(WINDOWS),
    )
    visited = [set(chain(*batches)) for batches in run(pruning, range(pruning.epochs))]
    assert all(numbers <= set(range(WINDOWS)) for numbers in visited)
    full = name in ("full", "full_fewer_epochs")
    assert min(len(numbers) for numbers in visited) == (WINDOWS if full else 24)
