"""Fill in hidden values of a window from the others of the same window.

Inputs and targets are the same steps. A hidden value is fed as the training mean, which is 0 once
standardised; loss and scores count values that are hidden and were observed. Other channels than
the target stay visible. Three patterns, each with a rate of its own, hide single points, runs of
steps of a sensor (both usual: Cini et al., GRIN, ICLR 2022), and all steps of a sensor in the
window. A value is hidden if any of them hides it.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from stprune.base.errors import ConfigError
from stprune.base.schema import StrictModel
from stprune.base.settings import DatasetEntry, TrainingSettings
from stprune.data.hidden import HiddenPattern, ImputationStore
from stprune.data.tasks.base import Task
from stprune.data.windows import WindowStore


class ImputeOptions(StrictModel):
    """What is hidden."""

    points: float = Field(0.25, ge=0, lt=1, description="Share of values hidden one by one.")
    blocks: float = Field(
        0.0, ge=0, lt=1, description="Share of values hidden in runs of `block_steps`."
    )
    block_steps: int = Field(
        4, ge=1, description="Steps of a run; the window's ends cut it, and runs may meet."
    )
    sensors: float = Field(
        0.0, ge=0, lt=1, description="Share of sensors hidden for the whole of a window."
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Of the pattern: the same for every pruner and run seed."
    )
    training: Literal["fixed", "redrawn"] = Field(
        "redrawn",
        description="Hide the same values of a training window in every epoch, or others in each."
        " Validation and test windows always hide the same.",
    )
    show_hidden: bool = Field(
        False, description="Add an input channel that is 1 where the target is hidden, else 0."
    )

    @model_validator(mode="after")
    def _hides_something(self) -> Self:
        if not (self.points or self.blocks or self.sensors):
            raise ValueError("one of points, blocks and sensors must be above 0")
        return self


class Impute(Task):
    """Imputation.

    Args:
        options: What is hidden.
    """

    Options: ClassVar[type[StrictModel]] = ImputeOptions
    forecasts: ClassVar[bool] = False

    def check(self, entry: DatasetEntry, training: TrainingSettings, place: str) -> None:
        """Targets are the steps of the history; see :meth:`Task.check`."""
        if training.horizon != training.history:
            raise ConfigError(
                f"{place}: task `impute` fills in the history itself, so `training.horizon` is"
                f" `training.history`, {training.history}, not {training.horizon}"
            )

    def window_length(self, history: int, horizon: int) -> int:
        """The history alone; see :meth:`Task.window_length`."""
        return history

    def open(self, store: WindowStore, *, training: bool) -> WindowStore:
        """Hide values; see :meth:`Task.open`."""
        options: ImputeOptions = self.options
        pattern = HiddenPattern(
            points=options.points,
            blocks=options.blocks,
            block_steps=options.block_steps,
            sensors=options.sensors,
            seed=options.seed,
        )
        redrawn = training and options.training == "redrawn"
        return ImputationStore.hiding(store, pattern, redrawn, options.show_hidden)
