"""ST-Prune as a pruner: its schedule, its memory and its options."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy import training_store

from stprune.base.errors import DeclinedError
from stprune.base.schema import NoOptions
from stprune.pruning.base import PRUNERS, PruningContext, Selection
from stprune.pruning.st_prune import STPrune, STPruneOptions

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "sum": {"loss_scale": "sum"},
    "top_nodes": {"spatial": "top_nodes"},
    "graph": {"spatial": "graph"},
    "temporal": {"spatial_weight": 0.0, "temporal_weight": 2.0},
    "memory": {"score_memory": 0.7},
    "importance": {"sampling": "importance"},
    "all_hard": {"hard_share": 1.0},
    "all_easy": {"hard_share": 0.0},
    "window_std": {"stationarity": "window_std"},
    "spectral_flatness": {"stationarity": "spectral_flatness"},
    "one_stratum": {"strata": 1},
    "neyman": {"shares": "neyman"},
    "uniform": {"rescaling": "uniform"},
    "none": {"rescaling": "none"},
    "weight_limit": {"weight_limit": 3.0},
    "no_annealing": {"annealing": "none"},
    "cosine": {"annealing": "cosine"},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def pruner(
    windows: int, prune_ratio: float, epochs: int = 8, seed: int = 0, **options: Any
) -> STPrune:
    context = PruningContext(
        windows,
        epochs,
        prune_ratio,
        seed,
        stores=(training_store(windows),),
        adjacency=torch.ones(3, 3),
    )
    return STPrune(context, STPruneOptions.model_validate({"loss_scale": "sum"} | options))


def errors_of(indices: Tensor, epoch: int) -> Tensor:
    """(B, 2, 3) errors that depend on window and epoch alone."""
    generator = torch.Generator().manual_seed(epoch)
    return torch.rand(1000, 2, 3, generator=generator)[indices]


def train(subject: STPrune, epochs: range) -> list[Selection]:
    """Select and observe, as a run does."""
    selections = []
    for epoch in epochs:
        chosen = subject.select(epoch)
        indices = torch.from_numpy(chosen.indices)
        errors = errors_of(indices, epoch)
        subject.observe(indices, errors, torch.ones_like(errors, dtype=torch.bool))
        selections.append(chosen)
    return selections


def plain(selections: list[Selection]) -> list[tuple[list[int], list[float]]]:
    return [(one.indices.tolist(), one.weights.tolist()) for one in selections]


def show(subject: STPrune, windows: list[int], value: float) -> None:
    """Let ``windows`` have the same error everywhere."""
    errors = torch.full((len(windows), 2, 3), value)
    subject.observe(torch.tensor(windows), errors, torch.ones_like(errors, dtype=torch.bool))


@each_option
def test_without_pruning_each_option_is_the_full_method(options: dict[str, Any]) -> None:
    context = PruningContext(50, 8, 0.0, 0)
    full = [PRUNERS.load("full")(context, NoOptions()).select(epoch) for epoch in range(8)]
    subject = pruner(50, 0.0, **options)
    for mine, theirs in zip(train(subject, range(8)), full, strict=True):
        assert mine.indices.tobytes() == theirs.indices.tobytes()
        assert mine.weights.tobytes() == theirs.weights.tobytes()


@each_option
def test_the_seed_decides(options: dict[str, Any]) -> None:
    runs = [plain(train(pruner(60, 0.7, seed=seed, **options), range(8))) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    # Ranking draws nothing where scores differ.
    assert (runs[0] != runs[2]) == (options.get("hard_share") != 1.0)


@each_option
def test_a_checkpoint_continues_exactly(options: dict[str, Any]) -> None:
    first = pruner(60, 0.7, **options)
    train(first, range(3))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = pruner(60, 0.7, **options)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert plain(train(first, range(3, 8))) == plain(train(second, range(3, 8)))
    assert torch.equal(first.window_state["scores"], second.window_state["scores"])


@each_option
@pytest.mark.parametrize(("windows", "prune_ratio"), [(1, 0.0), (1, 0.9), (2, 0.5), (30, 0.97)])
def test_one_window_is_enough(options: dict[str, Any], windows: int, prune_ratio: float) -> None:
    chosen = train(pruner(windows, prune_ratio, **options), range(4))
    assert [len(one.indices) for one in chosen[:2]] == [windows, 1 if prune_ratio else windows]
    assert all(np.isfinite(one.weights).all() and (one.weights > 0).all() for one in chosen)


@each_option
def test_errors_that_are_not_numbers_do_not_poison_a_score(options: dict[str, Any]) -> None:
    subject = pruner(
        40, 0.5, annealing="none", **{k: v for k, v in options.items() if k != "annealing"}
    )
    train(subject, range(1))
    show(subject, list(range(40)), float("nan"))
    kept = subject.select(1)
    assert len(kept.indices) == 20
    assert np.isfinite(kept.weights).all()
    show(subject, list(range(40)), 3.0)
    assert subject.window_state["scores"].tolist() == [3.0] * 40


def test_memory_mixes_old_and_new_by_hand() -> None:
    subject = pruner(4, 0.5, score_memory=0.75)
    show(subject, [0, 1, 2], 8.0)
    # The first score stands for itself.
    assert subject.window_state["scores"].tolist() == [8.0, 8.0, 8.0, float("inf")]
    show(subject, [1, 2], 16.0)
    show(subject, [2], 2.0)
    # 0.75 * 8 + 0.25 * 16 = 10, then 0.75 * 10 + 0.25 * 2 = 8.
    assert subject.window_state["scores"].tolist() == [8.0, 10.0, 8.0, float("inf")]


def test_without_memory_the_last_visit_counts() -> None:
    subject = pruner(2, 0.5)
    show(subject, [0, 1], 8.0)
    show(subject, [1], 2.0)
    assert subject.window_state["scores"].tolist() == [8.0, 2.0]


def test_graph_structure_needs_a_graph() -> None:
    context = PruningContext(10, 4, 0.5, 0, stores=(training_store(10),))
    with pytest.raises(DeclinedError, match="needs the graph"):
        STPrune(context, STPruneOptions(spatial="graph"))


@pytest.mark.parametrize(
    ("annealing", "sizes"),
    [
        ("none", [20] + [4] * 8),
        ("tail", [20] + [4] * 6 + [20] * 2),
        # r = 0.2 rises over the last three of nine epochs: 0.4, 0.8, 1.
        ("cosine", [20] + [4] * 5 + [8, 16, 20]),
    ],
)
def test_annealing_by_hand(annealing: str, sizes: list[int]) -> None:
    chosen = train(pruner(20, 0.8, epochs=9, annealing=annealing), range(9))
    assert [len(one.indices) for one in chosen] == sizes


def test_without_pruning_every_epoch_is_full() -> None:
    full = pruner(50, 0.0)
    for epoch in range(8):
        chosen = full.select(epoch)
        assert chosen.indices.tolist() == list(range(50))
        assert (chosen.weights == 1).all()


def test_the_first_epoch_and_the_tail_are_full_and_the_hardest_stay() -> None:
    subject = pruner(50, 0.8)
    assert len(subject.select(0).indices) == 50
    errors = torch.arange(50.0)[:, None, None].expand(50, 2, 3)
    mask = torch.ones((), dtype=torch.bool).expand(50, 2, 3)
    subject.observe(torch.arange(50), errors, mask)
    for epoch in range(1, 7):
        chosen = subject.select(epoch)
        assert len(chosen.indices) == 10
        assert set(range(45, 50)) <= set(chosen.indices.tolist())
        # 5 hard windows weigh 1 each; the 5 easy ones stand for no more than the other 45.
        assert chosen.weights[-5:].tolist() == [1.0] * 5
    assert len(subject.select(7).indices) == 50


def test_it_declines_to_work_without_windows() -> None:
    with pytest.raises(DeclinedError, match="training windows"):
        STPrune(PruningContext(10, 4, 0.5, 0), STPruneOptions())


def test_weights_are_capped_between_none_and_exact() -> None:
    exact, capped, none = (
        train(pruner(100, 0.8, **options), range(2))[1]
        for options in ({}, {"weight_limit": 2.5}, {"rescaling": "none"})
    )
    assert exact.weights.max() > 2.5
    np.testing.assert_array_equal(capped.indices, exact.indices)
    np.testing.assert_array_equal(capped.weights, np.minimum(exact.weights, 2.5))
    least = train(pruner(100, 0.8, weight_limit=1.0), range(2))[1]
    np.testing.assert_array_equal(least.weights, none.weights)
    scaled = train(pruner(100, 0.8, weight_limit=2.5, loss_scale="mean"), range(2))[1]
    assert scaled.weights.mean() == pytest.approx(1.0)


def test_stationarity_may_be_given_or_not_needed() -> None:
    measured = np.arange(20, dtype=np.float32)
    given = STPrune(PruningContext(20, 8, 0.5, 0, stationarity=measured), STPruneOptions(strata=2))
    assert given.strata.tolist() == [0] * 10 + [1] * 10
    one = STPrune(PruningContext(20, 8, 0.5, 0), STPruneOptions(strata=1))
    assert set(one.strata.tolist()) == {0}
    with pytest.raises(DeclinedError, match="strata: 1"):
        STPrune(PruningContext(20, 8, 0.5, 0), STPruneOptions())
