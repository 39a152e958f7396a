"""The contract of every backbone: scaled history in, scaled forecast out.

A backbone is one file ``stprune/backbones/<id>.py`` with one subclass of :class:`Backbone`.
Its header names the paper, the venue, the official code and where we differ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stprune.registry import Registry
from stprune.schema import StrictModel


@dataclass(frozen=True)
class ForecastTask:
    """What a backbone is built for.

    Args:
        nodes: N, number of sensors.
        history: T, input steps.
        horizon: H, forecast steps.
        channels: C, measured input channels (without calendar features).
        target_channel: Index of the channel that is forecast.
        steps_per_day: Time steps in a day; ``time_of_day`` lies in [0, steps_per_day).
        adjacency: (N, N) float32, weight of the edge from row to column, 0 for none.
    """

    nodes: int
    history: int
    horizon: int
    channels: int
    target_channel: int
    steps_per_day: int
    adjacency: Tensor


class OptimiserSettings(StrictModel):
    """How a backbone is optimised unless the configuration says otherwise."""

    optimiser: Literal["adam", "adamw", "sgd"] = Field("adam", description="By name.")
    learning_rate: float = Field(1e-3, gt=0, description="Initial learning rate.")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty (decoupled for adamw).")
    momentum: float = Field(0.9, ge=0, lt=1, description="For sgd.")
    clip_norm: float = Field(0.0, ge=0, description="Largest gradient norm; 0 leaves it alone.")
    milestones: tuple[int, ...] = Field((), description="Epochs after which the rate is cut.")
    step_epochs: int = Field(0, ge=0, description="Cut the rate every so many epochs; 0: never.")
    gamma: float = Field(1.0, gt=0, description="Factor of each cut.")


class NoOptions(StrictModel):
    """For a component that has nothing to choose."""


class Backbone(nn.Module, ABC):
    """A forecasting model.

    Subclasses take ``(task, options)``, build their layers, and may raise
    :class:`stprune.errors.DeclinedError` for a task they cannot do.

    Attributes:
        Options: Schema of the backbone's own options, with the published sizes as defaults.
        optimisation: Published optimiser settings.
    """

    Options: ClassVar[type[StrictModel]] = NoOptions
    optimisation: ClassVar[OptimiserSettings] = OptimiserSettings()

    def __init__(self, task: ForecastTask, options: Any) -> None:
        super().__init__()
        self.task = task
        self.options = options

    @abstractmethod
    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """Forecast the target.

        Args:
            inputs: (B, T, N, C) float, standardised history.
            time_of_day: (B, T) int64, slot of the day of each input step.
            day_of_week: (B, T) int64, Monday = 0, of each input step.

        Returns:
            (B, H, N) float, the target in standardised units.
        """

    def unused_parameters(self) -> frozenset[str]:
        """Names of parameters that the published model holds but no forecast depends on.

        They are kept so that sizes can be compared with published ones; they never get a
        gradient, and the contract tests check that exactly these do not.
        """
        return frozenset()

    def calendar_inputs(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """Inputs with two channels appended: fraction of the day, and weekday / 7.

        This is the input of the published Graph WaveNet and STGCN set-ups: (B, T, N, C + 2).
        """
        batch, steps, nodes, _ = inputs.shape
        day = (time_of_day.to(inputs.dtype) / self.task.steps_per_day)[:, :, None, None]
        week = (day_of_week.to(inputs.dtype) / 7)[:, :, None, None]
        shape = (batch, steps, nodes, 1)
        return torch.cat([inputs, day.expand(shape), week.expand(shape)], dim=-1)


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


BACKBONES: Registry[Backbone] = Registry(
    kind="backbone", packages=("stprune.backbones",), contract="stprune.backbones.base:Backbone"
)
