"""`compute.compile` and `compute.precision`: other arithmetic, the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy_runs import Listener, StoppedError, elsewhere, key_of, outcome

from stprune.base.errors import ConfigError
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout, run_spec
from stprune.data.dataset import ForecastData, alone
from stprune.records.run import read_epochs, read_record
from stprune.training.devices import compile_network, fabric_on
from stprune.training.engine import Engine
from stprune.training.run import train
from stprune.training.scoring import window_gradients

CPU = torch.device("cpu")
# What torch imports when it compiles for the first time.
torch_warns = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


@pytest.fixture(scope="module")
def compiler() -> None:
    """Skip, with torch's reason, where it cannot compile."""
    try:
        compile_network(nn.Linear(1, 1), CPU)
    except ConfigError as error:
        pytest.skip(str(error))


def _engine(values: dict[str, Any], data: ForecastData, **compute: Any) -> Engine:
    values["compute"] = {"own_cores": False, **compute}
    # Dropout draws differently in generated code.
    values["backbones"]["stid"]["options"]["dropout"] = 0.0
    spec = run_spec(parse_config(values, "toy.yaml"), key_of("full"))
    fabric = fabric_on(precision=spec.compute.precision)
    return Engine(spec, alone(data), fabric)


def _step(engine: Engine) -> tuple[Tensor, Tensor]:
    """A forecast of 16 windows in training, and all gradients of its sum of squares."""
    batch = engine.members[0][1].train.gather(torch.arange(16))
    forecast = engine.model(batch.inputs, batch.time_of_day, batch.day_of_week)
    engine.fabric.backward(forecast.float().square().sum())
    gradients = [p.grad.flatten() for p in engine.network.parameters() if p.grad is not None]
    return forecast.detach().float(), torch.cat(gradients)


def test_neither_is_on_unless_asked_for(toy_values: dict[str, Any]) -> None:
    compute = parse_config(toy_values, "toy.yaml").compute
    assert not compute.compile
    assert compute.precision == "32-true"


@pytest.mark.slow
@torch_warns
@pytest.mark.usefixtures("compiler")
def test_compiled_forecasts_and_gradients_are_those_of_eager(
    toy_values: dict[str, Any], toy_forecast: ForecastData
) -> None:
    eager, compiled = (_engine(toy_values, toy_forecast, compile=on) for on in (False, True))
    assert list(compiled.network.state_dict()) == list(eager.network.state_dict())
    for ours, theirs in zip(_step(compiled), _step(eager), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    state = eager.network.state_dict()
    compiled.network.load_state_dict(state)
    assert compiled.train_epoch().train_loss == pytest.approx(
        eager.train_epoch().train_loss, rel=1e-4
    )


@pytest.mark.slow
@torch_warns
@pytest.mark.usefixtures("compiler")
def test_scoring_by_the_last_layer_sees_through_a_compiled_network(
    toy_values: dict[str, Any], toy_forecast: ForecastData
) -> None:
    eager, compiled = (_engine(toy_values, toy_forecast, compile=on) for on in (False, True))
    _step(compiled)
    windows = torch.arange(8)
    ours, theirs = (
        window_gradients(engine.network.eval(), toy_forecast.train, windows)
        for engine in (compiled, eager)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@torch_warns
@pytest.mark.usefixtures("compiler")
def test_a_compiled_run_that_was_stopped_ends_as_an_undisturbed_one(
    toy_values: dict[str, Any],
) -> None:
    toy_values["compute"] = {"own_cores": False, "compile": True}
    config = parse_config(toy_values, "toy.yaml")
    disturbed, key = elsewhere(config, "disturbed"), key_of("st_prune", 0.5)
    with pytest.raises(StoppedError):
        train(disturbed, key, [Listener(1)])
    assert train(disturbed, key, []).resumed == 1
    record = train(config, key, [])
    assert outcome(disturbed, key)[0] == outcome(config, key)[0]
    assert record.config["compute"]["compile"] is True


def test_bfloat16_forecasts_and_gradients_are_near_those_of_float32(
    toy_values: dict[str, Any], toy_forecast: ForecastData
) -> None:
    exact = _engine(toy_values, toy_forecast)
    mixed = _engine(toy_values, toy_forecast, precision="bf16-mixed")
    for ours, theirs in zip(_step(mixed), _step(exact), strict=True):
        # Eight significant bits a number.
        assert (ours - theirs).norm() < 0.02 * theirs.norm()
        assert not torch.equal(ours, theirs)
    assert {p.dtype for p in mixed.network.parameters()} == {torch.float32}


def test_a_run_in_bfloat16_comes_to_about_the_same_error(
    toy_values: dict[str, Any], tmp_path: Path
) -> None:
    toy_values["backbones"]["stid"]["options"]["dropout"] = 0.0
    found = []
    for precision in ("32-true", "bf16-mixed"):
        toy_values["compute"] = {"own_cores": False, "precision": precision}
        toy_values["results_directory"] = str(tmp_path / precision)
        config = parse_config(toy_values, "toy.yaml")
        train(config, key_of("full"), [])
        layout = experiment_layout(config)
        record = read_record(layout.metrics(key_of("full")))
        found.append([record.test.mae, *read_epochs(layout.run_epochs(key_of("full"))).train_loss])
    np.testing.assert_allclose(found[1], found[0], rtol=0.02)
    assert found[0] != found[1]


def test_a_machine_that_cannot_compile_is_told_in_one_line(
    toy_values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_compiler(function: Any) -> Any:
        raise RuntimeError("No working C++ compiler found in ['g++']\nand a long traceback")

    monkeypatch.setattr(torch, "compile", without_compiler)
    toy_values["compute"] = {"own_cores": False, "compile": True}
    config = parse_config(toy_values, "toy.yaml")
    with pytest.raises(ConfigError) as caught:
        train(config, key_of("full"), [])
    message = str(caught.value)
    assert "\n" not in message
    assert "`compute.compile`" in message
    assert "No working C++ compiler" in message
    assert "set it to false" in message
    assert not config.results_directory.exists()
