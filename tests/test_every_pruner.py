"""What every pruner promises, checked for each file of both folders."""

import io
import random
from typing import Any

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe
from torch import Tensor
from toy import training_store

from stprune.pruning.base import PRUNERS, Pruner, PruningContext, Selection
from stprune.pruning.base import budget as exact_budget

EPOCHS, HORIZON, NODES = 8, 2, 3
ALWAYS_FULL = {"full", "full_fewer_epochs"}

# ST-Prune is checked with each of its choices, too.
VALUES: dict[str, list[Any]] = {
    "loss_scale": ["sum"],
    "spatial": ["top_nodes", "graph"],
    "temporal_weight": [2.0],
    "score_memory": [0.7],
    "sampling": ["importance", "tempered"],
    "relative": ["difference", "ratio"],
    "hard_share": [1.0, 0.0, [0.75, 0.0]],
    "rescaling_power": [0.5, [0.0, 1.0]],
    "annealing": ["equal_cosine"],
    "stationarity": ["window_std", "spectral_flatness"],
    "strata": [1],
    "shares": ["neyman"],
    "rescaling": ["uniform", "none"],
    "weight_limit": [3.0],
}
CHOICES = {f"{name}: {one}": {name: one} for name, values in VALUES.items() for one in values}
pytestmark = pytest.mark.parametrize("name", [*PRUNERS.ids(), *CHOICES])


def synthetic_errors(indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
    """Errors and mask that depend on the window and the epoch alone; some are masked."""
    generator = torch.Generator().manual_seed(epoch)
    everything = torch.rand(1000, HORIZON, NODES, generator=generator)
    mask = torch.rand(1000, HORIZON, NODES, generator=generator) > 0.2
    return (everything * mask)[indices], mask[indices]


def probe_of(windows: int) -> ScriptedProbe:
    """A scoring model whose errors and gradients need no training."""
    draw = np.random.default_rng(windows)
    gradients = torch.from_numpy(draw.normal(0.1, 1.0, (windows, 6)).astype(np.float32))
    return ScriptedProbe(draw.random((20, windows)).tolist(), [gradients] * 9, gradients[:16])


def build(name: str, windows: int = 60, prune_ratio: float = 0.7, seed: int = 0) -> Pruner:
    """The pruner with its default options, not yet prepared."""
    context = PruningContext(
        windows,
        EPOCHS,
        prune_ratio,
        seed,
        stores=(training_store(windows, NODES),),
        adjacency=torch.ones(NODES, NODES),
        times=np.datetime64("2024-01-01") + np.arange(windows) * np.timedelta64(60, "m"),
    )
    kind = PRUNERS.load("st_prune" if name in CHOICES else name)
    return kind(context, kind.Options(**CHOICES.get(name, {})))


def prepared(name: str, **choices: Any) -> Pruner:
    """The pruner after ``prepare``."""
    pruner = build(name, **choices)
    pruner.prepare(probe_of(pruner.context.windows))
    return pruner


def run(pruner: Pruner, epochs: range | None = None) -> list[Selection]:
    """Select and observe as the engine does, in batches of 16; by default all epochs."""
    selections = []
    for epoch in epochs or range(pruner.planned_epochs()):
        selection = pruner.select(epoch)
        for indices in torch.from_numpy(selection.indices).split(16):
            errors, mask = synthetic_errors(indices, epoch)
            shown = errors.clone()
            pruner.observe(indices, shown, mask)
            assert torch.equal(shown, errors)  # what it is shown belongs to the engine
        selections.append(selection)
    return selections


def assert_same(first: list[Selection], second: list[Selection]) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("windows", [1, 7, 60])
@pytest.mark.parametrize("prune_ratio", [0.3, 0.5, 0.99])
def test_selections_are_distinct_and_weighted(name, windows, prune_ratio):
    pruner = prepared(name, windows=windows, prune_ratio=prune_ratio)
    assert 1 <= pruner.planned_epochs() <= EPOCHS
    size = exact_budget(windows, 1.0 - prune_ratio)
    kept = set()
    for selection in run(pruner):
        indices, weights = selection.indices, selection.weights
        assert (indices.dtype, weights.dtype) == (np.int64, np.float32)
        assert indices.shape == weights.shape
        assert set(indices.tolist()) <= set(range(windows))
        assert len(np.unique(indices)) == len(indices)
        assert (np.isfinite(weights) & (weights > 0)).all()
        kept.add(len(indices))
    if "cosine" not in name:
        assert kept == {windows} if name in ALWAYS_FULL else {size} <= kept <= {size, windows}


def test_without_pruning_everything_counts_once(name):
    pruner = prepared(name, prune_ratio=0.0)
    assert pruner.planned_epochs() == EPOCHS
    for selection in run(pruner):
        # In ascending order, so that equal seeds give equal batches to every pruner.
        assert selection.indices.tolist() == list(range(60))
        assert (selection.weights == 1).all()


def test_equal_seeds_select_alike_and_other_seeds_do_not(name):
    runs = {}
    for seed in range(3):
        one = prepared(name, seed=seed)
        runs[seed] = run(one)
        assert_same(runs[seed], run(prepared(name, seed=seed)))
    different = {str([one.indices.tolist() for one in chosen]) for chosen in runs.values()}
    # Ranking draws nothing where scores differ.
    draws = type(one).draws and name != "hard_share: 1.0"
    assert len(different) == (3 if draws else 1)


@pytest.mark.parametrize("done", [1, 4])
def test_a_saved_state_continues_exactly(name, done):
    first = prepared(name)
    done = min(done, first.planned_epochs())
    run(first, range(done))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    rest = range(done, first.planned_epochs())
    expected = run(first, rest)
    file.seek(0)
    second = build(name)  # a resumed run does not prepare again
    second.load_state_dict(torch.load(file, weights_only=True))
    assert_same(expected, run(second, rest))
    for key, values in first.window_state.items():
        assert len(values) == 60
        assert torch.equal(values, second.window_state[key])


def test_global_random_state_is_left_alone(name):
    def state() -> tuple[Any, ...]:
        numpy_state: Any = np.random.get_state()  # noqa: NPY002 - it must not have been touched
        return random.getstate(), numpy_state[1].tolist(), torch.get_rng_state().tolist()

    before = state()
    run(prepared(name))
    assert state() == before
    # Nor do equal seeds couple different pruners.
    kinds = {type(build(other)): build(other).rng.bytes(16) for other in PRUNERS.ids()}
    assert [*kinds.values()].count(build(name).rng.bytes(16)) == 1
