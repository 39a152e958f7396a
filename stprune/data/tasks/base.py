"""The contract of a task, one file here: which windows there are, and what is shown of them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from stprune.base.registry import Registry
from stprune.base.schema import NoOptions, StrictModel
from stprune.base.settings import DatasetEntry, TrainingSettings
from stprune.data.windows import SplitRanges, WindowStore


class Task:
    """What a run is to do with a data set. By default, to forecast from all training windows."""

    Options: ClassVar[type[StrictModel]] = NoOptions
    #: Whether targets lie after the history, as forecasters that do not learn assume.
    forecasts: ClassVar[bool] = True
    #: Whether a union of data sets can be given the task.
    of_unions: ClassVar[bool] = False

    def __init__(self, options: Any) -> None:
        self.options = options

    def check(self, entry: DatasetEntry, training: TrainingSettings, place: str) -> None:
        """Raise a ConfigError that begins with ``place`` if an entry or its settings do not fit."""

    def window_length(self, history: int, horizon: int) -> int:
        """Steps of the series that a window covers."""
        return history + horizon

    def training_windows(self, splits: SplitRanges) -> range:
        """The windows of the training split that may be trained on, and scaled by."""
        return splits.train

    def open(self, store: WindowStore, *, training: bool) -> WindowStore:
        """The windows of ``store`` as the task shows them; the same ones always but in training."""
        return store


TASKS: Registry[Task] = Registry("task", ("stprune.data.tasks",), "stprune.data.tasks.base:Task")


def build_task(name: str, options: Mapping[str, Any]) -> Task:
    """The task called ``name``."""
    task = TASKS.load(name)
    return task(task.Options.model_validate(dict(options)))
