"""The expected weighted gradient of a pruned epoch is that of all windows, and when it is not.

Gradients are real: a linear model, the project's own loss, and missing targets. For ST-Prune's
hard and easy sets each equally likely sample, and each order of its windows, is enumerated.
"""

from collections.abc import Iterator
from functools import cache, partial
from itertools import combinations, permutations, product
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stprune.pruning.base import Selection, absolute_errors, scale_weights, window_mae
from stprune.pruning.batch_order import order_epoch
from stprune.pruning.selection import (
    Rescaling,
    hard_and_easy,
    importance,
    partial_weights,
    tempered,
)

WINDOWS = 8
SCORES = np.array([3, 1, 4, 1.5, 9, 2.6, 5, 3.5], dtype=np.float32)
# The hardest is window 4; the easy ones are 3 of stratum 0, 2 of stratum 1 and 2 of stratum 2.
STRATA = np.array([0, 0, 0, 1, 1, 1, 2, 2])


def gradient(windows: list[int], weights: list[float]) -> NDArray[np.float64]:
    """Gradient of the weighted sum of losses: (30,)."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(WINDOWS, 4, generator=generator, dtype=torch.float64)
    targets = torch.randn(WINDOWS, 2, 3, generator=generator, dtype=torch.float64)
    mask = torch.rand(WINDOWS, 2, 3, generator=generator) > 0.4
    mask[5] = False  # a window without any observed target
    matrix = torch.randn(4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    offset = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    forecast = (inputs[windows] @ matrix + offset).view(-1, 2, 3)
    errors = absolute_errors(forecast, targets[windows], mask[windows])
    loss = (torch.tensor(weights) * window_mae(errors, mask[windows])).sum()
    parts = torch.autograd.grad(loss, (matrix, offset))
    return torch.cat([part.flatten() for part in parts]).numpy()


@cache
def each_gradient() -> NDArray[np.float64]:
    """(WINDOWS, 30), the gradient of each window's own loss."""
    return np.stack([gradient([window], [1.0]) for window in range(WINDOWS)])


class Scripted:
    """A generator that gives prepared samples and orders instead of random ones."""

    def __init__(self, samples: list[tuple[int, ...]], order: tuple[int, ...] = ()) -> None:
        self.samples, self.order = list(samples), order

    def choice(self, size: int, places: int, **_: Any) -> NDArray[np.int64]:
        sample = np.array(self.samples.pop(0), dtype=np.int64)
        assert len(sample) == places
        assert (sample < size).all()
        return sample

    def permutation(self, count: int) -> NDArray[np.int64]:
        assert count == len(self.order)
        return np.array(self.order, dtype=np.int64)


def selections(size, places, rescaling="stationarity"):
    """Every equally likely selection, with one hard window and ``places`` (size, kept)."""
    samples = [list(combinations(range(count), kept)) for count, kept in places if kept]
    for sample in product(*samples):
        scripted: Any = Scripted(list(sample))
        yield hard_and_easy(
            SCORES, STRATA, size, hard_share=1 / size, rng=scripted, rescaling=rescaling
        )


def expected_sum(chosen: Iterator[Selection]) -> Any:
    return np.mean([gradient(one.indices.tolist(), one.weights.tolist()) for one in chosen], axis=0)


@pytest.mark.parametrize(
    ("size", "places"),
    [(4, [(3, 1), (2, 1), (2, 1)]), (5, [(3, 2), (2, 1), (2, 1)]), (7, [(3, 2), (2, 2), (2, 2)])],
)
def test_the_expected_sum_is_that_of_all_windows(size, places):
    own = each_gradient()
    # The gradients are worth comparing: they differ, and one window has no observed target.
    assert (np.abs(own).max(1) > 0.05).tolist() == [window != 5 for window in range(WINDOWS)]
    found = expected_sum(selections(size, places))
    np.testing.assert_allclose(found, own.sum(0), rtol=1e-6, atol=1e-9)


def test_without_a_place_for_each_stratum_or_with_another_rescaling_it_is_not():
    own = each_gradient()
    found = expected_sum(selections(3, [(3, 1), (2, 1), (2, 0)]))
    np.testing.assert_allclose(found, own[STRATA != 2].sum(0), rtol=1e-6, atol=1e-9)
    for rescaling in get_args(Rescaling)[1:]:
        biased = expected_sum(selections(5, [(3, 2), (2, 1), (2, 1)], rescaling))
        assert np.abs(biased - own.sum(0)).max() > 0.01


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_partial_rescaling_takes_a_known_share_of_each_stratum(power):
    """An easy window counts (k_b / n_b)^(1 - tau), the hard one, 4, counts 1."""
    chosen = (
        Selection(one.indices, partial_weights(one.weights, power))
        for one in selections(5, [(3, 2), (2, 1), (2, 1)])
    )
    share = np.array([2 / 3, 1 / 2, 1 / 2])[STRATA] ** (1 - power)
    share[4] = 1.0
    np.testing.assert_allclose(expected_sum(chosen), share @ each_gradient(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("batch_size", "sizes"), [(2, [2, 2, 1]), (3, [3, 2]), (5, [5])])
def test_so_it_is_when_split_into_uneven_batches(batch_size, sizes):
    """A step takes its batch's mean; over all orders the steps add up to a fixed share.

    Each window is as often in each place, so that batches of different sizes favour none: the
    expected sum of steps is (number of batches / K) times the full gradient. Weights of mean 1
    scale it by K / n.
    """
    device, own = torch.device("cpu"), each_gradient()
    sums = []
    for chosen in selections(5, [(3, 2), (2, 1), (2, 1)]):
        scaled = Selection(chosen.indices, scale_weights(chosen.weights, "mean"))
        for order in permutations(range(5)):
            scripted: Any = Scripted([], order)
            epoch = order_epoch(scaled, batch_size, scripted, device)
            steps = [
                weights.double().numpy() @ own[indices.numpy()] / count
                for indices, weights, count in epoch.batches(0, 1)
            ]
            assert [count for _, _, count in epoch.batches(0, 1)] == sizes
            sums.append(np.sum(steps, axis=0))
    full = own.sum(0) * len(sizes) / WINDOWS
    np.testing.assert_allclose(np.mean(sums, axis=0), full, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("draw_selection", "is_uniform"),
    [
        *((partial(importance, score_share=beta), beta == 0) for beta in (0.0, 0.5, 0.95)),
        (partial(tempered, temper=2.0), False),
    ],
)
def test_sampling_by_the_score_is_unbiased(draw_selection, is_uniform):
    """20,000 draws; each of 30 components within six standard errors of its mean."""
    rng, draws, own = np.random.default_rng(5), 20_000, each_gradient()
    found, unweighted = np.empty((draws, own.shape[1])), np.zeros(own.shape[1])
    for draw in range(draws):
        chosen = draw_selection(SCORES, 3, rng=rng)
        found[draw] = chosen.weights @ own[chosen.indices]
        unweighted += own[chosen.indices].sum(0) * WINDOWS / 3 / draws
    bound = 6 * found.std(0, ddof=1) / np.sqrt(draws) + 1e-7
    assert (np.abs(found.mean(0) - own.sum(0)) < bound).all()
    # The bound is tight enough to refute weights that are all alike.
    refuted = (np.abs(unweighted - own.sum(0)) > bound).any()
    assert refuted != is_uniform
