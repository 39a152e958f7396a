"""DLinear: a moving average and what it leaves, each forecast by one linear layer.

Paper: Zeng et al., "Are Transformers Effective for Time Series Forecasting?", arXiv 2205.13504.
Venue: AAAI 2023.
Official code: https://github.com/cure-lab/LTSF-Linear
Where we differ: one pair of layers for all nodes, as in the paper's default. Every measured
    channel is an input, with columns of its own; with one channel this is the published model.
    The window of the moving average is at most as long as the history: the published 25 steps
    would average mostly copies of the two ends of a history of 12. The rate is one of those the
    authors tried, held, since theirs, halved every epoch, is for runs of ten epochs.
"""

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.base.schema import StrictModel


class DlinearOptions(StrictModel):
    """Sizes of DLinear."""

    kernel: int = Field(
        25, ge=1, description="Steps of the moving average, odd; at most the history."
    )

    @field_validator("kernel")
    @classmethod
    def _has_a_middle(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("the moving average needs a middle, so an odd number of steps")
        return kernel


class Dlinear(Backbone):
    """The DLinear forecaster; it uses neither graph nor calendar."""

    Options = DlinearOptions
    optimisation = OptimiserSettings(learning_rate=5e-3)
    transferable = True
    ignores = frozenset({"calendar"})

    def __init__(self, task: ForecastTask, options: DlinearOptions) -> None:
        super().__init__(task, options)
        longest = task.history if task.history % 2 else task.history - 1
        self.kernel = min(options.kernel, max(longest, 1))
        # Columns go step by step, the channels of a step side by side.
        self.seasonal = nn.Linear(task.history * task.channels, task.horizon)
        self.trend = nn.Linear(task.history * task.channels, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`; the calendar changes nothing."""
        batch, steps, nodes, channels = inputs.shape
        columns = inputs.permute(0, 2, 1, 3).reshape(batch, nodes, steps * channels)
        # S(x - Mx) + Rx = Sx + (R - S)Mx, and averaging the columns of a layer by M costs
        # nothing next to averaging all series.
        average = self._averaging(inputs)
        change = (self.trend.weight - self.seasonal.weight).unflatten(1, (steps, channels))
        averaged = torch.einsum("hsc,st->htc", change, average).flatten(1)
        weight = self.seasonal.weight + averaged
        bias = self.seasonal.bias + self.trend.bias
        return functional.linear(columns, weight, bias).transpose(1, 2)

    def _averaging(self, like: Tensor) -> Tensor:
        """(T, T) matrix of the moving average; beyond an end, the end's value goes on."""
        steps, half = like.shape[1], self.kernel // 2
        rows = torch.arange(steps, device=like.device)
        seen = rows[:, None] + torch.arange(-half, half + 1, device=like.device)
        average = like.new_zeros(steps, steps)
        share = like.new_full(seen.shape, 1 / self.kernel)
        return average.scatter_add_(1, seen.clamp(0, steps - 1), share)
