"""A batch trained in parts gives the gradient of the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_runs import key_of

from stprune.backbones.base import BACKBONES, ForecastTask, fitting_windows
from stprune.base.errors import DeclinedError
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.dataset import ForecastData, alone
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine, windows_at_a_time

CPU = torch.device("cpu")


def _engine(values: dict[str, Any], data: ForecastData, micro_batch: int | None) -> Engine:
    values["compute"] = {"own_cores": False, "micro_batch": micro_batch}
    # Dropout draws differently for parts.
    values["backbones"]["stid"]["options"]["dropout"] = 0.0
    spec = run_spec(parse_config(values, "toy.yaml"), key_of("st_prune"))
    return Engine(spec, alone(data), fabric_on())


@pytest.mark.parametrize("micro_batch", [1, 3, 7])
def test_epochs_in_parts_end_at_the_same_weights(
    toy_values: dict[str, Any], toy_forecast: ForecastData, micro_batch: int
) -> None:
    whole, cut = (_engine(toy_values, toy_forecast, size) for size in (None, micro_batch))
    for _ in range(2):
        record, other = whole.train_epoch(), cut.train_epoch()
        assert other.gradient_steps == record.gradient_steps
        assert other.train_loss == pytest.approx(record.train_loss, rel=1e-5)
    for name, weights in whole.network.state_dict().items():
        torch.testing.assert_close(
            cut.network.state_dict()[name], weights, rtol=1e-3, atol=1e-4, msg=name
        )
    for name, state in whole.pruner.window_state.items():
        torch.testing.assert_close(cut.pruner.window_state[name], state, rtol=1e-3, atol=1e-3)


def test_windows_that_fit_are_counted_by_hand() -> None:
    # 12 steps, 170 nodes, 152 channels: 310,080 float32 a window, 1.24 MB.
    assert fitting_windows(12 * 170 * 152) == 8
    assert fitting_windows(10**9) == 1


def _task(nodes: int) -> ForecastTask:
    return ForecastTask(nodes, 12, 12, 1, 0, 288, torch.ones(nodes, nodes))


def test_only_a_processor_follows_the_backbones_advice() -> None:
    staeformer = BACKBONES.load("staeformer")
    network = staeformer(_task(170), staeformer.Options())
    assert windows_at_a_time(network, None, CPU) == 8
    assert windows_at_a_time(network, None, torch.device("cuda")) is None
    assert windows_at_a_time(network, 5, torch.device("cuda")) == 5


def test_statistics_over_the_batch_decline_parts() -> None:
    gwnet = BACKBONES.load("gwnet")
    network = gwnet(_task(4), gwnet.Options())
    assert windows_at_a_time(network, None, CPU) is None
    with pytest.raises(DeclinedError, match=r"`compute.micro_batch`: .* leave it at null"):
        windows_at_a_time(network, 8, CPU)


@pytest.mark.parametrize("name", BACKBONES.ids())
def test_no_backbone_advises_parts_that_change_its_gradient(name: str) -> None:
    kind = BACKBONES.load(name)
    try:
        network = kind(_task(24), kind.Options())
    except DeclinedError as declined:
        pytest.skip(str(declined))
    if (advice := network.micro_batch()) is not None:
        # Declines a network with statistics over the batch.
        assert windows_at_a_time(network, advice, CPU) == advice
