"""The contract of every pruner, and what pruners share: budget, weights, errors of windows.

A pruner is one file: ``stprune/pruning/st_prune.py`` or one in ``baselines/``, with one subclass of
:class:`Pruner`. Its header names the paper, the venue, the official code and where we differ.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.registry import Registry
from stprune.base.schema import NoOptions, StrictModel

if TYPE_CHECKING:
    from stprune.data.windows import WindowStore

LossScale = Literal["mean", "sum"]


@dataclass(frozen=True)
class Selection:
    """The windows of one epoch: distinct numbers in [0, n), and factors of their losses."""

    indices: NDArray[np.int64]  # (K,)
    weights: NDArray[np.float32]  # (K,)


@dataclass(frozen=True)
class PruningContext:
    """What a pruner may know before training starts."""

    windows: int  # n, training windows
    epochs: int  # E, epochs of full training
    prune_ratio: float  # p in [0, 1), share of the windows left out of a pruned epoch
    seed: int  # of the run; each pruner draws from generators of its own
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))  # of window state
    stores: "tuple[WindowStore, ...]" = ()  # training windows of each data set
    adjacency: Tensor | None = None  # (N, N); None without a graph and for a union of data sets
    stationarity: NDArray[np.floating[Any]] | None = None  # (n,); None to measure it
    times: NDArray[np.datetime64] | None = None  # (n,) first target of each window, if known

    @property
    def keep_ratio(self) -> float:
        """r = 1 - p."""
        return 1.0 - self.prune_ratio


Observer = Callable[[Tensor, Tensor, Tensor], None]


@dataclass(frozen=True)
class Gradients:
    """Gradient of each window's loss with respect to a trained model's last layer, in batches."""

    training: Iterator[tuple[Tensor, Tensor]]  # (B,) window numbers, (B, P) float32; all windows
    validation: Iterator[Tensor]  # (B, P) of the validation windows, of the same model


class Probe(Protocol):
    """Trains fresh models of the run's kind to score windows, one a call, as preparation time.

    Indices, errors and masks are those of :meth:`Pruner.observe`.
    """

    def train(self, epochs: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Train on all windows, then yield (indices, errors, mask) of one more pass."""

    def watch(self, epochs: int, seed: int, observe: Observer) -> None:
        """Train on all windows, and show ``observe`` every window's errors once an epoch."""

    def gradients(self, epochs: int, seed: int, width: int | None) -> Gradients:
        """Train; then the last layer's gradient of each window, projected to a ``width`` if any."""


class Pruner(ABC):
    """Chooses the windows of each epoch.

    The engine calls ``prepare`` once, then for each epoch ``select`` and, after every batch,
    ``observe``. Per-window tensors that ``observe`` writes at ``indices`` belong in
    ``window_state``, so that several devices can merge what each of them saw. The score of each
    window, if the pruner has one, is called ``scores`` there: its deciles are archived.

    Attributes:
        Options: Schema of the pruner's options.
        uses_prune_ratio: False for a pruner that is the same at every prune ratio.
        draws: False for a pruner that chooses by its scores alone, whatever the seed.
        epochs: E', epochs of the pruner's schedule; E of full training unless the run's budget
            is another, under which the engine sets it.
    """

    Options: ClassVar[type[StrictModel]] = NoOptions
    uses_prune_ratio: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    def __init__(self, context: PruningContext, options: Any) -> None:
        self.context = context
        self.options = options
        self.epochs = context.epochs
        # Seeded with the class name too, so that equal seeds do not couple different pruners.
        seeds = [context.seed, *map(ord, type(self).__name__)]
        self.rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seeds)))
        self.window_state: dict[str, Tensor] = {}

    def planned_epochs(self) -> int:
        """Epochs to train under a budget of epochs: E', but for a control that trains shorter."""
        return self.epochs

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """Windows of ``select(epoch)`` in a schedule of ``epochs``; estimated if it takes scores.

        Budgets of windows, steps and time are planned with it. K in every epoch by default.
        """
        return budget(self.context.windows, self.context.keep_ratio)

    def prepare(self, probe: Probe) -> None:
        """Score windows before training, if the pruner needs to."""

    @abstractmethod
    def select(self, epoch: int) -> Selection:
        """The windows of ``epoch`` (0-based), in any order."""

    def enter(self, member: int) -> None:
        """Batches of the ``member``-th data set of a union follow."""

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Use the errors of a training step; runs after every batch, so copy nothing to the host.

        ``indices`` are (B,) int64 window numbers, ``errors`` (B, H, N) float32, absolute, in real
        units, 0 where masked, detached, and ``mask`` (B, H, N) bool, True where a target was
        observed (it may be an expanded view); all on the device.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly: random state and per-window tensors."""
        return {
            "epochs": self.epochs,
            "rng": self.rng.bit_generator.state,
            "window_state": dict(self.window_state),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.epochs = state["epochs"]
        self.rng.bit_generator.state = state["rng"]
        for name, values in state["window_state"].items():
            self.window_state[name] = values.to(self.context.device)


PRUNERS: Registry[Pruner] = Registry(
    kind="pruner",
    packages=("baselines",),
    modules=("stprune.pruning.st_prune",),
    contract="stprune.pruning.base:Pruner",
)


def budget(windows: int, keep_ratio: float) -> int:
    """K = max(1, round(r n)): windows that a pruned epoch visits, exactly."""
    return max(1, round(keep_ratio * windows))


def scale_weights(weights: NDArray[np.float32], loss_scale: LossScale) -> NDArray[np.float32]:
    """Rescale to mean 1 (``mean``), which keeps the learning rate's meaning, or leave (``sum``)."""
    if loss_scale == "sum":
        return weights
    scaled: NDArray[np.float32] = (weights / weights.mean(dtype=np.float64)).astype(np.float32)
    return scaled


def everything(windows: int) -> Selection:
    """All windows with weight 1."""
    return Selection(np.arange(windows, dtype=np.int64), np.ones(windows, dtype=np.float32))


def absolute_errors(forecast: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """|forecast - target|, 0 where ``mask`` is False. All (B, H, N), real units."""
    return (forecast - targets).abs() * mask


def window_mae(errors: Tensor, mask: Tensor) -> Tensor:
    """(B,) masked mean of absolute errors (B, H, N), 0 for a window without any observed target."""
    return errors.sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
