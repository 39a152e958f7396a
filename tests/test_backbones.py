"""Single backbones and layers: sizes, graphs, refusals, dropout, forecasts without weights."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_backbone_oracles import PER_DAY, STAEFORMER, STTN, a_graph, build
from torch import Tensor
from toy import canonical

from stprune.backbones import geometric_temporal
from stprune.backbones.base import BACKBONES, Backbone, ForecastTask, parameter_count
from stprune.backbones.layers.dropout import DRAW_BITS, Dropout
from stprune.backbones.layers.graph import GraphProduct, scaled_laplacian
from stprune.backbones.opencity import attend
from stprune.base.errors import ConfigError, DataError, DeclinedError
from stprune.base.schema import validate
from stprune.data.dataset import forecast_data
from stprune.data.windows import Scaler, WindowStore


@pytest.mark.parametrize(
    "name", ["astgcn", "dcrnn", "gwnet", "opencity", "stgcn", "sttn", "geometric_temporal"]
)
def test_a_graph_with_a_weight_that_is_none_is_refused_with_its_place(name):
    backbone_class = BACKBONES.load(name)
    # ASTGCN asks only where edges are.
    for weight in (-0.5, torch.nan)[: 1 if name == "astgcn" else 2]:
        graph = torch.ones(3, 3)
        graph[1, 2] = weight
        with pytest.raises(DataError, match=r"row 1, column 2"):
            backbone_class(ForecastTask(3, 12, 4, 1, 0, PER_DAY, graph), backbone_class.Options())


@pytest.mark.parametrize(
    ("name", "options", "history", "horizon"),
    [
        ("stgcn", {}, 8, 4),
        ("staeformer", STAEFORMER | {"heads": 5}, 12, 4),
        ("sttn", STTN | {"heads": 4}, 12, 4),
        ("geometric_temporal", {}, 1, 4),
        ("opencity", {"head": "next_day"}, 12, 12),  # no day
        ("opencity", {"head": "next_day", "patches": 5}, PER_DAY, PER_DAY),  # of no equal length
        ("opencity", {}, 300, 12),  # patches of 13 steps
        ("opencity", {"width": 40}, 12, 12),  # for 16 heads
        ("opencity", {"width": 3, "heads": 1}, 12, 12),  # an odd width
    ],
)
def test_declines_what_it_cannot_do(name, options, history, horizon):
    with pytest.raises(DeclinedError, match=name):
        build(name, options, history=history, horizon=horizon)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="kernel"):
        validate(BACKBONES.load("dlinear").Options, {"kernel": 4}, "here")


def next_day(per_day: int) -> Any:
    task = ForecastTask(4, per_day, per_day, 1, 0, per_day, a_graph(4).float())
    backbone_class: Any = BACKBONES.load("opencity")
    return backbone_class(task, backbone_class.Options(head="next_day", width=16, layers=1))


@pytest.mark.parametrize(("per_day", "steps"), [(288, 12), (48, 2), (24, 1)])
def test_one_set_of_weights_for_every_step_length(per_day, steps):
    """A day is 24 patches at 5, 10, 30 or 60 minutes, and the state always fits."""
    model = next_day(per_day)
    model.load_state_dict(next_day(288).state_dict())
    assert (model.patches, model.steps) == (24, steps)
    batch = torch.randn(2, per_day, 4, 1), *torch.zeros(2, 2, per_day, dtype=torch.int64)
    assert model(*batch).shape == (2, per_day, 4)


def test_attention_drops_its_share_and_makes_up_for_it():
    """Values are unit vectors, so that the result is the attention matrix itself."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 40, 2, 16, 16, generator=generator, dtype=torch.float64)
    value = torch.eye(16, dtype=torch.float64).expand_as(query)
    whole = attend(query, key, value, 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = attend(query, key, value, 0.25)
        torch.manual_seed(0)
        assert torch.equal(dropped, attend(query, key, value, 0.25))
        assert not torch.equal(dropped, attend(query, key, value, 0.25))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.75, rtol=1e-9, atol=0)
    # 20480 draws: the standard deviation of the share is 0.003.
    assert abs(kept.double().mean() - 0.75) < 0.012


def test_says_how_to_install_the_package(monkeypatch):
    def missing(*_arguments: Any) -> None:
        raise ImportError("No module named 'torch_geometric_temporal'")

    monkeypatch.setattr(geometric_temporal, "import_geometric_temporal", missing)
    with pytest.raises(DeclinedError, match="pip install --no-deps torch-geometric-temporal"):
        build("geometric_temporal", {"layer": "tgcn"})


# Nodes and steps a day.
DATA = {"pems03": (358, 288), "pems04": (307, 288), "pems07": (883, 288), "pems08": (170, 288)}
DATA["urban_ev"] = (275, 24)
# From the logs of ST-TTC (NeurIPS 2025), which uses the models of LargeST: 12 steps from 12, inputs
# value, time of day and weekday. In the order of DATA; 0 where there is no log.
LOGGED = {
    "gwnet": (304_004, 302_984, 314_504, 300_244, 302_344),
    "stgcn": (324_236, 298_124, 593_036, 227_980, 281_740),
    "stid": (0, 0, 0, 0, 67_788),
    "staeformer": (0, 0, 0, 1_223_460, 1_317_924),
    "stnorm": (301_100, 274_988, 569_900, 204_844, 258_604),
    "sttn": (90_828, 87_564, 124_428, 78_796, 85_516),
}


def opencity_size(width: int, layers: int) -> int:
    """Published are 1.67, 4.72 and 25.97 millions."""
    embeddings = 1441 * width // 2 + 8 * width // 2 + (8 * width + width) + 12 * width
    head = 24 * width * 288 + 288
    attentions = 6 * (width * width + width)
    graph = width * width + (width * width + width)
    perceptron = 3 * width * 2 * width
    return embeddings + head + layers * (attentions + graph + perceptron + 4 * width)


SIZES: list[tuple[str, int, int, dict[str, Any], int]] = [
    *(
        (name, *size, {}, count)
        for name, counts in LOGGED.items()
        for size, count in zip(DATA.values(), counts, strict=True)
        if count
    ),
    # 748 810: the official model of PEMS04, whose only input is the value.
    ("agcrn", 307, 288, {"calendar": False}, 748_810),
    # LargeST's count; 371 392 below: the official code with one input channel (2020).
    ("astgcn", 170, 288, {}, 180_336),
    ("dcrnn", 87, 288, {"calendar": False}, 371_392),
    ("dlinear", 50, 288, {}, 2 * (12 * 12 + 12)),
    # LargeST prints 98K.
    ("lstm", 60, 288, {}, 97_932),
    # METR-LA and PEMS-BAY with the official code; our weekday is one more input.
    ("opencity", 4, 288, {"size": "mini", "head": "next_day"}, opencity_size(128, 3)),
    ("opencity", 4, 288, {"size": "base", "head": "next_day"}, opencity_size(256, 3)),
    ("opencity", 4, 288, {"size": "plus", "head": "next_day"}, opencity_size(512, 6)),
]


@pytest.mark.parametrize(("name", "nodes", "per_day", "options", "count"), SIZES)
def test_parameters_as_published(name, nodes, per_day, options, count):
    steps = per_day if options.get("head") == "next_day" else 12
    task = ForecastTask(nodes, steps, steps, 1, 0, per_day, torch.eye(nodes).roll(1, dims=1))
    backbone_class = BACKBONES.load(name)
    model = backbone_class(task, backbone_class.Options.model_validate(options))
    assert parameter_count(model) == count


def test_scaled_laplacian_is_the_same_each_time():
    """The eigenvalue solver must not start at random, or two runs would differ in a last bit."""
    adjacency = torch.rand(50, 50, generator=torch.Generator().manual_seed(0)).double()
    first = scaled_laplacian(adjacency)
    assert all(torch.equal(scaled_laplacian(adjacency), first) for _ in range(5))


def a_matrix(rows: int, columns: int, fill: float) -> Tensor:
    """Exactly ``fill`` of the entries are not zero; the first row is empty."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.zeros(rows, columns, dtype=torch.float64)
    where = columns + torch.randperm((rows - 1) * columns, generator=generator)
    chosen = where[: round(fill * rows * columns)]
    weights = 0.5 + torch.rand(len(chosen), generator=generator, dtype=torch.float64)
    matrix.view(-1)[chosen] = weights
    return matrix


@pytest.mark.parametrize(
    ("fill", "sparse"), [(0.0, True), (0.02, True), (0.1, True), (0.11, False)]
)
def test_product_and_gradient_are_those_of_the_matrix(fill, sparse):
    matrix = a_matrix(20, 10, fill)
    product = GraphProduct(matrix)
    assert product.sparse == sparse
    values = torch.randn(10, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values.requires_grad_()
    pull = torch.linspace(-1, 1, 140, dtype=torch.float64).view(20, 7)
    result = product(values)
    torch.testing.assert_close(result, matrix @ values, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(result, values, pull)
    torch.testing.assert_close(gradient, matrix.T @ pull, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fill", [0.0, 0.1])
def test_values_may_be_a_view_or_narrower(fill):
    """As under autocast: the product is in the matrix's precision, the gradient in theirs."""
    matrix = a_matrix(20, 10, fill).float()
    values = torch.randn(7, 10, generator=torch.Generator().manual_seed(1))
    product = GraphProduct(matrix)
    torch.testing.assert_close(product(values.T), matrix @ values.T)
    narrow = values.T.to(torch.bfloat16).requires_grad_()
    result = product(narrow)
    torch.testing.assert_close(result, matrix @ narrow.float())
    result.sum().backward()
    assert narrow.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5])
def test_dropout_meets_its_share_and_draws_each_value_for_itself(share):
    """Four values share a random number: neighbours agree no more often than chance has it."""
    values = torch.full((250_000, 4), 2.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = Dropout(share)(values)
    realised = (dropped == 0).double().mean().item()
    # Five standard deviations.
    assert realised == pytest.approx(share, abs=5 * (share * (1 - share) / values.numel()) ** 0.5)
    kept = 1 - round(share * 2**DRAW_BITS) / 2**DRAW_BITS
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 2.0 / kept]))
    correlation = torch.corrcoef((dropped != 0).double().T) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 0.01


# Forecasts without weights


def average(store: WindowStore, per_day: int, days: str = "weekend") -> Backbone:
    nodes = store.series.shape[1]
    backbone_class = BACKBONES.load("historical_average")
    task = ForecastTask(
        nodes, store.history, store.horizon, 1, store.target_channel, per_day, torch.eye(nodes)
    )
    return backbone_class(task, backbone_class.Options(days=days))


def plain_forecast(store: WindowStore, days: str, slot: int, weekday: int) -> NDArray[np.float64]:
    """Mean of each node at a slot and weekday, in real units, by loops over windows and steps."""
    steps = {int(s) + store.history + h for s in store.starts for h in range(store.horizon)}
    kinds = {"same": lambda _: 0, "weekend": lambda d: int(d >= 5), "weekday": lambda d: int(d)}
    kind = kinds[days]
    seen = []
    for s in sorted(steps):
        cell = int(store.time_of_day[s]), kind(store.day_of_week[s])
        for node, value in enumerate(store.series[s, :, store.target_channel].tolist()):
            if store.target_mask is None or store.target_mask[s, node]:
                seen.append((node, *cell, value))
    means = []
    for node in range(store.series.shape[1]):
        pools = [
            [v for n, t, k, v in seen if (n, t, k) == (node, slot, kind(weekday))],
            [v for n, t, _, v in seen if (n, t) == (node, slot)],
            [v for n, _, _, v in seen if n == node],
            [v for *_, v in seen],
        ]
        means.append(np.mean(next(pool for pool in pools if pool)))
    return np.array(means)


def a_store(window_stride: int) -> WindowStore:
    """Five weeks of six-hourly values with gaps, a node seen twice, and one never."""
    rng = np.random.default_rng(0)
    series = rng.normal(50.0, 10.0, (140, 4, 2)).astype(np.float32)
    mask = rng.random(series.shape) > 0.3
    mask[:, 2] = False
    mask[[20, 30], 2] = True
    mask[:, 3, 1] = False
    data = canonical(series, mask, target_channel=1, step_minutes=360)
    return forecast_data(data, history=3, horizon=2, window_stride=window_stride).train


@pytest.mark.parametrize("days", ["same", "weekend", "weekday"])
@pytest.mark.parametrize("window_stride", [1, 9])
def test_every_slot_of_the_week_as_counted_by_hand(days, window_stride):
    store = a_store(window_stride)
    model = average(store, 4, days).double()
    model.fit(store)
    inputs = torch.zeros(1, 3, 4, 2, dtype=torch.float64)
    for weekday in range(7):
        for slot in range(4):
            last = torch.tensor([[0, 0, slot]]), torch.tensor([[0, 0, weekday]])
            forecast = store.scaler.restore(model(inputs, *last))[0]
            for step, ahead in enumerate(forecast.numpy(), start=1):
                then = weekday * 4 + slot + step
                expected = plain_forecast(store, days, then % 4, then // 4 % 7)
                np.testing.assert_allclose(ahead, expected, rtol=1e-6)


def steps_of(values: list[float], starts: list[int], mask: Tensor | None = None) -> WindowStore:
    """One node, two slots a day from a Monday on, history 1 and horizon 2."""
    steps = torch.arange(len(values))
    return WindowStore(
        series=torch.tensor(values)[:, None, None],
        target_mask=mask,
        time_of_day=steps % 2,
        day_of_week=steps // 2 % 7,
        history=1,
        horizon=2,
        target_channel=0,
        scaler=Scaler(torch.tensor([1.0]), torch.tensor([2.0]), 0),
        starts=torch.tensor(starts),
    )


def test_a_step_counts_once_and_only_as_a_target():
    """Windows 0, 1 and 4: targets are steps 1 to 3, 5 and 6; step 2 is in two of them."""
    store = steps_of([100.0, 1.0, 5.0, 3.0, 100.0, 8.0, 9.0, 100.0], [0, 1, 4])
    model = average(store, 2, "same")
    model.fit(store)
    # Slot 0: steps 2 and 6, mean 7; slot 1: steps 1, 3 and 5, mean 4; less 1, over 2.
    forecast = model(torch.zeros(1, 1, 1, 1), torch.tensor([[1]]), torch.tensor([[0]]))
    assert forecast.flatten().tolist() == [3.0, 1.5]
    # Without an observed target it says so.
    store = steps_of([1.0, 2.0, 3.0, 4.0], [0, 1], mask=torch.zeros(4, 1, dtype=torch.bool))
    with pytest.raises(DataError, match="historical_average"):
        average(store, 2).fit(store)


def test_last_value_repeats_the_last_step_of_the_target():
    inputs = torch.arange(24.0).reshape(2, 2, 3, 2)
    calendar = torch.zeros(2, 2, dtype=torch.int64)
    task = ForecastTask(3, 2, 4, 2, 1, 24, torch.eye(3))
    backbone_class = BACKBONES.load("last_value")
    model = backbone_class(task, backbone_class.Options())
    expected = torch.tensor([[7.0, 9.0, 11.0], [19.0, 21.0, 23.0]])
    assert torch.equal(model(inputs, calendar, calendar), expected[:, None].repeat(1, 4, 1))
