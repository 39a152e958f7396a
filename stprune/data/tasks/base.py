"""The contract of every task: which windows there are, and what a model is shown of them.

A task is one file in ``stprune/data/tasks/`` with one subclass of :class:`Task`; the file's name is
what a configuration calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from stprune.backbones.base import BACKBONES
from stprune.base.errors import ConfigError, UnknownNameError
from stprune.base.registry import Registry
from stprune.base.schema import NoOptions, StrictModel, validate
from stprune.data.windows import SplitRanges, WindowStore

if TYPE_CHECKING:
    from stprune.base.settings import TrainingSettings
    from stprune.config.experiment import DatasetEntry, ExperimentConfig


class Task:
    """What a run is to do with a data set. By default, to forecast from all training windows.

    Args:
        options: Validated options.

    Attributes:
        Options: Schema of the task's options.
        forecasts: Whether targets lie after the history, as forecasters that do not learn assume.
        of_unions: Whether a union of data sets can be given the task.
    """

    Options: ClassVar[type[StrictModel]] = NoOptions
    forecasts: ClassVar[bool] = True
    of_unions: ClassVar[bool] = False

    def __init__(self, options: Any) -> None:
        self.options = options

    def check(self, entry: DatasetEntry, training: TrainingSettings, place: str) -> None:
        """Refuse what the task cannot be done with.

        Args:
            entry: The data set entry that asks for the task.
            training: The settings of its runs.
            place: Begins the message.

        Raises:
            ConfigError: One line saying what does not fit.
        """

    def window_length(self, history: int, horizon: int) -> int:
        """Steps of the series that a window covers."""
        return history + horizon

    def training_windows(self, splits: SplitRanges) -> range:
        """The windows of the training split that may be trained on, and scaled by.

        Raises:
            ConfigError: If there are none.
        """
        return splits.train

    def open(self, store: WindowStore, *, training: bool) -> WindowStore:
        """The windows as the task shows them.

        Args:
            store: Windows to forecast, of any split.
            training: Whether they are for training; else they are the same whenever gathered.
        """
        return store


TASKS: Registry[Task] = Registry(
    kind="task", packages=("stprune.data.tasks",), contract="stprune.data.tasks.base:Task"
)


def build_task(name: str, options: Mapping[str, Any]) -> Task:
    """The task called ``name``.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    task = TASKS.load(name)
    return task(task.Options.model_validate(dict(options)))


def check_task(config: ExperimentConfig, name: str, place: str) -> None:
    """What the task of the data set entry ``name`` asks of it, of training and every backbone.

    Raises:
        UnknownNameError: If there is no such task.
        ConfigError: One line saying what does not fit.
    """
    # Imported late: configurations are checked with this.
    from stprune.base.settings import TrainingSettings

    entry = config.datasets[name]
    if entry.task not in TASKS.ids():
        raise UnknownNameError("task", entry.task, TASKS.ids(), f"{place} in `task`")
    kind = TASKS.load(entry.task)
    options = validate(kind.Options, entry.task_options, f"{place} in `task_options`")
    training = TrainingSettings.model_validate(config.training.model_dump() | entry.training)
    kind(options).check(entry, training, place)
    if entry.union and not kind.of_unions:
        raise ConfigError(f"{place}: task `{entry.task}` is for one data set, not for a union")
    for backbone_name, backbone in config.backbones.items():
        if not kind.forecasts and not BACKBONES.load(backbone.backbone or backbone_name).trains:
            raise ConfigError(
                f"{place}: backbone `{backbone_name}` can only forecast, so it cannot do task"
                f" `{entry.task}`; give it an experiment of its own"
            )
