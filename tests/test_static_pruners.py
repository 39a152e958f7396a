"""Static rivals by hand and against plain forms, and the scoring models that they look at."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scripted_probe import ScriptedProbe
from torch import Tensor, nn
from toy_runs import key_of

from baselines.craig import Craig
from baselines.el2n import EL2N, error_norm
from baselines.forgetting import Forgetting, ForgettingOptions, forgetting_events
from baselines.glister import Glister, GlisterOptions
from baselines.gradmatch import GradMatch, pick_atoms
from baselines.grand import GraNd
from baselines.herding import Herding
from baselines.k_center import KCenter
from stprune.base.errors import DeclinedError
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.dataset import ForecastData
from stprune.pruning.base import PruningContext, absolute_errors, window_mae
from stprune.pruning.probe import last_layer_gradients, sign_projection
from stprune.pruning.static import BlockOptions, BlockPruner, ScoringOptions, keep_highest
from stprune.training.scoring import ModelProbe

Rows = NDArray[np.float64]


def kept(kind: Any, probe: ScriptedProbe, windows: int, ratio: float, options: Any) -> list[int]:
    """Windows of a pruner after preparation, the same in each epoch."""
    pruner = kind(PruningContext(windows, 4, ratio, 7), options)
    pruner.prepare(probe)
    chosen: list[list[int]] = [pruner.select(epoch).indices.tolist() for epoch in range(4)]
    assert chosen == chosen[:1] * 4
    return chosen[0]


class FirstRows(BlockPruner):
    """Keeps the first rows of each block, each weighing what it holds."""

    @staticmethod
    def pick(rows: Rows, size: int) -> tuple[NDArray[np.int64], Rows]:
        return np.arange(size)[::-1], rows[:size, 0][::-1]


@pytest.mark.parametrize("windows", [1, 2, 7, 40])
@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_share_the_budget_exactly_and_evenly_over_time(windows, block):
    # Blocks start at 0, 3 and 6; of 5 places 1, 2 and 2 end by them.
    pruner = FirstRows(PruningContext(10, 4, 0.5, 0), BlockOptions(block=4))
    pruner.prepare(ScriptedProbe(training=[torch.arange(1.0, 11.0)[:, None]]))
    assert pruner.select(0).indices.tolist() == [0, 3, 4, 6, 7]
    assert pruner.select(0).weights.tolist() == [1, 4, 5, 7, 8]
    for size in range(1, windows + 1):
        probe = ScriptedProbe(training=[torch.ones(windows, 2)])
        options = BlockOptions(block=block)
        assert len(kept(FirstRows, probe, windows, 1 - size / windows, options)) == size


def test_ties_go_to_the_earlier_window_or_to_chance():
    scores = np.array([1.0, 2.0, 2.0, 2.0])
    assert keep_highest(scores, 2).indices.tolist() == [1, 2]
    rng = np.random.default_rng(0)
    assert {tuple(keep_highest(scores, 1, rng).indices) for _ in range(50)} == {(1,), (2,), (3,)}


def test_the_error_norm_is_a_masked_root_mean_square():
    errors = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[[True, True], [True, True]], [[True, False], [False, False]]])
    # sqrt(25 / 4) and sqrt(9 / 1).
    assert error_norm(errors, mask).tolist() == [2.5, 3.0]
    assert error_norm(errors * 0, torch.zeros_like(mask)).tolist() == [0.0, 0.0]


# Norms 5, 6, 1.4, 5.7; then 9, 0, 1.4, 0.
FIRST = torch.tensor([[3.0, 4.0], [0.0, 6.0], [1.0, 1.0], [4.0, 4.0]])
SECOND = torch.tensor([[9.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("kind", "models", "one", "both"),
    [
        (EL2N, {"errors": [[1.0, 5.0, 2.0, 4.0], [9.0, 1.0, 0.0, 0.0]]}, [1, 3], [0, 1]),
        (GraNd, {"training": [FIRST, SECOND]}, [1, 3], [0, 1]),
    ],
)
def test_largest_norms(kind, models, one, both):
    probe = ScriptedProbe(**models)
    assert kept(kind, probe, 4, 0.5, ScoringOptions(scoring_epochs=3)) == one
    assert [(epochs, width) for epochs, _, width in probe.calls] == [(3, None)]
    probe = ScriptedProbe(**models)
    assert kept(kind, probe, 4, 0.5, ScoringOptions(scoring_seeds=2)) == both
    seeds = {seed for _, seed, _ in probe.calls}
    assert len(seeds) == 2
    assert 7 not in seeds


ERRORS = np.array(
    [
        # falls, up and down, rises, forgotten once
        [9.0, 5.0, 1.0, 4.0],
        [8.0, 4.0, 2.0, 3.0],  # medians of earlier errors: 9, 5, 1, 4
        [7.0, 6.0, 3.0, 2.0],  # 8.5, 4.5, 1.5, 3.5
        [6.0, 4.0, 4.0, 9.0],  # 8, 5, 2, 3
        [5.0, 9.0, 5.0, 9.0],  # 7.5, 4.5, 2.5, 3.5
    ],
    dtype=np.float32,
)


def test_forgetting_events_by_hand():
    # The second is forgotten in epochs 2 and 4; the third never was learned: 5.
    assert forgetting_events(ERRORS).tolist() == [0, 2, 5, 1]
    probe = ScriptedProbe(errors=ERRORS.tolist())
    assert kept(Forgetting, probe, 4, 0.5, ForgettingOptions(scoring_epochs=5)) == [1, 2]


def test_herding_by_hand_and_in_blocks():
    # The mean is 3. Lack 3: takes 8. Lack 3 + 3 - 8 = -2: takes 0. Lack 1: takes 3.
    chosen, weights = Herding.pick(np.array([[0.0], [1.0], [3.0], [8.0]]), 3)
    assert (chosen.tolist(), weights.tolist()) == ([3, 0, 2], [1, 1, 1])
    values = torch.tensor([[0.0], [1.0], [3.0], [8.0], [8.0], [3.0], [1.0], [0.0]])
    options = BlockOptions(block=4, width=1)
    assert kept(Herding, ScriptedProbe(training=[values]), 8, 0.5, options) == [0, 3, 4, 7]


def test_k_center_by_hand_and_within_twice_the_best_radius():
    rows = np.array([[0.0], [2.0], [4.5], [5.0], [10.0]])
    # The mean is 4.3: begins at 4.5; 10 is 5.5 away, 0 then 4.5, 2 then 2.
    assert KCenter.pick(rows, 4)[0].tolist() == [2, 4, 0, 1]
    rng = np.random.default_rng(0)

    def radius(rows: Rows, chosen: Any) -> float:
        distance = np.linalg.norm(rows[:, None] - rows[list(chosen)], axis=2)
        return float(distance.min(1).max())

    for _ in range(10):
        rows = rng.normal(size=(12, 2))
        best = min(radius(rows, chosen) for chosen in itertools.combinations(range(12), 3))
        assert radius(rows, KCenter.pick(rows, 3)[0]) <= 2 * best + 1e-6
    copies = ScriptedProbe(training=[torch.ones(6, 3)])
    assert len(kept(KCenter, copies, 6, 0.5, BlockOptions())) == 3
    # Without pruning nothing is trained.
    assert kept(KCenter, ScriptedProbe(), 4, 0.0, BlockOptions()) == [0, 1, 2, 3]


def test_craig_by_hand_and_against_a_plain_loop():
    line = [[0.0], [1.0], [2.0], [10.0], [11.0]]
    # Sums of distances are 24, 21, 20, 28, 32: begins at 2. Then 10 saves 8 + 8 for itself and
    # 11; 11 saves as much, 7 + 9, but comes later.
    chosen, sizes = Craig.pick(np.array(line), 2)
    assert (chosen.tolist(), sizes.tolist()) == ([2, 3], [3, 2])
    for scale, weights in (("sum", [3, 2]), ("mean", [1.2, 0.8])):
        pruner = Craig(PruningContext(5, 4, 0.6, 0), Craig.Options(loss_scale=scale))
        pruner.prepare(ScriptedProbe(training=[torch.tensor(line)]))
        assert pruner.select(2).weights.tolist() == pytest.approx(weights)
    # Against a plain loop.
    rows = np.random.default_rng(1).normal(size=(15, 3))
    distance = np.linalg.norm(rows[:, None] - rows, axis=2)
    expected: list[int] = []
    for _ in range(6):
        rest = [row for row in range(15) if row not in expected]
        costs = {row: distance[:, [*expected, row]].min(1).sum() for row in rest}
        expected.append(min(costs, key=lambda row: costs[row]))
    chosen, sizes = Craig.pick(rows, 6)
    assert chosen.tolist() == expected
    assert sizes.tolist() == np.bincount(distance[:, expected].argmin(1)).tolist()


def match(rows: Any, size: int, penalty: float, least: float) -> Any:
    options = GradMatch.Options(regularisation=penalty, least_weight=least)
    return GradMatch(PruningContext(len(rows), 4, 0.5, 0), options).pick(np.array(rows), size)


def test_gradmatch_by_hand():
    # The sum is (4, 2), the mean squared norm 20 / 3, so the penalty 2. The rows are orthogonal:
    # each weight is g.b / (g.g + 2).
    chosen, weights = match([[4.0, 0.0], [0.0, 0.0], [0.0, 2.0]], 2, 0.3, 0.01)
    assert chosen.tolist() == [0, 2]
    assert weights.tolist() == pytest.approx([16 / 18, 4 / 6])
    # A window without weight is kept with the least; the mean of (w, w, 0) is 2 w / 3.
    chosen, weights = match([[1.0], [1.0], [-0.5]], 3, 0.1, 0.2)
    by_row = dict(zip(chosen.tolist(), weights, strict=True))
    assert by_row[0] == pytest.approx(by_row[1])
    assert by_row[2] == pytest.approx(0.2 * 2 / 3 * by_row[0])
    for value in (0.0, 1.0):
        _, weights = match([[value, value]] * 6, 3, 1.0, 0.01)
        assert weights / weights.mean() == pytest.approx([1, 1, 1])


def test_atoms_are_those_of_ridge_regression_done_in_full():
    rows = np.random.default_rng(0).normal(size=(30, 4)) + 0.3
    target, penalty = rows.sum(0), 5.0
    expected: list[int] = []
    residual = target
    for _ in range(12):
        products = rows @ residual
        products[expected] = -np.inf
        expected.append(int(np.argmax(products)))
        atoms = rows[expected]
        weights = np.linalg.solve(atoms @ atoms.T + penalty * np.eye(len(expected)), atoms @ target)
        residual = target - weights @ atoms
    assert pick_atoms(rows, 12, penalty).tolist() == expected


# Mean squared norm 1, so nothing is rescaled.
TRAINING = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
# The mean is (1, 0.5), and F is [[1, 0.5], [0.5, 0.5]].
VALIDATION = torch.tensor([[1.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("size", "rounds", "step", "rows"),
    [
        # Gains are 1, 1, .5, -.5, -1. After row 0 the gradient is (1, .5) - (1, .5) = 0: row 1 is
        # the earliest of equals. After it, (-1, -.5): row 4.
        (1, 1, 1.0, [0]),
        (2, 2, 1.0, [0, 1]),
        (3, 3, 1.0, [0, 1, 4]),
        # Without steps the best aligned are kept.
        (3, 50, 0.0, [0, 1, 2]),
    ],
)
def test_glister_by_hand(size, rounds, step, rows):
    options = GlisterOptions(rounds=rounds, step=step)
    for scale in (1, 8):  # the scale of the loss does not matter
        probe = ScriptedProbe(training=[scale * TRAINING], validation=scale * VALIDATION)
        assert kept(Glister, probe, 5, 1 - size / 5, options) == rows


def test_glister_matches_the_validation_windows():
    down = torch.tensor([[0.0, -1.0]])
    probe = ScriptedProbe(training=[TRAINING], validation=down)
    options = GlisterOptions(width=2, scoring_epochs=3)
    assert kept(Glister, probe, 5, 0.8, options) == [3]
    assert [(epochs, width) for epochs, _, width in probe.calls] == [(3, 2)]


# What a scoring model shows


@pytest.fixture
def probe(toy_values: dict[str, Any], toy_forecast: ForecastData) -> ModelProbe:
    config = parse_config(toy_values, "the toy configuration")
    return ModelProbe(run_spec(config, key_of("st_prune", 0.5)), toy_forecast)


def test_gradients_are_of_each_window_alone(probe, toy_forecast):
    store, gradients = toy_forecast.train, probe.gradients(1, 5, None)
    found = torch.zeros(len(store), 12 * 25)
    for indices, values in gradients.training:
        found[indices] = values
    network: Any = probe._trained(1, 5).network.eval()
    for window in (0, 90, 288):
        batch = store.gather(torch.tensor([window]))
        forecast = network(batch.inputs, batch.time_of_day, batch.day_of_week)
        errors = absolute_errors(store.scaler.restore(forecast), batch.targets, batch.mask)
        loss = window_mae(errors, batch.mask).sum()
        weight, bias = torch.autograd.grad(
            loss, [network.regression.weight, network.regression.bias]
        )
        expected = torch.cat([weight.flatten(), bias])
        torch.testing.assert_close(found[window], expected, rtol=1e-4, atol=1e-5)
    assert sum(len(part) for part in gradients.validation) == len(toy_forecast.validation)


def test_a_projection_is_of_the_whole_gradients_and_keeps_distances(probe):
    whole = torch.cat([values for _, values in probe.gradients(1, 5, None).training])
    short = torch.cat([values for _, values in probe.gradients(1, 5, 16).training])
    torch.testing.assert_close(short, whole @ sign_projection(whole.shape[1], 16, 5))
    vectors = torch.randn(50, 300, generator=torch.Generator().manual_seed(0))
    ratio = torch.pdist(vectors @ sign_projection(300, 4096, seed=1)) / torch.pdist(vectors)
    assert (ratio - 1).abs().max() < 0.06  # about five standard errors, 1 / root(2 width)


def test_scoring_has_its_epochs(toy_values, toy_forecast):
    """Whatever the budget of the run; none is validated, which would count as preparation."""
    toy_values["training"]["budget"] = "total_time"
    spec = run_spec(parse_config(toy_values, "the toy configuration"), key_of("st_prune", 0.5))
    engine = ModelProbe(spec, toy_forecast)._trained(4, 5)
    assert (engine.budget.kind, engine.planned_epochs) == ("epochs", 5)
    assert [record.validation_mae for record in engine.records] == [None] * 4


def test_watching_shows_every_window(probe, toy_forecast):
    shown: list[Tensor] = []

    def note(indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        assert errors.shape == mask.shape == (len(indices), 12, 8)
        shown.append(torch.stack([indices, window_mae(errors, mask)], 1))

    probe.watch(3, 5, note)
    windows = len(toy_forecast.train)
    epochs = torch.cat(shown).view(3, windows, 2)
    assert epochs[:, :, 0].sort(1).values.tolist() == [list(range(windows))] * 3
    assert epochs[2, :, 1].mean() < epochs[0, :, 1].mean()


def test_a_network_without_a_linear_layer_is_declined():
    network = nn.Conv1d(2, 1, 1)
    with pytest.raises(DeclinedError, match=r"nn\.Linear"):
        last_layer_gradients(network, lambda: network(torch.ones(3, 2, 4)).sum((1, 2)), 3)
    mixing = nn.Linear(2, 1)
    with pytest.raises(DeclinedError, match="first dimension"):
        last_layer_gradients(mixing, lambda: mixing(torch.ones(6, 2)).view(3, 2).sum(1), 3)
