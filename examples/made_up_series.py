"""A small series that the examples share: three weeks of hourly values at eight sensors."""

import torch
from torch import Tensor, nn

HISTORY, HORIZON, NODES = 12, 3, 8


def windows() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs (n, T, N), targets (n, H, N), mask (n, H, N) and stationarity (n,) of n windows."""
    generator = torch.Generator().manual_seed(0)
    hours = torch.arange(504)[:, None]
    level = torch.linspace(20, 50, NODES)
    series = level * (1 + 0.4 * torch.sin(2 * torch.pi * hours / 24))
    series += torch.randn(series.shape, generator=generator)
    observed = torch.rand(series.shape, generator=generator) > 0.05
    rows = series.unfold(0, HISTORY + HORIZON, 1).transpose(1, 2)
    inputs, targets = rows[:, :HISTORY], rows[:, HISTORY:]
    mask = observed.unfold(0, HISTORY + HORIZON, 1).transpose(1, 2)[:, HISTORY:]
    # Mean move from one step of the history to the next: the larger, the less stationary.
    stationarity = inputs.diff(dim=1).abs().mean(dim=(1, 2))
    return (inputs - 35) / 15, targets, mask, stationarity


class Forecaster(nn.Module):
    """A linear map from the history of each sensor to its forecast, in real units."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(HISTORY, HORIZON)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, N) to (B, H, N)."""
        forecast: Tensor = self.layer(inputs.transpose(1, 2)).transpose(1, 2) * 15 + 35
        return forecast
