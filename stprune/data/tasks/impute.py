"""Fill in hidden values of a window from the others of the same window.

Inputs and targets are the same steps. A hidden value is fed as the training mean, which is 0 once
standardised; loss and scores count values that are hidden and were observed. Other channels than
the target stay visible. Three patterns, each with a rate of its own, hide single points, runs of
steps of a sensor (both usual: Cini et al., GRIN, ICLR 2022), and all steps of a sensor in the
window. A value is hidden if any of them hides it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from stprune.base.errors import ConfigError
from stprune.base.schema import StrictModel
from stprune.base.settings import DatasetEntry, TrainingSettings
from stprune.data.tasks.base import Task
from stprune.data.windows import Batch, WindowStore


class ImputeOptions(StrictModel):
    """What is hidden."""

    points: float = Field(0.25, ge=0, lt=1, description="Share of values hidden one by one.")
    blocks: float = Field(0.0, ge=0, lt=1, description="Share hidden in runs of `block_steps`.")
    block_steps: int = Field(4, ge=1, description="Steps of a run; runs may meet.")
    sensors: float = Field(0.0, ge=0, lt=1, description="Share of sensors hidden in all steps.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the pattern, the same for every run.")
    training: Literal["fixed", "redrawn"] = Field(
        "redrawn",
        description="Hide the same values of a training window in every epoch, or others in each.",
    )
    show_hidden: bool = Field(False, description="Add an input channel, 1 where hidden, else 0.")

    @model_validator(mode="after")
    def _hides_something(self) -> Self:
        if not (self.points or self.blocks or self.sensors):
            raise ValueError("one of points, blocks and sensors must be above 0")
        return self


class Impute(Task):
    """Imputation."""

    Options: ClassVar[type[StrictModel]] = ImputeOptions
    forecasts: ClassVar[bool] = False

    def check(self, entry: DatasetEntry, training: TrainingSettings, place: str) -> None:
        """Targets are the steps of the history; see :meth:`Task.check`."""
        if training.horizon != training.history:
            lengths = f"`training.horizon` is `training.history`, {training.history}"
            raise ConfigError(f"{place}: for task `impute`, {lengths}, not {training.horizon}")

    def window_length(self, history: int, horizon: int) -> int:
        """The history alone."""
        return history

    def open(self, store: WindowStore, *, training: bool) -> WindowStore:
        """Hide values; see :meth:`Task.open`."""
        redrawn = training and self.options.training == "redrawn"
        epoch = torch.zeros((), dtype=torch.int64)
        return ImputationStore.of(store, options=self.options, redrawn=redrawn, epoch=epoch)


SHARES = 2**31
POINT, BLOCK, OFFSET, SENSOR = range(4)
# Multipliers of SplitMix64 (Steele, Lea and Flood 2014), as signed numbers.
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def hidden_values(
    options: ImputeOptions, starts: Tensor, epoch: int, steps: int, nodes: int
) -> Tensor:
    """Which of T ``steps`` and N ``nodes`` are hidden in the windows from ``starts`` (B,) on.

    A hash of the seed, the epoch, the window's first step, the step and the node says it, on every
    device and in any order the same. Returns (B, T, N) bool.
    """
    device = starts.device
    # A number, not a tensor: a copy of one to the device would make the host wait for it.
    seed = int(_mixed(_mixed(torch.tensor(options.seed)) + epoch))
    window = _mixed(starts + seed)[:, None, None]
    step = torch.arange(steps, device=device)[:, None]
    node = torch.arange(nodes, device=device)
    hidden = torch.zeros((), dtype=torch.bool, device=device)
    if options.points:
        hidden = hidden | _drawn(window, POINT, step * nodes + node, options.points)
    if options.blocks:
        # Without an offset of each, the runs of all nodes would begin together.
        offset = _draws(seed, OFFSET, node) % options.block_steps
        run = (step + offset).div(options.block_steps, rounding_mode="floor")
        hidden = hidden | _drawn(window, BLOCK, run * nodes + node, options.blocks)
    if options.sensors:
        hidden = hidden | _drawn(window, SENSOR, node, options.sensors)
    return hidden.expand(len(starts), steps, nodes)


@dataclass(frozen=True, kw_only=True)
class ImputationStore(WindowStore):
    """Windows whose hidden values are to be filled in."""

    options: ImputeOptions
    redrawn: bool  # whether each epoch hides other values
    epoch: Tensor  # () int64, the current epoch; shared by all parts of the store
    hides_targets: ClassVar[bool] = True

    @property
    def target_offset(self) -> int:
        """Targets are the inputs' own steps."""
        return 0

    @property
    def channels(self) -> int:
        """C of a batch's inputs."""
        return super().channels + int(self.options.show_hidden)

    def begin_epoch(self, epoch: int) -> None:
        """Hide other values from now on, if they are redrawn."""
        if self.redrawn:
            self.epoch.fill_(epoch)

    def gather(self, windows: Tensor) -> Batch:
        """See :meth:`WindowStore.gather`; the mask is True where hidden and observed."""
        batch = super().gather(windows)
        starts = self.starts.index_select(0, windows)
        shape = self.history, self.series.shape[1]
        hidden, inputs = hidden_values(self.options, starts, int(self.epoch), *shape), batch.inputs
        # The mean of the training inputs, once standardised.
        inputs[..., self.target_channel].masked_fill_(hidden, 0.0)
        if self.options.show_hidden:
            inputs = torch.cat([inputs, hidden.unsqueeze(-1).to(inputs.dtype)], dim=-1)
        return batch._replace(inputs=inputs, mask=batch.mask & hidden)


def _drawn(window: Tensor, kind: int, place: Tensor, share: float) -> Tensor:
    """Whether each place of each window falls into ``share``."""
    return _draws(window, kind, place).lt(round(share * SHARES))


def _draws(window: Tensor | int, kind: int, place: Tensor) -> Tensor:
    """A number in [0, 2^31) for each place of each window, another for each kind of draw."""
    return _mixed(_mixed(place * 4 + kind) ^ window) & (SHARES - 1)


def _mixed(values: Tensor) -> Tensor:
    """int64 values with their bits mixed, one to one: SplitMix64's finaliser."""
    values = (values ^ _shifted(values, 30)).mul(FIRST)
    values = (values ^ _shifted(values, 27)).mul(SECOND)
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Upper bits on the lower ones' place, zeros above: torch's own shift copies the sign."""
    return values.bitwise_right_shift(bits).bitwise_and(2 ** (64 - bits) - 1)
