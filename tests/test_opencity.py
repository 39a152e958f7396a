"""OpenCity against its paper's equations; its published sizes; weights that move between cities."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_backbone_parity import PER_DAY, Batch, build, same_forecast_and_gradient
from torch import Tensor

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count
from stprune.backbones.layers import city_encoding
from stprune.backbones.layers.city_encoding import laplacian_places, mixing
from stprune.backbones.layers.patch_layers import attend
from stprune.base.errors import DataError, DeclinedError

Weights = dict[str, Tensor]
TINY = {"width": 8, "heads": 2, "layers": 2, "eigenvectors": 3}


def weights_of(model: Any) -> Weights:
    """Names of the plain version; the perceptron's two entries apart."""
    weights = {
        "patch": model.patch.weight,
        "minute": model.minute.weight,
        "weekday": model.weekday.weight,
        "place.w": model.place.weight,
        "place.b": model.place.bias,
        "head.w": model.head.weight,
        "head.b": model.head.bias,
    }
    for i, block in enumerate(model.blocks):
        for short, attention in (("tc", block.context), ("t", block.itself)):
            for part in ("query", "key", "value"):
                layer = getattr(attention, part)
                weights |= {
                    f"{i}.{short}.{part}.w": layer.weight,
                    f"{i}.{short}.{part}.b": layer.bias,
                }
            weights[f"{i}.{short}.norm"] = attention.norm.weight
        w1, w3 = block.perceptron.gates.weight.chunk(2)
        weights |= {
            f"{i}.norm1": block.before_attention.weight,
            f"{i}.norm2": block.before_perceptron.weight,
            f"{i}.graph.w": block.graph.neighbours.weight,
            f"{i}.mlp.w": block.graph.output.weight,
            f"{i}.mlp.b": block.graph.output.bias,
            f"{i}.w1": w1,
            f"{i}.w2": block.perceptron.output.weight,
            f"{i}.w3": w3,
        }
    return weights


def plain_mixing(adjacency: NDArray[np.float64], self_loops: bool) -> NDArray[np.float64]:
    weights = adjacency.copy()
    if self_loops:
        np.fill_diagonal(weights, 1.0)
    degree = weights.sum(axis=1)
    result = np.eye(len(weights))
    for i in range(len(weights)):
        for j in range(len(weights)):
            if weights[i, j] > 0:
                column = degree[j] if degree[j] > 0 else np.inf
                result[i, j] += weights[i, j] / math.sqrt(degree[i] * column)
    rows: NDArray[np.float64] = result.sum(axis=1, keepdims=True)
    return result / rows


def plain_places(adjacency: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    weights = np.maximum(adjacency, adjacency.T)
    np.fill_diagonal(weights, 0.0)
    degree = weights.sum(axis=1)
    nodes = len(weights)
    laplacian = np.eye(nodes)
    for i in range(nodes):
        for j in range(nodes):
            if weights[i, j] > 0:
                laplacian[i, j] -= weights[i, j] / math.sqrt(degree[i] * degree[j])
    values, vectors = np.linalg.eigh(laplacian)
    order = np.argsort(values)[(degree == 0).sum() + 1 :][:count]
    places = np.zeros((nodes, count))
    for column, index in enumerate(order):
        vector = vectors[:, index]
        places[:, column] = vector * np.sign(vector[np.abs(vector).argmax()])
    return places


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).mean() + 1e-6) * weight


def attention(
    query: list[Tensor], key: list[Tensor], value: list[Tensor], heads: int
) -> list[Tensor]:
    """Softmax attention of lists of patches, head by head."""
    size = len(query[0]) // heads
    result = []
    for q in query:
        parts = []
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            scores = torch.stack([(q[own] * k[own]).sum() / math.sqrt(size) for k in key])
            shares = torch.exp(scores) / torch.exp(scores).sum()
            parts.append(sum(s * v[own] for s, v in zip(shares, value, strict=True)))
        result.append(torch.cat(parts))
    return result


def plain(weights: Weights, batch: Batch, model: Any) -> Tensor:
    """One window at a time; (B, T, N, C) to (B, H, N)."""
    task, options = model.task, model.options
    per_day, history, horizon = task.steps_per_day, task.history, task.horizon
    length = math.ceil(history / options.patches)
    count = math.ceil(history / length)
    missing = length * count - history
    a = plain_mixing(task.adjacency.numpy(), options.self_loops)
    places = torch.from_numpy(plain_places(task.adjacency.numpy(), options.eigenvectors))
    width = weights["patch"].shape[0]
    position = torch.zeros(count, width, dtype=torch.float64)
    for p in range(count):
        for d in range(0, width, 2):
            position[p, d] = math.sin(p / 10000 ** (d / width))
            position[p, d + 1] = math.cos(p / 10000 ** (d / width))

    def linear(x: Tensor, name: str) -> Tensor:
        return weights[f"{name}.w"] @ x + weights[f"{name}.b"]

    def calendar(slot: int, weekday: int) -> Tensor:
        minute = (slot + 1) * 1440 // per_day
        return torch.cat([weights["minute"][minute], weights["weekday"][weekday + 1]])

    windows = []
    for x, slots, weekdays in zip(*batch, strict=True):
        mean = x.mean(dim=0)
        deviation = torch.sqrt(((x - mean) ** 2).mean(dim=0) + 1e-5)
        normal = (x - mean) / deviation
        nodes = range(x.shape[1])
        past, future = [], []
        for p in range(count):
            first = max(0, p * length - missing)
            past.append(calendar(int(slots[first]), int(weekdays[first])))
            slot = int(slots[-1]) + 1 + p * horizon // count
            future.append(calendar(slot % per_day, (int(weekdays[-1]) + slot // per_day) % 7))
        hidden: list[list[Tensor]] = []
        for n in nodes:
            patches = []
            for p in range(count):
                steps = [
                    normal[t, n] if t >= 0 else torch.zeros_like(normal[0, n])
                    for t in range(p * length - missing, (p + 1) * length - missing)
                ]
                steps += [torch.zeros_like(steps[0])] * (options.patch_steps - length)
                patches.append(weights["patch"] @ torch.cat(steps) + position[p])
            hidden.append(patches)
        for i in range(options.layers):
            attended = []
            for n in nodes:
                h = [rms_norm(v, weights[f"{i}.norm1"]) for v in hidden[n]]
                here = linear(places[n], "place")
                q = [linear(v + here, f"{i}.tc.query") for v in future]
                k = [linear(v + here, f"{i}.tc.key") for v in past]
                context = attention(q, k, [linear(v, f"{i}.tc.value") for v in h], options.heads)
                u = [
                    rms_norm(c + v, weights[f"{i}.tc.norm"])
                    for c, v in zip(context, h, strict=True)
                ]
                parts = [
                    [linear(v, f"{i}.t.{part}") for v in u] for part in ("query", "key", "value")
                ]
                q, k, values = parts
                itself = attention(q, k, values, options.heads)
                attended.append(
                    [
                        rms_norm(s + v, weights[f"{i}.t.norm"])
                        for s, v in zip(itself, u, strict=True)
                    ]
                )
            for n in nodes:
                for p in range(count):
                    around = sum(a[n, m] * attended[m][p] for m in nodes)
                    mixed = 0.05 * attended[n][p] + 0.95 * (weights[f"{i}.graph.w"] @ around)
                    x1 = hidden[n][p] + linear(mixed, f"{i}.mlp")
                    y = rms_norm(x1, weights[f"{i}.norm2"])
                    gate = weights[f"{i}.w1"] @ y
                    inner = gate * torch.sigmoid(gate) * (weights[f"{i}.w3"] @ y)
                    hidden[n][p] = x1 + weights[f"{i}.w2"] @ inner
        columns = []
        for n in nodes:
            forecast = linear(torch.cat(hidden[n]), "head")[:horizon]
            target = task.target_channel
            columns.append(forecast * deviation[n, target] + mean[n, target])
        windows.append(torch.stack(columns, dim=1))
    return torch.stack(windows)


DAY = {"history": PER_DAY, "horizon": PER_DAY}
CASES = pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ({"nodes": 4, "history": 6}, {"heads": 4}),
        ({"channels": 2, "horizon": 7}, {"patches": 4, "swiglu_ratio": 1.5}),
        ({"history": 7, "horizon": 1}, {"patches": 3, "self_loops": False}),
        ({"nodes": 3, "horizon": 30}, {"patches": 2, "eigenvectors": 8}),
        (DAY, {"head": "next_day", "patches": 4, "patch_steps": 6}),
        (DAY, {"head": "next_day", "patches": 6, "patch_steps": 5}),
    ],
    ids=[
        "a patch a step",
        "channels",
        "patches that do not fit",
        "few nodes",
        "day",
        "short patches",
    ],
)


@CASES
def test_as_published(sizes: dict[str, int], options: dict[str, Any]) -> None:
    model, batch = build("opencity", TINY | options, **sizes)
    expected = plain(weights_of(model), batch, model)
    same_forecast_and_gradient(model.eval()(*batch), expected, batch[0])


@CASES
def test_same_gradient_of_the_weights(sizes: dict[str, int], options: dict[str, Any]) -> None:
    model, batch = build("opencity", TINY | options, **sizes)
    unused = model.unused_parameters()
    used = [p for name, p in model.named_parameters() if name not in unused]
    mine = torch.autograd.grad(model.eval()(*batch).square().mean(), used)
    expected = plain(weights_of(model), batch, model).square().mean()
    for ours, theirs in zip(mine, torch.autograd.grad(expected, used), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_no_forecast_depends_on_a_key_s_bias() -> None:
    """The plain version adds it, as published; its gradient is nothing but rounding."""
    model, batch = build("opencity", TINY | {"patches": 3}, nodes=3)
    parameters = dict(model.named_parameters())
    unused = [parameters[name] for name in sorted(model.unused_parameters())]
    assert len(unused) == 4
    expected = plain(weights_of(model), batch, model).square().mean()
    for gradient in torch.autograd.grad(expected, unused):
        assert gradient.abs().max() < 1e-14


def test_gradients_are_those_of_the_forecast() -> None:
    options = {
        "width": 4,
        "heads": 2,
        "layers": 1,
        "eigenvectors": 1,
        "patches": 2,
        "patch_steps": 2,
    }
    model, (inputs, *calendar) = build("opencity", options, nodes=3, history=4, horizon=2)
    names, values = zip(*model.eval().named_parameters(), strict=True)

    def forecast(inputs: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        result: Tensor = torch.func.functional_call(model, state, (inputs, *calendar))
        return result

    # Of the minutes only those that occur; a table of 1441 rows has no other gradient.
    frozen = [
        v.detach().requires_grad_(n != "minute.weight") for n, v in zip(names, values, strict=True)
    ]
    inputs = inputs[:1]
    calendar = [part[:1] for part in calendar]
    assert torch.autograd.gradcheck(forecast, (inputs, *frozen))


def city(nodes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(nodes, nodes, generator=generator)
    return weights * (weights > 0.5)


def next_day(size: str, per_day: int = 288, nodes: int = 4, **options: Any) -> Any:
    task = ForecastTask(nodes, per_day, per_day, 1, 0, per_day, city(nodes))
    backbone_class: Any = BACKBONES.load("opencity")
    return backbone_class(task, backbone_class.Options(size=size, head="next_day", **options))


@pytest.mark.parametrize(
    ("size", "width", "layers", "millions"),
    [("mini", 128, 3, "1.67"), ("base", 256, 3, "4.72"), ("plus", 512, 6, "25.97")],
)
def test_parameters_as_published(size: str, width: int, layers: int, millions: str) -> None:
    embeddings = 1441 * width // 2 + 8 * width // 2 + (8 * width + width) + 12 * width
    head = 24 * width * 288 + 288
    attentions = 6 * (width * width + width)
    graph = width * width + (width * width + width)
    perceptron = 3 * width * 2 * width
    by_hand = embeddings + head + layers * (attentions + graph + perceptron + 4 * width)
    count = parameter_count(next_day(size))
    assert count == by_hand
    assert f"{count / 1e6:.2f}" == millions


@pytest.mark.parametrize(("per_day", "steps"), [(288, 12), (144, 6), (48, 2), (24, 1)])
def test_one_set_of_weights_for_every_step_length(per_day: int, steps: int) -> None:
    """A day is 24 patches at 5, 10, 30 or 60 minutes, and the state always fits."""
    options = {"width": 16, "layers": 1}
    model = next_day("mini", per_day, **options)
    model.load_state_dict(next_day("mini", **options).state_dict())
    assert (model.patches, model.steps) == (24, steps)
    batch = torch.randn(2, per_day, 4, 1), *torch.zeros(2, 2, per_day, dtype=torch.int64)
    assert model(*batch).shape == (2, per_day, 4)


def test_options_override_a_size() -> None:
    model = next_day("plus", width=32, layers=2)
    assert len(model.blocks) == 2
    assert model.head.in_features == 24 * 32
    assert next_day("base").head.in_features == 24 * 256


def declined(message: str, sizes: dict[str, int], **options: Any) -> None:
    shape = {"history": 12, "horizon": 12, "steps_per_day": 288} | sizes
    task = ForecastTask(4, channels=1, target_channel=0, adjacency=city(4), **shape)
    backbone_class = BACKBONES.load("opencity")
    with pytest.raises(DeclinedError, match=message):
        backbone_class(task, backbone_class.Options(**options))


def test_declines_what_it_cannot_do() -> None:
    declined(
        "a day has 288 steps, the history 12 and the horizon 12; take `head: short`",
        {},
        head="next_day",
    )
    odd = {"history": 36, "horizon": 36, "steps_per_day": 36}
    declined("in 24 patches of equal length, but a day has 36 steps", odd, head="next_day")
    minutely = {"history": 1440, "horizon": 1440, "steps_per_day": 1440}
    declined("of 1440 steps have 60 steps, more than `patch_steps: 12`", minutely, head="next_day")
    declined("of 300 steps have 13 steps, more than `patch_steps: 12`", {"history": 300})
    declined("a width of 40 cannot be shared by 16 heads", {}, width=40)
    declined("a width of 3 cannot be shared by 1 heads and halved", {}, width=3, heads=1)


def small(nodes: int = 5, seed: int = 0, **options: Any) -> Any:
    task = ForecastTask(nodes, 12, 12, 1, 0, PER_DAY, city(nodes))
    backbone_class = BACKBONES.load("opencity")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return backbone_class(task, backbone_class.Options(**TINY | options)).eval()


def a_batch(nodes: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(1)
    steps = torch.tensor([[3], [20]]) + torch.arange(12)
    inputs = torch.randn(2, 12, nodes, 1, generator=generator)
    return inputs, steps % PER_DAY, steps // PER_DAY % 7


def test_forecasts_on_another_graph_as_if_built_for_it() -> None:
    model, other = small(5), small(9, seed=1)
    other.load_state_dict(model.state_dict())
    here, there = model(*a_batch(5)), other(*a_batch(9))
    model.use_graph("there", city(9))
    assert torch.equal(model(*a_batch(9)), there)
    model.use_graph("here", city(5))
    assert torch.equal(model(*a_batch(5)), here)


def test_the_graph_is_no_part_of_the_state() -> None:
    model = small(5)
    before = set(model.state_dict())
    model.use_graph("there", city(9))
    model(*a_batch(9))
    assert set(model.state_dict()) == before == {name for name, _ in model.named_parameters()}


def test_graphs_follow_the_model_and_its_copies() -> None:
    model = small(5)
    expected = model(*a_batch())
    twin = copy.deepcopy(model)
    model.use_graph("there", city(9))
    assert torch.equal(twin(*a_batch()), expected)
    inputs, *calendar = a_batch()
    precise = twin.double()(inputs.double(), *calendar)
    torch.testing.assert_close(precise.float(), expected, rtol=1e-4, atol=1e-5)


def test_forecasts_in_half_precision() -> None:
    model, batch = small(5), a_batch()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(*batch)
    assert (rough - model(*batch)).abs().max() < 0.1


def test_encodings_are_computed_once_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(5)
    seen: list[int] = []
    original = city_encoding.laplacian_places

    def counted(adjacency: Tensor, count: int) -> Tensor:
        seen.append(len(adjacency))
        return original(adjacency, count)

    monkeypatch.setattr(city_encoding, "laplacian_places", counted)
    for _ in range(3):
        model.use_graph("nine", city(9))
        model.use_graph("seven", city(7))
    assert seen == [9, 7]


def test_a_name_means_one_graph() -> None:
    model = small(5)
    model.use_graph("city", city(9))
    for other in (city(9, seed=1), city(5)):
        with pytest.raises(DataError, match="`city` is already the name of another graph"):
            model.use_graph("city", other)
    model(*a_batch(9))  # a refused graph leaves the one before


def test_inputs_of_another_city_are_refused() -> None:
    with pytest.raises(
        DataError, match="the inputs have 7 nodes, the graph in use 5; call use_graph"
    ):
        small(5)(*a_batch(7))


def reached(model: Any, batch: Batch, node: int) -> list[bool]:
    inputs, *calendar = batch
    inputs = inputs.requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs, *calendar)[:, :, node].sum(), inputs)
    return (gradient.abs().amax(dim=(0, 1, 3)) > 0).tolist()


def test_neighbours_count_as_far_as_there_are_layers() -> None:
    """On the path 0 -> 1 -> 2 -> 3 -> 4 two layers of node 0 see as far as node 2."""
    model = small(5)
    model.use_graph("path", torch.diag(torch.ones(4), 1))
    assert reached(model, a_batch(), 0) == [True, True, True, False, False]
    assert reached(model, a_batch(), 4) == [False, False, False, False, True]


def test_future_calendar_goes_on_over_midnight_and_week() -> None:
    """From Sunday's last slot but one: 23, then Monday's slots; minutes are slot ends."""
    model = small(5, patches=4)
    slots = torch.arange(11, 23)[None]
    seen = []
    model.minute.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].tolist()))
    model.weekday.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].tolist()))
    model(a_batch()[0][:1], slots, torch.full_like(slots, 6))
    past_minutes, past_days, future_minutes, future_days = seen
    assert past_minutes == [[12 * 60, 15 * 60, 18 * 60, 21 * 60]]
    assert past_days == [[7, 7, 7, 7]]
    assert future_minutes == [[24 * 60, 3 * 60, 6 * 60, 9 * 60]]
    assert future_days == [[7, 1, 1, 1]]


def test_level_and_spread_of_a_node_s_window_pass_through() -> None:
    model, (inputs, *calendar) = small(5).double(), a_batch()
    inputs = inputs.double() * 100
    forecast = model(inputs, *calendar)
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    moved = model(inputs * scale[:, None] + 7 * scale[:, None], *calendar)
    torch.testing.assert_close(moved, forecast * scale + 7 * scale, rtol=1e-5, atol=1e-4)


def test_a_linear_probe_trains_the_head() -> None:
    model = small(5)
    assert model.linear_probe_parameters() == {"head.weight", "head.bias"}
    assert model.linear_probe_parameters() <= {name for name, _ in model.named_parameters()}
    assert (model.head.in_features, model.head.out_features) == (12 * 8, 12)


def test_attention_drops_its_share_and_makes_up_for_it() -> None:
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
    # 20480 draws: the standard deviation of the share is 0.003; of each place's, 0.048.
    assert abs(kept.double().mean() - 0.75) < 0.012
    assert (kept.double().mean(dim=(0, 1)) - 0.75).abs().max() < 0.24
    neighbours = (kept[..., :-1] & kept[..., 1:]).double().mean()
    assert abs(neighbours - 0.75**2) < 0.016


@pytest.mark.parametrize("dropout", [1e-9, 0.3, 0.999999999])
def test_attention_expects_what_nothing_dropped_gives(dropout: float) -> None:
    """Over 400 draws of a mask; however extreme the share, the result is finite."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 1, 5, 4, generator=generator, dtype=torch.float64)
    whole = attend(query, key, value, 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        many = (400, 1, 5, 4)
        drawn = attend(query.expand(many), key.expand(many), value.expand(many), dropout)
    assert torch.isfinite(drawn).all()
    if dropout < 0.5:
        torch.testing.assert_close(drawn.mean(dim=0, keepdim=True), whole, rtol=0, atol=0.15)


def test_places_by_hand() -> None:
    """On the path of three the eigenvalues are 0, 1 and 2; a pair and a lone node give 0, 1, 2."""
    path = torch.zeros(3, 3)
    path[0, 1] = path[1, 2] = 1.0
    half = 0.5**0.5
    # The first largest entry of the second is the middle one, and there is no third.
    expected = torch.tensor([[half, -0.5, 0], [0, half, 0], [-half, -0.5, 0]], dtype=torch.float64)
    torch.testing.assert_close(laplacian_places(path, 3), expected, rtol=0, atol=1e-12)
    pair = torch.zeros(3, 3)
    pair[0, 2] = 1.0
    expected = torch.tensor([[half, 0], [0, 0], [-half, 0]], dtype=torch.float64)
    torch.testing.assert_close(laplacian_places(pair, 2), expected, rtol=0, atol=1e-12)
    assert not laplacian_places(torch.zeros(1, 1), 8).any()


def test_mixing_by_hand() -> None:
    """0 -> 1 with weight 1; with loops the degrees are 2 and 1."""
    edge = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(mixing(edge, False), torch.eye(2, dtype=torch.float64))
    row = np.array([1 + 1 / 2, 1 / math.sqrt(2)])
    expected = torch.from_numpy(np.stack([row / row.sum(), [0.0, 1.0]]))
    torch.testing.assert_close(mixing(edge, True), expected)


def test_a_graph_with_negative_weights_is_refused() -> None:
    with pytest.raises(DataError, match="weights must be finite and at least 0"):
        small(5).use_graph("wrong", -city(5))
