"""Dynamic pruners and their schedule: ST-Prune, InfoBatch, UCB, epsilon-greedy, the controls."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from toy import training_store

from baselines.epsilon_greedy import EpsilonGreedy
from baselines.full_fewer_epochs import FewerEpochsOptions, FullFewerEpochs
from baselines.infobatch import InfoBatch, infobatch_select
from baselines.random_dynamic import RandomDynamic, RandomDynamicOptions
from baselines.repb import RePB, informative
from baselines.rs2 import RS2
from baselines.seta import SeTa, loss_clusters, out_of_reach
from baselines.ucb import UCB, upper_bounds
from stprune.base.errors import DeclinedError
from stprune.pruning.base import Pruner, PruningContext, Selection, budget
from stprune.pruning.dynamic import at_phase, rising_windows, tail_start
from stprune.pruning.st_prune import STPrune, STPruneOptions

INF = float("inf")


def show(pruner: Pruner, windows: list[int], values: Any) -> None:
    """Let windows have the same error everywhere, each its own."""
    each = torch.as_tensor(values, dtype=torch.float32).expand(len(windows))
    errors = each[:, None, None].expand(-1, 2, 3).clone()
    pruner.observe(torch.tensor(windows), errors, torch.ones_like(errors, dtype=torch.bool))


def sizes(pruner: Pruner, epochs: int) -> list[int]:
    return [len(pruner.select(epoch).indices) for epoch in range(epochs)]


def test_budgets_and_tails_by_hand():
    for windows, keep, size in ((100, 0.1, 10), (289, 0.5, 144), (1606, 0.1, 161), (3, 0.01, 1)):
        assert budget(windows, keep) == size
    tails = ((40, 0.875, 35), (12, 0.875, 10), (100, 0.9, 90), (10, 0.7, 7), (1, 0.875, 0))
    for epochs, delta, first in (*tails, (40, 1.0, 40)):
        assert tail_start(epochs, delta) == first


@pytest.mark.parametrize(
    "kind", [STPrune, InfoBatch, UCB, EpsilonGreedy, RandomDynamic, RS2, SeTa, RePB]
)
def test_all_dynamic_pruners_have_the_same_schedule(kind):
    context = PruningContext(20, 9, 0.8, 0, stationarity=np.arange(20.0))
    for annealing, expected in (
        ("none", [20] + [4] * 8),
        ("tail", [20] + [4] * 6 + [20] * 2),
        # r = 0.2 rises over the last three of nine epochs along half a cosine: 0.4, 0.8, 1.
        ("cosine", [20] + [4] * 5 + [8, 16, 20]),
        # The same rise, worth two full epochs: as many windows as under `tail`.
        ("equal_cosine", [20] + [4] * 5 + [8, 16, 20]),
    ):
        pruner = kind(context, kind.Options(annealing=annealing))
        show(pruner, list(range(20)), torch.arange(20.0))
        assert sizes(pruner, 9) == expected


@given(
    windows=st.integers(1, 5000),
    epochs=st.integers(1, 30),
    ratio=st.sampled_from([0.1, 0.5, 0.77, 0.99]),
    delta=st.sampled_from([0.3, 0.5, 0.875, 1.0]),
    first=st.booleans(),
)
def test_an_equal_cosine_visits_what_a_tail_visits(windows, epochs, ratio, delta, first):
    def planned(annealing: str) -> list[int]:
        options = {"annealing": annealing, "delta": delta, "full_first_epoch": first}
        context = PruningContext(windows, epochs, ratio, 0)
        pruner = RandomDynamic(context, RandomDynamicOptions.model_validate(options))
        return [pruner.epoch_windows(epoch, epochs) for epoch in range(epochs)]

    rising, tail = planned("equal_cosine"), planned("tail")
    assert sum(rising) == sum(tail)
    assert min(rising) >= 1
    assert max(rising) <= windows
    # Rounding may lower an epoch by one window.
    assert (np.diff(rising[first:]) >= -1).all()
    # Of one epoch after the first, too few for a rise worth two, and of none in the tail.
    assert rising_windows(3, 10, 2, 2) == [10, 10]
    assert rising_windows(3, 10, 2, 0) == [3, 3]


def test_options_run_over_the_pruned_epochs():
    assert [at_phase((0.75, 0.25), phase) for phase in (0.0, 0.5, 1.0)] == [0.75, 0.5, 0.25]
    assert at_phase(0.3, 0.7) == 0.3
    # Of 16 epochs the first and the last two are full.
    pruner = st_prune(40, 0.5, hard_share=[1.0, 0.0], rescaling_power=[0.0, 1.0])
    pruner.epochs = 16
    assert [pruner.phase(epoch) for epoch in (1, 7, 13, 99)] == [0, 0.5, 1, 1]
    show(pruner, list(range(40)), torch.arange(40.0))
    # All by rank at first, with weight 1, then none by rank, each weighing n_b / k_b.
    begun, ended = pruner.select(1), pruner.select(13)
    assert begun.indices.tolist() == list(range(20, 40))
    assert begun.weights.tolist() == [1.0] * 20
    assert ended.weights.tolist() == pytest.approx([2.0] * 20)
    assert st_prune(40, 0.0).phase(3) == 0


def test_windows_are_compared_with_those_of_their_hour():
    """Busy hours have the larger errors; relative to them the others' are remarkable."""
    times = np.datetime64("2024-03-04T00:00", "m") + np.arange(96) * np.timedelta64(60, "m")
    errors = np.where(np.arange(96) % 24 == 8, 50.0, 1.0)
    errors[[2, 30]] = 3.0
    context = PruningContext(96, 8, 0.95, 0, stationarity=np.arange(96.0), times=times)
    for relative, kept in (("none", 8), ("difference", 2), ("ratio", 2)):
        options = {"relative": relative, "hard_share": 0.4, "rescaling": "none"}
        pruner = STPrune(context, STPruneOptions.model_validate(options))
        show(pruner, list(range(96)), errors)
        assert kept in pruner.select(1).indices % 24
    with pytest.raises(DeclinedError, match="time"):
        st_prune(10, 0.5, relative="ratio")


@pytest.mark.parametrize(
    ("epochs", "prune_ratio", "options", "planned"),
    [
        # 40 epochs: 1 full, 34 pruned, 5 of tail. 6 + 34 * 0.1 = 9.4; 6 + 34 * 0.5 = 23.
        (40, 0.9, {}, 9),
        (40, 0.5, {}, 23),
        (40, 0.0, {}, 40),
        # 24 epochs without a first pass: 3 + 21 * 0.25 = 8.25.
        (24, 0.75, {"full_first_epoch": False}, 8),
        # Without a tail 1 + 39 * 0.1 = 4.9.
        (40, 0.9, {"delta": 1.0}, 5),
        (1, 0.99, {}, 1),
    ],
)
def test_fewer_epochs_cost_what_the_pruned_schedule_costs(epochs, prune_ratio, options, planned):
    context = PruningContext(100, epochs, prune_ratio, 0)
    control = FullFewerEpochs(context, FewerEpochsOptions(**options))
    assert control.planned_epochs() == planned
    if prune_ratio and not options:
        pruned = RandomDynamic(context, RandomDynamicOptions())
        assert abs(sum(sizes(pruned, epochs)) - 100 * planned) <= 50


def st_prune(windows: int, prune_ratio: float, **options: Any) -> STPrune:
    context = PruningContext(windows, 8, prune_ratio, 0, stores=(training_store(windows),))
    return STPrune(context, STPruneOptions.model_validate({"loss_scale": "sum"} | options))


@pytest.mark.parametrize("sampling", ["hard_and_easy", "importance"])
def test_errors_that_are_not_numbers_poison_no_score(sampling):
    pruner = st_prune(40, 0.5, sampling=sampling, annealing="none")
    for value in (1.0, math.nan, 3.0):
        show(pruner, list(range(40)), value)
        chosen = pruner.select(1)
        assert len(chosen.indices) == 20
        assert np.isfinite(chosen.weights).all()
    assert pruner.window_state["scores"].tolist() == [3.0] * 40


def test_the_score_is_averaged_with_the_old_one_by_hand():
    pruner = st_prune(4, 0.5, score_memory=0.75)
    show(pruner, [0, 1, 2], 8.0)
    # The first score stands for itself.
    assert pruner.window_state["scores"].tolist() == [8.0, 8.0, 8.0, INF]
    show(pruner, [1, 2], 16.0)
    show(pruner, [2], 2.0)
    # 0.75 * 8 + 0.25 * 16 = 10, then 0.75 * 10 + 0.25 * 2 = 8.
    assert pruner.window_state["scores"].tolist() == [8.0, 10.0, 8.0, INF]


def test_weights_are_capped_and_scaled():
    def second_epoch(**options: Any) -> Selection:
        pruner = st_prune(100, 0.8, **options)
        show(pruner, list(range(100)), torch.arange(100.0))
        return pruner.select(1)

    exact, capped = second_epoch(), second_epoch(weight_limit=2.5)
    assert exact.weights.max() > 2.5
    np.testing.assert_array_equal(capped.indices, exact.indices)
    np.testing.assert_array_equal(capped.weights, np.minimum(exact.weights, 2.5))
    scaled = second_epoch(weight_limit=2.5, loss_scale="mean")
    assert scaled.weights.mean() == pytest.approx(1.0)


def test_stationarity_and_graph_may_be_given_or_must_be():
    context = PruningContext(20, 8, 0.5, 0)
    given_values = PruningContext(20, 8, 0.5, 0, stationarity=np.arange(20.0))
    assert STPrune(given_values, STPruneOptions(strata=2)).strata.tolist() == [0] * 10 + [1] * 10
    assert set(STPrune(context, STPruneOptions(strata=1)).strata.tolist()) == {0}
    with pytest.raises(DeclinedError, match="strata: 1"):
        STPrune(context, STPruneOptions())
    with pytest.raises(DeclinedError, match="graph"):
        STPrune(given_values, STPruneOptions(spatial="graph"))


# Mean 5.5 with ten windows: 8 below it, 2 above.
SCORES = np.array([1, 2, 3, 4, 5, 1, 2, 3, 14, 20], dtype=np.float32)


@pytest.mark.parametrize(
    ("rule", "prune_ratio", "below"),
    [
        # Half of the 8 below-mean windows stay, with weight 1 / (1 - p).
        ("original", 0.5, [2.0] * 4),
        # K = 5: both above-mean windows and 3 of the 8 others, which weigh 8/3.
        ("exact", 0.5, [8 / 3] * 3),
        # A budget of just the above-mean windows.
        ("exact", 0.8, []),
    ],
)
def test_infobatch_by_hand(rule, prune_ratio, below):
    chosen = infobatch_select(SCORES, prune_ratio, np.random.default_rng(0), rule)
    assert chosen.indices[-2:].tolist() == [8, 9]
    assert chosen.weights.tolist() == pytest.approx([*below, 1.0, 1.0])


def test_infobatch_at_the_edges():
    rng = np.random.default_rng(0)
    # The mean itself is kept.
    constant = infobatch_select(np.ones(5, np.float32), 0.9, rng, "original")
    assert constant.weights.tolist() == [1.0] * 5
    # Unseen windows are kept and do not move the mean, which is 2.
    scores = np.array([1, 3, INF, np.nan], dtype=np.float32)
    assert infobatch_select(scores, 0.99, rng, "original").indices.tolist() == [1, 2, 3]
    assert len(infobatch_select(scores, 0.5, rng, "exact").indices) == 2
    # A budget below the above-mean windows draws from all.
    scores = np.array([0, 5, 5, 5, 5, 5, 5, 5, 5, 5], dtype=np.float32)
    chosen = infobatch_select(scores, 0.7, rng, "exact")
    assert chosen.weights.tolist() == pytest.approx([10 / 3] * 3)


@given(
    scores=npst.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 10, width=32)),
    ratio=st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 0.99]),
)
def test_exact_weights_stand_for_all_windows(scores, ratio):
    chosen = infobatch_select(scores, ratio, np.random.default_rng(0), "exact")
    assert len(np.unique(chosen.indices)) == budget(len(scores), 1 - ratio)
    below = scores < scores.mean(dtype=np.float64)
    if len(chosen.indices) != np.count_nonzero(~below):
        assert chosen.weights.sum() == pytest.approx(len(scores), rel=1e-5)


def test_the_original_rule_is_planned_from_what_it_has_seen():
    pruner = InfoBatch(PruningContext(100, 8, 0.5, 0), InfoBatch.Options(budget="original"))
    assert pruner.epoch_windows(1, 8) == 75
    show(pruner, list(range(100)), [11.0] * 20 + [1.0] * 80)
    assert pruner.epoch_windows(1, 8) == len(pruner.select(1).indices) == 60


def test_errors_are_remembered_masked():
    errors = torch.tensor([[[2.0, 0.0]], [[4.0, 6.0]]])
    mask = torch.tensor([[[True, False]], [[True, True]]])
    for kind, name, last in ((InfoBatch, "scores", 5.0), (UCB, "means", 3.5)):
        pruner: Pruner = kind(PruningContext(3, 8, 0.5, 0), kind.Options())
        pruner.observe(torch.tensor([2, 0]), errors, mask)
        assert pruner.window_state[name].tolist() == [5.0, INF, 2.0]
        pruner.observe(torch.tensor([2]), errors[1:], mask[1:])
        assert pruner.window_state[name].tolist() == [5.0, INF, last]
    assert pruner.window_state["visits"].tolist() == [1, 0, 2]


@pytest.mark.parametrize(("exploration", "distinct"), [(0.0, 2), (3.0, 6)])
def test_upper_bounds_by_hand_bring_every_window_back(exploration, distinct):
    means, visits = np.array([1.0, 3.0, INF], np.float32), np.array([4.0, 1.0, 0.0], np.float32)
    bounds = upper_bounds(means, visits, rounds=4, exploration=2.0)
    # The standard deviation of the seen means, 1 and 3, is 1.
    expected = [1 + 2 * math.sqrt(math.log(5) / 4), 3 + 2 * math.sqrt(math.log(5)), INF]
    assert bounds.tolist() == pytest.approx(expected)
    assert np.isinf(upper_bounds(means, np.zeros(3, np.float32), 1, 1.0)).all()
    # Without exploration two of six windows are kept for ever.
    pruner, kept = UCB(PruningContext(6, 40, 2 / 3, 0), UCB.Options(exploration=exploration)), set()
    show(pruner, list(range(6)), torch.arange(1.0, 7.0))
    for epoch in range(1, 12):
        windows = pruner.select(epoch).indices
        kept |= set(windows.tolist())
        show(pruner, windows.tolist(), torch.from_numpy(windows + 1.0))
    assert len(kept) == distinct


MEANS = [1, 9, 3, 8, 5, 7, 2, 6, 4, 0]


def test_epsilon_greedy_by_hand_and_by_frequency():
    def epsilon_greedy(epsilon: float, means: list[int]) -> EpsilonGreedy:
        context = PruningContext(len(means), 16, 0.6, 0)
        pruner = EpsilonGreedy(context, EpsilonGreedy.Options(epsilon=epsilon))
        show(pruner, list(range(len(means))), means)
        return pruner

    assert epsilon_greedy(0.0, MEANS).select(1).indices.tolist() == [1, 3, 5, 7]
    assert epsilon_greedy(0.0, [2, 2, 2, 3, 0]).select(1).indices.tolist() == [0, 3]
    unseen = EpsilonGreedy(PruningContext(3, 16, 0.7, 0), EpsilonGreedy.Options(epsilon=0.0))
    show(unseen, [0, 1], torch.tensor([4.0, 9.0]))
    assert unseen.select(1).indices.tolist() == [2]
    pruner, counts = epsilon_greedy(0.5, MEANS), np.zeros(10)
    for _ in range(2000):
        counts[pruner.select(1).indices] += 1
    assert counts[[1, 3]].tolist() == [2000, 2000]
    # Two of eight; four standard errors.
    others = np.delete(counts, [1, 3]) / 2000
    assert np.abs(others - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 2000)


@given(windows=st.integers(1, 30), ratio=st.sampled_from([0.3, 0.5, 0.9]), seed=st.integers(0, 9))
def test_rs2_visits_every_window_before_any_twice(windows, ratio, seed):
    pruner, visits = RS2(PruningContext(windows, 9, ratio, seed), RS2.Options()), np.zeros(windows)
    for epoch in range(9):
        kept = pruner.select(epoch).indices
        assert len(np.unique(kept)) == len(kept) == pruner.epoch_windows(epoch, 9)
        visits[kept] += 1
        show(pruner, kept.tolist(), 1.0)
        assert visits.max() - visits.min() <= 1


LOSSES = np.array([1, 1.1, 5, 5.1, 9, 9.1, np.inf, np.nan], np.float32)


def test_seta_by_hand():
    assert loss_clusters(LOSSES, 3).tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    assert loss_clusters(np.ones(4, np.float32), 10).tolist() == [0] * 4
    assert loss_clusters(np.full(2, np.nan, np.float32), 10).tolist() == [0, 0]
    # Two of four clusters: 0 and 1, 1 and 2, 2 and 3, then again from the easiest.
    clusters = np.arange(4)
    reached = [np.flatnonzero(out_of_reach(clusters, e, 0.5) == 0).tolist() for e in range(4)]
    assert reached == [[0, 1], [1, 2], [2, 3], [0, 1]]
    assert out_of_reach(clusters, 0, 0.25).tolist() == [0, 1, 2, 3]
    # One of three clusters holds four of eight windows: with K = 5 one of the next comes along.
    context = PruningContext(8, 16, 0.375, 0)
    pruner = SeTa(context, SeTa.Options(clusters=3, reach=0.3))
    show(pruner, list(range(8)), LOSSES)
    kept = pruner.select(2).indices
    assert len(kept) == 5
    assert set(kept[-4:]) == {4, 5, 6, 7}
    assert kept[0] in (2, 3)


def test_seta_as_published_draws_first_and_never_returns_to_all():
    context = PruningContext(100, 16, 0.5, 0)
    pruner = SeTa(context, SeTa.Options(budget="original", clusters=4))
    show(pruner, list(range(100)), torch.arange(100.0))
    assert len(pruner.select(0).indices) == 100
    pruned = pruner.select(3)
    # Two of four clusters of about 50 windows.
    assert 10 < len(pruned.indices) < 40
    assert np.ptp(pruned.indices) < 75
    assert pruner.epoch_windows(3, 16) == 25
    assert len(pruner.select(15).indices) == pruner.epoch_windows(15, 16) == 50


def test_repb_by_hand():
    # Two sequences with means 2 and 20; one window was not visited, one has no finite loss.
    losses = np.array([1, 3, 10, 30, 99, np.nan], np.float32)
    found = informative(losses, np.array([0, 0, 1, 1, -1, 1]))
    assert found.tolist() == [False, True, False, True, False, True]
    assert not informative(losses, np.full(6, -1)).any()

    # In batches of two windows: sequences of one batch have the means 2 and 20, of two 11.
    for batches, first in ((1, {1, 3}), (2, {3})):
        pruner = RePB(PruningContext(8, 16, 0.5, 0), RePB.Options(batches=batches))
        show(pruner, list(range(8)), 1.0)
        pruner.select(1)
        for windows, errors in (([0, 1], [1.0, 3.0]), ([2, 3], [10.0, 30.0])):
            show(pruner, windows, errors)
        # Visited twice in two epochs, or once: in the third they weigh 3 / 3 or 3 / 2.
        chosen = pruner.select(2)
        assert first <= set(chosen.indices.tolist())
        ratio = np.where(chosen.indices < 4, 1.0, 1.5)
        np.testing.assert_allclose(chosen.weights, ratio / ratio.mean(), rtol=1e-6)
