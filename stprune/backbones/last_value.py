"""Last value: every forecast step repeats the last input step.

Paper: none of its own; the naive forecast, as measured by Liu et al., "LargeST: A Benchmark
    Dataset for Large-Scale Traffic Forecasting", arXiv 2306.08259 (there: HL).
Venue: NeurIPS 2023, Datasets and Benchmarks.
Official code: https://github.com/liuxu77/LargeST (src/models/hl.py)
Where we differ: a last value that was not observed comes as the training mean, as for every
    backbone; nothing is carried on from before it.
"""

from torch import Tensor

from stprune.backbones.base import Backbone


class LastValue(Backbone):
    """The naive forecaster, without parameters and for any graph."""

    trains = False
    ignores = frozenset({"past", "other channels", "calendar"})
    transferable = True

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        last = inputs[:, -1:, :, self.task.target_channel]
        return last.expand(-1, self.task.horizon, -1)
