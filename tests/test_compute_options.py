"""`compute.compile` and `compute.precision`: other arithmetic, the same model."""

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from toy_runs import key_of

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask, fitting_windows
from stprune.backbones.layers.axis_attention import padded_attention
from stprune.base.errors import ConfigError, DeclinedError
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.dataset import ForecastData, alone
from stprune.training.devices import fabric_on, windows_at_a_time, windows_within
from stprune.training.engine import Engine
from stprune.training.run import train
from stprune.training.scoring import window_gradients

CPU = torch.device("cpu")
# What torch imports when it compiles for the first time.
torch_warns = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


def _engine(values: dict[str, Any], data: ForecastData, **compute: Any) -> Engine:
    values["compute"] = {"own_cores": False, **compute}
    # Dropout draws differently in generated code and for parts of a batch.
    values["backbones"]["stid"]["options"]["dropout"] = 0.0
    spec = run_spec(parse_config(values, "toy.yaml"), key_of("st_prune"))
    return Engine(spec, alone(data), fabric_on(spec.compute))


def _step(engine: Engine) -> tuple[Tensor, Tensor]:
    """A forecast of 16 windows in training, and all gradients of its sum of squares."""
    batch = engine.members[0][1].train.gather(torch.arange(16))
    forecast = engine.model(batch.inputs, batch.time_of_day, batch.day_of_week)
    engine.fabric.backward(forecast.float().square().sum())
    gradients = [p.grad.flatten() for p in engine.network.parameters() if p.grad is not None]
    return forecast.detach().float(), torch.cat(gradients)


@torch_warns
@pytest.mark.parametrize("how", [True, "reduce-overhead"])
def test_compiled_forecasts_and_gradients_are_those_of_eager(
    toy_values, toy_forecast, monkeypatch, how
):
    # All of the compiler but its last part, which writes C++ and is torch's own.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    eager, compiled = (_engine(toy_values, toy_forecast, compile=on) for on in (False, how))
    assert list(compiled.network.state_dict()) == list(eager.network.state_dict())
    for ours, theirs in zip(_step(compiled), _step(eager), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    # Scoring by the last layer sees through the compiled network.
    ours, theirs = (
        window_gradients(engine.network.eval(), toy_forecast.train, torch.arange(8))
        for engine in (compiled, eager)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    compiled.network.load_state_dict(eager.network.state_dict())
    loss = eager.train_epoch().train_loss
    assert compiled.train_epoch().train_loss == pytest.approx(loss, rel=1e-4)


def test_bfloat16_is_near_float32(toy_values, toy_forecast):
    exact = _engine(toy_values, toy_forecast)
    mixed = _engine(toy_values, toy_forecast, precision="bf16-mixed")
    for ours, theirs in zip(_step(mixed), _step(exact), strict=True):
        # Eight significant bits a number.
        assert (ours - theirs).norm() < 0.02 * theirs.norm()
        assert not torch.equal(ours, theirs)
    assert {p.dtype for p in mixed.network.parameters()} == {torch.float32}
    # Evaluation restores units in float32: bfloat16 has two or three digits.
    seen: list[Tensor] = []
    ((name, data),) = mixed.members
    mixed.evaluate(name, data, data.test, observe=lambda _, errors, mask: seen.append(errors))
    batch = data.test.gather(torch.arange(len(seen[0])))
    arguments = batch.inputs, batch.time_of_day, batch.day_of_week
    with torch.no_grad(), mixed.fabric.autocast():
        forecast = mixed.network.eval()(*arguments).float()
    expected = (data.test.scaler.restore(forecast) - batch.targets).abs() * batch.mask
    assert torch.equal(seen[0], expected)


def test_a_missing_compiler_is_told(toy_values, monkeypatch):
    def without_compiler(function: Any, mode: Any) -> Any:
        raise RuntimeError("No working C++ compiler found in ['g++']\nand a long traceback")

    monkeypatch.setattr(torch, "compile", without_compiler)
    toy_values["compute"] = {"own_cores": False, "compile": True}
    config = parse_config(toy_values, "toy.yaml")
    with pytest.raises(ConfigError, match=r"`compute\.compile`"):
        train(config, key_of("full"), [])
    assert not config.results_directory.exists()


@pytest.mark.parametrize("micro_batch", [1, 7])
def test_epochs_in_parts_end_at_the_same_weights(toy_values, toy_forecast, micro_batch):
    sizes = (None, micro_batch)
    whole, cut = (_engine(toy_values, toy_forecast, micro_batch=size) for size in sizes)
    for _ in range(2):
        record, other = whole.train_epoch(), cut.train_epoch()
        assert other.gradient_steps == record.gradient_steps
        assert other.train_loss == pytest.approx(record.train_loss, rel=1e-5)
    state = cut.network.state_dict()
    for name, weights in whole.network.state_dict().items():
        torch.testing.assert_close(state[name], weights, rtol=1e-3, atol=1e-4, msg=name)
    for name, values in whole.pruner.window_state.items():
        torch.testing.assert_close(cut.pruner.window_state[name], values, rtol=1e-3, atol=1e-3)


def _network(name: str, nodes: int) -> Backbone:
    kind = BACKBONES.load(name)
    task = ForecastTask(nodes, 12, 12, 1, 0, 288, torch.ones(nodes, nodes))
    return kind(task, kind.Options())


def test_only_a_processor_follows_the_backbones_advice():
    # 12 steps, 170 nodes, 152 channels: 310,080 float32 a window, 1.24 MB.
    assert fitting_windows(12 * 170 * 152) == 8
    assert fitting_windows(10**9) == 1
    network = _network("staeformer", 170)
    cases = ((None, "cpu", 8), ("auto", "cpu", 8), (None, "cuda", None), (5, "cuda", 5))
    asked: Any
    for asked, place, windows in cases:
        assert windows_at_a_time(network, asked, torch.device(place)) == windows
    # Statistics over the batch decline parts.
    network = _network("gwnet", 4)
    assert windows_at_a_time(network, None, CPU) is None
    with pytest.raises(DeclinedError, match=r"`compute\.micro_batch`"):
        windows_at_a_time(network, 8, CPU)


def test_windows_that_fit_a_gpu_by_hand():
    # 100 bytes and 10 a window: 64 windows take 740, 32 take 420, 16 take 260.
    for memory, windows in ((740, 64), (739, 32), (420, 32), (300, 16), (0, 1)):
        assert windows_within(memory, 64, lambda count: 100 + 10 * count) == windows
    assert windows_within(0, 5, lambda count: 10) == 1


@pytest.mark.parametrize("causal", [False, True])
def test_heads_padded_for_a_gpu_attend_alike(causal):
    parts = torch.randn(3, 2, 4, 9, 38, generator=torch.Generator().manual_seed(0))
    results = []
    for attention in (padded_attention, functional.scaled_dot_product_attention):
        q, k, v = (part.clone().requires_grad_() for part in parts)
        attended = attention(q, k, v, is_causal=causal)
        attended.square().sum().backward()
        results.append([attended.detach(), *(part.grad for part in (q, k, v))])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES.ids())
def test_no_backbone_advises_parts_that_change_its_gradient(name):
    with suppress(DeclinedError):  # a backbone that cannot do this task
        network = _network(name, 24)
        advice = network.micro_batch()
        statistics = any(isinstance(module, _BatchNorm) for module in network.modules())
        assert advice is None or not statistics
