"""Forecast on data sets that the model was not trained on.

A run trains and validates on its data set, or its union, and is tested on those in `zero_shot`,
each scaled by its own training inputs. Only targets are inputs, and only transferable backbones
can do it.
"""

from typing import ClassVar

from stprune.base.errors import ConfigError
from stprune.base.settings import DatasetEntry, TrainingSettings
from stprune.data.tasks.base import Task


class Transfer(Task):
    """Train on one city, test on another."""

    of_unions: ClassVar[bool] = True

    def check(self, entry: DatasetEntry, training: TrainingSettings, place: str) -> None:
        """There must be something to transfer to; see :meth:`Task.check`."""
        if not entry.zero_shot:
            raise ConfigError(f"{place}: task `transfer` needs data sets to test on, `zero_shot`")
