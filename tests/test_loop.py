"""Pruning in a loop of one's own: losses by hand, the engine's results, processes, resuming."""

import io
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from toy_runs import key_of

from stprune import IndexedDataset, PrunedBatchSampler, Pruning
from stprune.base.errors import CheckpointError, ConfigError, DeclinedError
from stprune.config.grid import run_spec
from stprune.data.dataset import alone
from stprune.data.stationarity import stationarity
from stprune.loop.loop import LoopError
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


def test_the_loss_by_hand_in_parts_and_weighted():
    pruning = pruning_of("full", windows=2, batch_size=2)
    pruning.start_epoch()
    errors = torch.tensor([[[1.0, -3.0]], [[5.0, 100.0]]])
    mask = torch.tensor([[[True, True]], [[True, False]]])
    # Window MAEs (1 + 3) / 2 and 5 / 1; weights 1; a batch of two, passed one by one.
    for window, loss in ((0, 2 / 2), (1, 5 / 2)):
        part = slice(window, window + 1)
        assert float(pruning.loss([window], errors[part], mask[part])) == pytest.approx(loss)
    assert pruning.epoch == 1
    pruning = pruning_of("infobatch", options={"budget": "original"}, batch_size=16)
    for epoch in range(2):
        for indices in pruning.batches():
            errors = errors_of(indices, epoch)
            chosen = pruning.selection
            weights = dict(zip(chosen.indices.tolist(), chosen.weights.tolist(), strict=True))
            each = torch.tensor([weights[number] for number in indices.tolist()])
            assert torch.equal(pruning.weights(indices), each)
            by_hand = float((each * errors.abs().mean((1, 2))).mean())
            assert float(pruning.loss(indices, errors)) == pytest.approx(by_hand, rel=1e-5)
    assert len(set(weights.values())) > 1


def test_a_loop_trains_as_the_engine(toy_config, toy_forecast):
    """Same data, seed and pruner: the same scores, and weights that differ by rounding."""
    spec, store = run_spec(toy_config, key_of("st_prune", 0.5)), toy_forecast.train
    engine = Engine(spec, alone(toy_forecast), fabric_on())
    settings = spec.training.model_dump(include={"epochs", "batch_size"})
    settings |= {"prune_ratio": 0.5, "seed": 0, "windows": len(store)}
    balance = stationarity([store], "first_difference").numpy()
    pruning = pruning_of("st_prune", **settings, stationarity=balance)
    model = build_network(spec, toy_forecast).train()
    optimiser = build_optimiser(model, spec.optimisation)
    scheduler = RateSchedule(optimiser, spec.optimisation)
    for epoch in range(pruning.epochs):
        torch.manual_seed(epoch)
        engine.train_epoch()
        torch.manual_seed(epoch)
        for indices in pruning.batches():
            batch = store.gather(indices)
            forecast = model(batch.inputs, batch.time_of_day, batch.day_of_week)
            errors = store.scaler.restore(forecast) - batch.targets
            optimiser.zero_grad()
            pruning.loss(indices, errors, batch.mask).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.optimisation.clip_norm)
            optimiser.step()
        scheduler.step()
        scores = engine.pruner.window_state["scores"]
        torch.testing.assert_close(pruning.scores, scores, rtol=1e-4, atol=1e-5)
    for name, values in engine.network.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("done", [0, 3, 5])
def test_a_saved_state_continues_exactly(done, started):
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
    for _ in range(2):  # loading leaves the state as it is
        resumed = pruning_of("epsilon_greedy")
        resumed.load_state_dict(state)
        assert resumed.epoch == done
        assert list(run(resumed, range(done, 6))) == expected


def test_a_static_pruner_scores_once_and_never_again_when_resumed():
    probe = ScriptedProbe(errors=[[1.0, 1, 1, 1], [0.5, 0, 0.5, 0], [0.1, 9, 0.1, 9]] * 4)
    small: dict[str, Any] = {"windows": 4, "batch_size": 2, "prune_ratio": 0.5}
    first, second = (pruning_of("forgetting", probe=given, **small) for given in (probe, None))
    list(run(first, range(2)))
    assert len(probe.calls) == 1
    second.load_state_dict(first.state_dict())
    assert list(run(second, range(2, 6))) == list(run(first, range(2, 6)))


ERRORS = torch.zeros(2, HORIZON, NODES)

MISTAKES: list[tuple[Callable[[Pruning], object], str]] = [
    (lambda p: p.loss([0, 60], ERRORS), "60"),
    (lambda p: p.loss([0.0, 1.0], ERRORS), "float32"),
    (lambda p: p.loss([0, 1], ERRORS[:, 0, 0]), r"\(B, H, N\).*\(2,\)"),
    (lambda p: p.observe([0, 1], ERRORS[:1]), r"\(1, 2, 3\)"),
    (lambda p: p.loss([0, 1], ERRORS, ERRORS), "mask"),
    (lambda p: p.start_epoch(), "epoch 0"),
    (lambda p: list(p.batches()), "0 of 60"),
    (lambda p: [p.observe(range(40), errors_of(torch.arange(40), 0)) for _ in "ab"], "40 of 60"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_in_the_loop_is_one_line(call, message):
    pruning = pruning_of()
    pruning.start_epoch()
    with pytest.raises(LoopError, match=message):
        call(pruning)


def test_calls_outside_an_epoch_are_refused():
    pruning = pruning_of()
    for done in range(2):
        for call in (pruning.loss, pruning.observe):
            with pytest.raises(LoopError, match=call.__name__):
                call([0, 1], ERRORS)
        list(run(pruning, range(done, done + 1)))
    # Trainers that look ahead may ask again, but only where they have started the epoch.
    pruning.start_epoch()
    assert pruning.hand_out() == pruning.hand_out()
    # Such as positions in the batch: they must not be taken for windows of weight 0.
    left_out = sorted(set(range(WINDOWS)) - set(pruning.selection.indices.tolist()))
    with pytest.raises(LoopError, match=f"window {left_out[0]} is not in epoch 2"):
        pruning.weights(left_out[:2])
    list(run(pruning, range(2, 5)))
    pruning.hand_out()
    with pytest.raises(LoopError, match="epoch 5"):
        pruning.hand_out()
    pruning.observe(range(50), errors_of(torch.arange(50), 5))
    with pytest.raises(CheckpointError):
        pruning.state_dict()
    pruning.observe(range(50, 60), errors_of(torch.arange(10), 5))
    with pytest.raises(LoopError, match="all 6 epochs"):
        list(pruning.batches())
    with pytest.raises(CheckpointError, match="prune_ratio, seed"):
        pruning_of(seed=4, prune_ratio=0.5).load_state_dict(pruning_of().state_dict())
    with pytest.raises(ConfigError, match="39"):
        PrunedBatchSampler(pruning_of(), range(39))


@pytest.mark.parametrize(
    ("name", "changes", "kind", "message"),
    [
        ("el2n", {}, DeclinedError, "probe"),
        ("st_prune", {}, DeclinedError, "stationarity"),
        ("ucb", {"options": {"exploratio": 1}}, ConfigError, "`exploration`"),
        ("ucb", {"prune_ratio": 1.0}, ConfigError, "`prune_ratio`"),
        ("st_prune", {"stationarity": ["low"] * 60}, ConfigError, "60"),
        ("st_prune", {"stationarity": [np.nan] * 60}, ConfigError, "60"),
    ],
)
def test_what_cannot_be_made_says_why(name, changes, kind, message):
    with pytest.raises(kind, match=message):
        pruning_of(name, **changes).start_epoch()


@pytest.mark.parametrize("workers", [0, 2])
def test_numbers_travel_with_their_samples(workers):
    pruning = pruning_of("random_dynamic", windows=40, batch_size=6)
    data = IndexedDataset(TensorDataset(torch.arange(40.0) ** 2))
    sampler = PrunedBatchSampler(pruning, data)
    how: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    loader = DataLoader(data, batch_sampler=sampler, **how)
    kept, lengths = [], [len(loader)]
    for _ in range(pruning.epochs):
        seen = []
        for indices, (samples,) in loader:
            assert torch.equal(samples, indices.float() ** 2)
            pruning.loss(indices, errors_of(indices, 0))
            seen.append(indices.tolist())
        lengths.append(len(seen))
        assert len(loader) == len(seen)  # of the epoch that is just over
        # Workers do not change the order.
        assert list(chain(*seen)) == pruning.selection.indices.tolist()
        kept.append(frozenset(chain(*seen)))
    assert lengths == [7, 7, 3, 3, 3, 3, 7]
    assert len(set(kept)) == 5  # the two full epochs are alike, no pruned one is like another
