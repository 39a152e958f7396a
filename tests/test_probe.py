"""What a scoring model shows: every window once, and gradients that autograd agrees with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_runs import key_of

from stprune.base.errors import DeclinedError
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.dataset import ForecastData
from stprune.pruning.base import absolute_errors, window_mae
from stprune.pruning.probe import last_layer_gradients, sign_projection
from stprune.training.scoring import ModelProbe


@pytest.fixture
def probe(toy_values: dict[str, Any], toy_forecast: ForecastData) -> ModelProbe:
    config = parse_config(toy_values, "the toy configuration")
    return ModelProbe(run_spec(config, key_of("st_prune", 0.5)), toy_forecast)


def test_gradients_are_of_each_window_alone(probe: ModelProbe, toy_forecast: ForecastData) -> None:
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


def test_a_projection_is_of_the_whole_gradients_and_keeps_distances(probe: ModelProbe) -> None:
    whole = torch.cat([values for _, values in probe.gradients(1, 5, None).training])
    short = torch.cat([values for _, values in probe.gradients(1, 5, 16).training])
    torch.testing.assert_close(short, whole @ sign_projection(whole.shape[1], 16, 5))
    vectors = torch.randn(50, 300, generator=torch.Generator().manual_seed(0))
    ratio = torch.pdist(vectors @ sign_projection(300, 4096, seed=1)) / torch.pdist(vectors)
    assert (ratio - 1).abs().max() < 0.06  # about five standard errors, 1 / root(2 width)


def test_scoring_has_its_epochs(toy_values: dict[str, Any], toy_forecast: ForecastData) -> None:
    for budget in ("epochs", "total_windows", "total_time"):
        values = toy_values | {"training": toy_values["training"] | {"budget": budget}}
        spec = run_spec(parse_config(values, "the toy configuration"), key_of("st_prune", 0.5))
        engine = ModelProbe(spec, toy_forecast)._trained(4, 5)
        assert (engine.budget.kind, engine.planned_epochs) == ("epochs", 5)
        # None is validated: that would be charged to the run's preparation.
        assert [record.validation_mae for record in engine.records] == [None] * 4


def test_watching_shows_every_window(probe: ModelProbe, toy_forecast: ForecastData) -> None:
    shown: list[Tensor] = []

    def note(indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        assert errors.shape == mask.shape == (len(indices), 12, 8)
        shown.append(torch.stack([indices, window_mae(errors, mask)], 1))

    probe.watch(3, 5, note)
    windows = len(toy_forecast.train)
    epochs = torch.cat(shown).view(3, windows, 2)
    assert epochs[:, :, 0].sort(1).values.tolist() == [list(range(windows))] * 3
    assert epochs[2, :, 1].mean() < epochs[0, :, 1].mean()


def test_a_network_without_a_linear_layer_is_declined() -> None:
    network = nn.Conv1d(2, 1, 1)
    with pytest.raises(DeclinedError, match=r"nn\.Linear"):
        last_layer_gradients(network, lambda: network(torch.ones(3, 2, 4)).sum((1, 2)), 3)
    mixing = nn.Linear(2, 1)
    with pytest.raises(DeclinedError, match="first dimension"):
        last_layer_gradients(mixing, lambda: mixing(torch.ones(6, 2)).view(3, 2).sum(1), 3)
