"""Forecast after training on the first few windows only.

The scaler sees those windows alone; validation and test are those of the whole data set.

Source: the few-shot setting of ST-TTC (NeurIPS 2025), whose k % are of all windows: 10 % of them
are 16.7 % of a training split of 60 %.
"""

from typing import ClassVar, Literal

from pydantic import Field

from stprune.base.errors import ConfigError
from stprune.base.schema import StrictModel
from stprune.data.tasks.base import Task
from stprune.data.windows import SplitRanges


class FewShotOptions(StrictModel):
    """How little there is to train on."""

    share: float = Field(0.1, gt=0, le=1, description="Share of the windows, the first in time.")
    of: Literal["all_windows", "training_windows"] = Field(
        "all_windows",
        description="Of all splits' windows, as ST-TTC counts, or of those of the training split.",
    )


class FewShot(Task):
    """A forecast from few training windows."""

    Options: ClassVar[type[StrictModel]] = FewShotOptions

    def training_windows(self, splits: SplitRanges) -> range:
        """The first windows; see :meth:`Task.training_windows`."""
        options: FewShotOptions = self.options
        whole = splits.test.stop if options.of == "all_windows" else len(splits.train)
        count = round(whole * options.share)
        if not 1 <= count <= len(splits.train):
            most = len(splits.train)
            raise ConfigError(f"`task_options.share` means {count} windows, not 1 to {most}")
        return splits.train[:count]
