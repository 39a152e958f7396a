"""Complexity, strata, places, weights, the order of an epoch: by hand and as properties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from stprune.base.errors import ConfigError
from stprune.pruning.base import Selection, everything
from stprune.pruning.batch_order import even_sizes, order_epoch
from stprune.pruning.complexity import SpatialStructure, complexity, edge_list
from stprune.pruning.selection import (
    Rescaling,
    allocate,
    calendar_periods,
    hard_and_easy,
    importance,
    inclusion_probabilities,
    partial_weights,
    quantile_strata,
    relative_to_usual,
    tempered,
)


@given(
    values=npst.arrays(np.float32, st.integers(1, 60), elements=st.integers(0, 9).map(float)),
    count=st.integers(1, 12),
)
def test_strata_are_ordered_and_keep_ties_together(values, count):
    # The median is 2, and what equals an edge belongs above it.
    assert quantile_strata(np.array([1, 2, 2, 3], np.float32), 2).tolist() == [0, 1, 1, 1]
    strata = quantile_strata(values, count)
    assert strata.shape == values.shape
    assert strata.min() >= 0
    assert strata.max() < count
    order = np.argsort(values, kind="stable")
    assert (np.diff(strata[order]) >= 0).all()
    for value in np.unique(values):
        assert len(np.unique(strata[values == value])) == 1


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    demands=st.lists(st.sampled_from([0.0, 1e-9, 0.3, 1.0, 7.0, 1e6]), min_size=12, max_size=12),
    data=st.data(),
)
def test_places_are_shared(sizes, demands, data):
    places = data.draw(st.integers(0, sum(sizes)))
    demand = None if data.draw(st.booleans()) else np.array(demands[: len(sizes)])
    shares = allocate(np.array(sizes, dtype=np.int64), places, demand)
    assert shares.sum() == places
    assert (shares >= 0).all()
    assert (shares <= sizes).all()
    filled = sum(size > 0 for size in sizes)
    assert np.count_nonzero(shares) >= min(filled, places)


SCORES = st.one_of(
    st.floats(0, 100, width=32), st.just(1.0), st.just(float("inf")), st.just(float("nan"))
)


@st.composite
def selections(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.int64], int, float]:
    """Scores with ties, NaN and infinity, strata, K and alpha."""
    windows = draw(st.integers(1, 40))
    scores = draw(npst.arrays(np.float32, windows, elements=SCORES))
    strata = draw(npst.arrays(np.int64, windows, elements=st.integers(0, 4)))
    alpha = draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
    return scores, strata, draw(st.integers(1, windows)), alpha


def assert_selection(chosen: Selection, size: int) -> None:
    """That many windows in ascending order, with finite weights of 1 or more."""
    assert (chosen.weights.dtype, chosen.indices.dtype) == (np.float32, np.int64)
    assert len(chosen.indices) == len(chosen.weights) == size
    assert (np.diff(chosen.indices) > 0).all()
    assert (np.isfinite(chosen.weights) & (chosen.weights >= 1)).all()


@given(case=selections(), shares=st.sampled_from(["proportional", "neyman"]))
def test_selection_keeps_its_promises(case, shares):
    scores, strata, size, alpha = case
    chosen = hard_and_easy(
        scores, strata, size, hard_share=alpha, rng=np.random.default_rng(0), shares=shares
    )
    assert_selection(chosen, size)
    # Whatever went in as hard, no window left out is harder than the hardest ceil(alpha K).
    hard_size = int(np.ceil(alpha * size))
    ranking = np.where(np.isnan(scores), np.inf, scores)
    kept = np.sort(ranking[chosen.indices])[::-1]
    np.testing.assert_array_equal(kept[:hard_size], np.sort(ranking)[::-1][:hard_size])
    # Wherever each stratum can have a place, the weights stand for all windows.
    if size - hard_size >= len(np.unique(strata)):
        assert chosen.weights.sum() == pytest.approx(len(scores), rel=1e-5)


@pytest.mark.parametrize("score", [1.0, np.inf, np.nan])
def test_constant_scores_leave_a_fair_draw(score):
    """Every window is kept equally often, within four standard errors."""
    scores = np.full(20, score, dtype=np.float32)
    strata = np.repeat([0, 1], 10)
    rng, kept, draws = np.random.default_rng(0), np.zeros(20), 1000
    for _ in range(draws):
        kept[hard_and_easy(scores, strata, 8, hard_share=0.5, rng=rng).indices] += 1
    assert np.abs(kept / draws - 8 / 20).max() < 4 * np.sqrt(0.4 * 0.6 / draws)


@pytest.mark.parametrize(
    ("sizes", "places", "demand", "expected"),
    [
        # By size. Quotas 4.5, 0.45, 0.05: one each to the rest, taken from the first.
        ([90, 9, 1], 5, None, [3, 1, 1]),
        ([2, 2, 2], 4, None, [2, 1, 1]),
        # Quotas 3.6, 2.7 and 0.7: the largest remainders are the last two.
        ([36, 27, 7], 7, None, [3, 3, 1]),
        ([5, 0, 5], 1, None, [1, 0, 0]),
        # Quotas 6, 3 and 1.
        ([20, 20, 20], 10, [6.0, 3.0, 1.0], [6, 3, 1]),
        # Quotas 4.8, 2.4 and 0.8: the largest remainder is the last or the first, both .8.
        ([20, 20, 20], 8, [6.0, 3.0, 1.0], [5, 2, 1]),
        # 3.6 do not fit into 2; the other 4 places go 3 to 1.
        ([2, 10, 10], 6, [6.0, 3.0, 1.0], [2, 3, 1]),
        # The stratum with demand is full, the rest goes by size: 4 among 6 and 2 windows.
        ([3, 6, 2], 7, [1.0, 0.0, 0.0], [3, 3, 1]),
        # No demand at all, as with equal scores: by size.
        ([6, 2], 4, [0.0, 0.0], [3, 1]),
        # Without demand there is still one place, taken from the richest.
        ([9, 9, 9], 5, [2.0, 1.0, 0.0], [2, 2, 1]),
        # An empty stratum gets none, whatever it demands.
        ([0, 4], 3, [5.0, 1.0], [0, 3]),
    ],
)
def test_places_by_hand(sizes, places, demand, expected):
    wanted = None if demand is None else np.array(demand)
    assert allocate(np.array(sizes), places, wanted).tolist() == expected


def test_neyman_allocation_by_hand():
    """Two strata of 8 windows, scores spread by 3 and by 1: 8 places go 6 to 2."""
    scores, rng = np.array([10, 16] * 4 + [20, 22] * 4, np.float32), np.random.default_rng(0)
    strata = np.repeat([0, 1], 8)
    for _ in range(2):
        chosen = hard_and_easy(scores, strata, 8, hard_share=0.0, rng=rng, shares="neyman")
        assert np.bincount(strata[chosen.indices]).tolist() == [6, 2]
        assert sorted(set(chosen.weights.tolist())) == pytest.approx([8 / 6, 8 / 2])
        # Unseen windows say nothing of the spread: that of the other four of stratum 1 is 1 still.
        scores[8:12] = np.inf


@pytest.mark.parametrize(("rescaling", "weight"), [("uniform", 6 / 2), ("none", 1.0)])
def test_simpler_rescalings_keep_the_same_windows(rescaling, weight):
    """Of eight windows the hardest two stay, and two of the six easy ones, which weigh alike."""
    scores, strata = np.arange(8, dtype=np.float32), np.array([0, 0, 0, 0, 0, 1, 1, 1])

    def select(kind: Rescaling) -> Selection:
        rng = np.random.default_rng(0)
        return hard_and_easy(scores, strata, 4, hard_share=0.5, rng=rng, rescaling=kind)

    one, other = select(rescaling), select("stationarity")
    np.testing.assert_array_equal(one.indices, other.indices)
    assert one.weights.tolist() == [weight, weight, 1.0, 1.0]
    # 0.55 of 100 places are 55, not 56, though 0.55 * 100 is a little above 55.
    many, rng = np.arange(1000, dtype=np.float32), np.random.default_rng(0)
    chosen = hard_and_easy(many, np.zeros(1000, np.int64), 100, hard_share=0.55, rng=rng)
    assert np.count_nonzero(chosen.weights == 1.0) == 55


# --- In proportion to the score


@given(values=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40), data=st.data())
def test_inclusion_is_proportional_below_the_cap(values, data):
    # Twice capped: 3 * 16 / 20 is more than 1, then 2 * 3 / 4.
    capped = inclusion_probabilities(np.array([16.0, 3.0, 0.5, 0.5]), 3)
    assert capped.tolist() == [1.0, 1.0, 0.5, 0.5]
    draw, size = np.array(values), data.draw(st.integers(1, len(values)))
    probability = inclusion_probabilities(draw, size)
    assert probability.sum() == pytest.approx(size, rel=1e-9)
    assert (probability > 0).all()
    assert probability.max() <= 1
    below = probability < 1 - 1e-9
    ratio = probability[below] / draw[below]
    np.testing.assert_allclose(ratio, ratio[:1].repeat(len(ratio)), rtol=1e-9)
    # None is certain that, in proportion to the others, need not be.
    if below.any():
        assert (draw[~below] * ratio[0] >= 1 - 1e-6).all()


@given(case=selections(), score_share=st.sampled_from([0.0, 0.5, 0.99]), seed=st.integers(0, 99))
def test_importance_keeps_exactly_k(case, score_share, seed):
    scores, _, size, _ = case
    rng = np.random.default_rng(seed)
    chosen = importance(scores, size, score_share=score_share, rng=rng)
    assert_selection(chosen, size)
    # No window is rarer than the uniform floor makes it.
    floor = (1 - score_share) * size / len(scores)
    assert (chosen.weights <= 1 / floor * (1 + 1e-5)).all()


def test_importance_weighs_by_hand():
    """Probabilities 2 * (0.5 / 4 + 0.5 * c / 10): 0.35, 0.45, 0.55 and 0.65."""
    scores, rng = np.array([1, 2, 3, 4], dtype=np.float32), np.random.default_rng(0)
    chosen = importance(scores, 2, score_share=0.5, rng=rng)
    expected = 1 / np.array([0.35, 0.45, 0.55, 0.65])[chosen.indices]
    np.testing.assert_allclose(chosen.weights, expected, rtol=1e-6)
    # What is unseen or not a number counts as the largest score known.
    odd = np.array([1, np.nan, np.inf, 4], dtype=np.float32)
    as_largest = importance(odd, 4, score_share=0.5, rng=rng)
    assert as_largest.weights.tolist() == [1.0] * 4


# --- Tempered sampling


@given(case=selections(), temper=st.sampled_from([0.0, 0.5, 1.0, 40.0]), seed=st.integers(0, 99))
def test_tempered_sampling_keeps_exactly_k(case, temper, seed):
    scores, _, size, _ = case
    chosen = tempered(scores, size, temper=temper, rng=np.random.default_rng(seed))
    assert_selection(chosen, size)
    known = np.where(np.isfinite(scores), scores, 0)
    if temper == 0 or (known == known[0]).all():
        np.testing.assert_allclose(chosen.weights, chosen.weights[0], rtol=1e-5)


@pytest.mark.parametrize("temper", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("size", [1, 2])
def test_tempered_frequencies_are_those_of_successive_draws(temper, size):
    """Enumerated for three windows, the third of them unseen; within four standard errors."""
    scores, rng, draws = np.array([1, 3, np.inf], np.float32), np.random.default_rng(0), 4000
    share = np.array([1.0, 3.0, 3.0]) ** temper
    share /= share.sum()
    second = [sum(share[j] * share[i] / (1 - share[j]) for j in {0, 1, 2} - {i}) for i in range(3)]
    expected = share + np.array(second) * (size == 2)
    kept = np.zeros(3)
    for _ in range(draws):
        kept[tempered(scores, size, temper=temper, rng=rng).indices] += 1
    error = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(kept / draws - expected) < 4 * error).all()


# --- Scores relative to what is usual, and powers of weights


def test_relative_scores_by_hand():
    scores = np.array([1, 3, np.inf, 8, np.nan, 0, 0], np.float32)
    periods = np.array([0, 0, 0, 1, 1, 2, 2])
    less = relative_to_usual(scores, periods, "difference")
    np.testing.assert_array_equal(less, np.array([-1, 1, np.inf, 0, np.nan, 0, 0], np.float32))
    over = relative_to_usual(scores, periods, "ratio")
    np.testing.assert_array_equal(over, np.array([0.5, 1.5, np.inf, 1, np.nan, 1, 1], np.float32))
    assert relative_to_usual(scores, periods, "none") is scores
    # A Friday and a Saturday.
    times = np.array(["2024-03-01T23:55", "2024-03-02T00:00"], "datetime64[m]")
    assert calendar_periods(times).tolist() == [23, 24]


@given(case=selections(), measure=st.sampled_from(["difference", "ratio"]))
def test_what_is_usual_no_longer_shows(case, measure):
    """The mean of each period is 0 or 1, and the order within it as before."""
    scores, periods, _, _ = case
    relative = relative_to_usual(scores, periods, measure)
    assert relative.dtype == np.float32
    for period in np.unique(periods):
        inside = periods == period
        one, other = scores[inside], relative[inside]
        finite = np.isfinite(one)
        np.testing.assert_array_equal(one[~finite], other[~finite])
        if finite.any():
            usual = 0.0 if measure == "difference" else 1.0
            assert other[finite].mean() == pytest.approx(usual, abs=1e-4)
            order = np.argsort(one[finite], kind="stable")
            assert (np.diff(other[finite][order]) >= 0).all()


@given(power=st.floats(0, 1), limit=st.sampled_from([None, 1.0, 2.5]))
def test_partial_weights_lie_between_none_and_all(power, limit):
    weights = np.array([1, 4, 9], np.float32)
    partial = partial_weights(weights, power, limit)
    assert partial.dtype == np.float32
    assert partial[0] == 1
    assert ((partial >= 1) & (partial <= (limit or 9))).all()
    assert partial_weights(weights, 0.5).tolist() == [1, 2, 3]
    assert partial_weights(weights, 0.0).tolist() == [1, 1, 1]
    assert partial_weights(weights, 1.0) is weights


# The complexity of a window, by hand and against plain loops


KINDS: tuple[SpatialStructure, ...] = ("std", "top_nodes", "graph")


def score(
    errors, mask=None, spatial_weight=1.0, temporal_weight=0.0, spatial="std", adjacency=None
):
    """The complexity of a batch, all observed by default."""
    mask = torch.ones_like(errors, dtype=torch.bool) if mask is None else mask
    weights = {"spatial_weight": spatial_weight, "temporal_weight": temporal_weight}
    edges = None if adjacency is None else edge_list(adjacency)
    values: list[float] = complexity(errors, mask, **weights, spatial=spatial, edges=edges).tolist()
    return values


def test_mean_and_spreads_by_hand():
    # Nodes' mean errors 2 and 6, steps' mean errors 3 and 5.
    errors = torch.tensor([[[1.0, 5.0], [3.0, 7.0]]])
    assert score(errors, spatial_weight=0.0) == [4.0]
    assert score(errors) == [6.0]
    assert score(errors, spatial_weight=0.0, temporal_weight=1.0) == [5.0]
    assert score(errors, spatial_weight=0.5, temporal_weight=3.0) == [8.0]
    # Without observed targets, and with a single node, there is no structure.
    for kind in KINDS:
        nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
        assert score(errors * 0, nothing, 1.0, 1.0, kind, torch.ones(2, 2)) == [0.0]
        alone = torch.tensor([[[2.0], [2.0]]])
        assert score(alone, None, 5.0, 5.0, kind, torch.ones(1, 1)) == [2.0]


def test_the_worst_nodes_are_five_in_a_hundred():
    errors = torch.arange(140.0).reshape(1, 1, 140)
    # Exactly 7 of 140 nodes, 133 to 139, although 0.05 * 140 is a little above 7.
    assert score(errors, spatial="top_nodes") == [136.0]
    # Where fewer were observed than are asked for, those are taken: 138 alone.
    mask = (torch.arange(140) == 138).view(1, 1, 140)
    assert score(errors * mask, mask, spatial="top_nodes") == [138.0]


def plain(errors, mask, kind, adjacency):
    """m, S and T of one window, one node and step at a time."""
    nodes = errors.shape[1]
    by_node = {v: errors[mask[:, v], v].mean() for v in range(nodes) if mask[:, v].any()}
    by_step = [errors[h, mask[h]].mean() for h in range(len(errors)) if mask[h].any()]
    if not by_node:
        return 0.0, 0.0, 0.0
    mean = float(np.mean(list(by_node.values())))
    temporal = float(np.std(by_step))
    if kind == "std":
        return mean, float(np.std(list(by_node.values()))), temporal
    if kind == "top_nodes":
        count = -(-nodes // 20)
        return mean, float(np.mean(sorted(by_node.values())[-count:])) - mean, temporal
    pairs = [
        (adjacency[u, v], (by_node[u] - by_node[v]) ** 2)
        for u in by_node
        for v in by_node
        if u != v and adjacency[u, v] > 0
    ]
    total = sum(weight for weight, _ in pairs)
    square = sum(weight * square for weight, square in pairs)
    return mean, float(np.sqrt(square / total)) if pairs else 0.0, temporal


@given(
    seed=st.integers(0, 2**32 - 1),
    nodes=st.sampled_from([1, 2, 5, 20, 41]),
    missing=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    edges=st.sampled_from([0.0, 0.2, 1.0]),
    kind=st.sampled_from(KINDS),
)
def test_it_equals_a_plain_loop(seed, nodes, missing, edges, kind):
    rng = np.random.default_rng(seed)
    mask = rng.random((3, 4, nodes)) >= missing
    errors = rng.exponential(10.0, mask.shape) * mask
    adjacency = rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < edges)
    arrays = torch.from_numpy(errors), torch.from_numpy(mask)
    found = score(*arrays, 0.7, 1.9, kind, torch.from_numpy(adjacency))
    for window, value in enumerate(found):
        mean, spatial, temporal = plain(errors[window], mask[window], kind, adjacency)
        assert value == pytest.approx(mean + 0.7 * spatial + 1.9 * temporal, rel=1e-9, abs=1e-12)


# The order of an epoch


CPU = torch.device("cpu")


def selection(count: int) -> Selection:
    """Every third window, with a weight that tells which one it is."""
    indices = np.arange(0, 3 * count, 3)
    return Selection(indices, (indices + 1).astype(np.float32))


@given(count=st.integers(1, 10_000), batch_size=st.integers(1, 300))
def test_batches_are_as_few_and_as_even_as_can_be(count, batch_size):
    assert even_sizes(161, 32) == [27, 27, 27, 27, 27, 26]
    sizes = even_sizes(count, batch_size)
    assert sum(sizes) == count
    assert len(sizes) == math.ceil(count / batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@given(count=st.integers(4, 100), batch_size=st.integers(8, 40), world=st.integers(1, 4))
def test_every_window_comes_once_with_its_weight(count, batch_size, world):
    chosen = selection(count)
    order = order_epoch(chosen, batch_size, np.random.default_rng(0), CPU)
    # As the generator says.
    shuffled = chosen.indices[np.random.default_rng(0).permutation(count)]
    assert order.indices.tolist() == shuffled.tolist()
    assert torch.equal(order.weights, order.indices + 1.0)
    whole = [indices for indices, _, _ in order.batches(0, 1)]
    shares = [list(order.batches(rank, world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        together = torch.cat([indices for indices, _, _ in parts])
        assert torch.equal(together.sort().values, batch.sort().values)
        lengths = [len(indices) for indices, _, _ in parts]
        assert max(lengths) - min(lengths) <= 1
        assert {size for _, _, size in parts} == {len(batch)}
    if world > 1:
        with pytest.raises(ConfigError, match="cannot be shared"):
            list(order.batches(0, batch_size + 1))


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_union_batches(sizes, batch_size, seed, data):
    firsts = np.cumsum([0, *sizes[:-1]])
    windows = st.integers(0, sum(sizes) - 1)
    chosen = np.array(data.draw(st.lists(windows, min_size=1, unique=True)))
    selection = Selection(chosen, (chosen + 1).astype(np.float32))
    order = order_epoch(selection, batch_size, np.random.default_rng(seed), CPU, firsts)
    batches = list(order.batches(0, 1))
    assert [size for _, _, size in batches] == order.sizes
    assert torch.equal(order.indices.sort().values, torch.from_numpy(np.sort(chosen)))
    assert torch.equal(order.weights, order.indices + 1.0)
    members: dict[int, list[int]] = {}
    for group, (indices, _, size) in zip(order.groups, batches, strict=True):
        assert int(indices.min()) >= firsts[group]
        assert int(indices.max()) < firsts[group] + sizes[group]
        members.setdefault(group, []).append(size)
    for count in members.values():
        assert sorted(count) == sorted(even_sizes(sum(count), batch_size))


def test_batches_of_a_union_come_mixed_and_new_every_epoch():
    rng, firsts = np.random.default_rng(0), np.array([0, 100])
    first, second = (order_epoch(everything(200), 10, rng, CPU, firsts) for _ in range(2))
    assert sum(first.groups) == 10
    assert len({tuple(first.groups), tuple(second.groups), (0,) * 10 + (1,) * 10}) == 3
    one, other = (
        {tuple(sorted(part.tolist())) for part in order.indices.split(order.sizes)}
        for order in (first, second)
    )
    assert not one & other
