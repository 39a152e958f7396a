"""Historical average: the mean of what was observed at the same time of day on such days.

Paper: none of its own; the seasonal baseline of traffic forecasting, as measured by Li et al.,
    "Diffusion Convolutional Recurrent Neural Network", arXiv 1707.01926 (there: HA).
Venue: ICLR 2018.
Official code: https://github.com/liyaguang/DCRNN (scripts/eval_baseline_methods.py)
Where we differ: that baseline averages the same slot of past weeks as the test goes on; ours
    averages the training targets once, so that it has seen what every other forecaster has.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from stprune.backbones.base import Backbone, ForecastTask
from stprune.base.errors import DataError
from stprune.base.schema import StrictModel
from stprune.data.windows import WindowStore

KINDS = {"same": (0,) * 7, "weekend": (0, 0, 0, 0, 0, 1, 1), "weekday": tuple(range(7))}
STEPS_AT_ONCE = 4096


class HistoricalAverageOptions(StrictModel):
    """Which days are averaged."""

    days: Literal["same", "weekend", "weekday"] = Field(
        "weekend",
        description="Days with means of their own: none (same), weekends, or each weekday.",
    )


class HistoricalAverage(Backbone):
    """The mean of the training targets by slot of the day, kind of day and node.

    Where a cell was never observed, the mean of its slot over all days stands in, then that of
    the node, then that of all nodes. Before :meth:`fit` it forecasts the training mean, 0.
    """

    Options = HistoricalAverageOptions
    trains = False
    ignores = frozenset({"history", "other channels"})
    kind_of_day: Tensor
    means: Tensor

    def __init__(self, task: ForecastTask, options: HistoricalAverageOptions) -> None:
        super().__init__(task, options)
        kinds = KINDS[options.days]
        self.register_buffer("kind_of_day", torch.tensor(kinds), persistent=False)
        shape = (max(kinds) + 1, task.steps_per_day, task.nodes)
        self.register_buffer("means", torch.zeros(shape))

    def fit(self, store: WindowStore) -> None:
        """Average the observed targets of the training windows, each step of the series once."""
        kinds, slots, nodes = self.means.shape
        sums = torch.zeros(kinds * slots, nodes, dtype=torch.float64, device=store.device)
        counts = torch.zeros_like(sums)
        # +1 where a window's targets begin, -1 after they end: their sum is above 0 within any.
        first = store.starts + store.target_offset
        is_target = torch.zeros(len(store.series) + 1, dtype=torch.int64, device=store.device)
        one = torch.ones_like(first)
        is_target.index_add_(0, first, one).index_add_(0, first + store.horizon, -one)
        # A few thousand steps at a time, since a large series in float64 would not fit.
        for steps in is_target.cumsum(0).nonzero().squeeze(1).split(STEPS_AT_ONCE):
            kind = self.kind_of_day.to(store.device)[store.day_of_week[steps]]
            cell = kind * slots + store.time_of_day[steps]
            values = store.series[steps, :, store.target_channel].double()
            mask = store.target_mask
            observed = torch.ones_like(values) if mask is None else mask[steps].double()
            sums.index_add_(0, cell, values * observed)
            counts.index_add_(0, cell, observed)
        if not counts.any():
            raise DataError("historical_average: no target was observed in the training windows")
        sums, counts = (each.view(kinds, slots, nodes) for each in (sums, counts))
        means = sums / counts
        # 0 / 0 where nothing was observed: then the nearest mean that was.
        for axes in ((0,), (0, 1), (0, 1, 2)):
            wider = sums.sum(axes, keepdim=True) / counts.sum(axes, keepdim=True)
            means = torch.where(means.isnan(), wider, means)
        channel, scaler = store.target_channel, store.scaler
        self.means.copy_((means - scaler.mean[channel]) / scaler.std[channel])

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        ahead = torch.arange(1, self.task.horizon + 1, device=time_of_day.device)
        slot = time_of_day[:, -1:] + ahead
        per_day = self.task.steps_per_day
        weekday = (day_of_week[:, -1:] + slot.div(per_day, rounding_mode="floor")) % 7
        return self.means[self.kind_of_day[weekday], slot % per_day]
