"""Pruning in a training loop of one's own: no engine, no configuration, no data classes.

The loss of a batch is the sum over its windows i of w_i MAE_i / B, where MAE_i is the masked mean
absolute error of window i, w_i its weight, and B the size of the batch over all processes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.distributed
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from stprune.base.errors import CheckpointError, ConfigError
from stprune.base.schema import StrictModel, validate
from stprune.loop.epoch_share import EpochShare, LoopError, checked_errors
from stprune.pruning.base import PRUNERS, Probe, Pruner, PruningContext, Selection, window_mae
from stprune.pruning.batch_order import (
    Gather,
    gather_from_processes,
    merge_window_state,
    order_epoch,
)
from stprune.pruning.probe import NoProbe


class LoopSettings(StrictModel):
    """The numbers that pruning needs to know of a training loop."""

    windows: int = Field(ge=1, description="n, training windows (samples).")
    epochs: int = Field(ge=1, description="E, epochs of full training.")
    prune_ratio: float = Field(ge=0, lt=1, description="p, share left out of a pruned epoch.")
    batch_size: int = Field(ge=1, description="Windows of a step, over all processes.")
    seed: int = Field(ge=0, description="Of the pruner's draws and the order of batches.")


class Pruning:
    """A pruner of the registry for any training loop; it also counts the epochs.

    Every batch goes through :meth:`loss`, or through :meth:`observe` for a loss of one's own. An
    epoch ends when all of it was observed; then processes exchange what they observed, so each must
    train every batch of its share.

    Args:
        pruner: Id, such as ``"st_prune"``.
        windows: n, number of training windows (samples), numbered 0 to n - 1.
        epochs: E, epochs of full training.
        prune_ratio: p in [0, 1), share of the windows left out of a pruned epoch.
        batch_size: Windows of one optimiser step, over all processes.
        seed: Of the pruner's draws and the order of batches.
        options: Of the pruner; its schema checks them.
        stationarity: (n,) of each window, for pruners that balance by it.
        adjacency: (N, N) graph, for pruners that look at it.
        probe: Trains scoring models, for static pruners that need one.
        device: Where errors are; per-window state is kept there.
        rank: This process; by default that of ``torch.distributed``, if it is initialised.
        world: Number of processes, likewise; given together with ``rank``.
        gather: How processes exchange; by default through ``torch.distributed``.

    Raises:
        ConfigError: For a setting or option that does not follow its schema.
        DeclinedError: If the pruner lacks what it needs.
    """

    def __init__(
        self,
        pruner: str,
        windows: int,
        *,
        epochs: int,
        prune_ratio: float,
        batch_size: int,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        stationarity: ArrayLike | None = None,
        adjacency: Tensor | None = None,
        probe: Probe | None = None,
        device: torch.device | str = "cpu",
        rank: int | None = None,
        world: int | None = None,
        gather: Gather | None = None,
    ) -> None:
        values = (windows, epochs, prune_ratio, batch_size, seed)
        named = dict(zip(LoopSettings.model_fields, values, strict=True))
        self.settings = validate(LoopSettings, named, "Pruning")
        if (rank is None) != (world is None) or not 0 <= (rank or 0) < (world or 1):
            raise ConfigError(f"rank must be in 0 to world - 1, got rank {rank} and world {world}")
        self._place, self._gather = (rank, world), gather or gather_from_processes
        self.device = torch.device(device)
        kind = PRUNERS.load(pruner)
        checked = validate(kind.Options, dict(options or {}), f"options of pruner `{pruner}`")
        self._pruner = cast(Callable[..., Pruner], kind)(
            PruningContext(
                **self.settings.model_dump(exclude={"batch_size"}),
                device=self.device,
                adjacency=adjacency,
                stationarity=_finite_numbers(stationarity, windows),
            ),
            checked,
        )
        self._identity = {"pruner": pruner, "options": checked.model_dump(mode="json")}
        self._identity |= self.settings.model_dump()
        missing = ": pass `probe`, an object with the methods of stprune.pruning.base.Probe"
        self._probe = probe or NoProbe(pruner, missing)
        self._order_rng = np.random.default_rng([self.settings.seed, 1])
        self._started, self._prepared = 0, False
        self._share: EpochShare | None = None
        self._boundary: dict[str, Any] = {}

    @property
    def epochs(self) -> int:
        """Epochs to train: E, or fewer for a control that trains shorter."""
        return self._pruner.planned_epochs()

    @property
    def epoch(self) -> int:
        """Epochs that are over: the number of the current epoch, or of the next."""
        return self._started if self._between_epochs else self._started - 1

    @property
    def selection(self) -> Selection:
        """Windows of the epoch started last, of all processes, in training order."""
        order = self._latest().order
        return Selection(order.indices.cpu().numpy(), order.weights.cpu().numpy())

    @property
    def scores(self) -> Tensor | None:
        """(n,) score of each window as the pruner sees it now; None if it has none."""
        scores = self._pruner.window_state.get("scores")
        return None if scores is None else scores.clone()

    def start_epoch(self, *, repeatable: bool = False) -> EpochShare:
        """Choose the windows of the next epoch; :meth:`batches` does it if need be.

        Args:
            repeatable: Let trainers that look ahead ask for the batches more than once before the
                first is observed.

        Returns:
            This process's share.

        Raises:
            LoopError: If the epoch before is not over, or there is none left.
            ConfigError: If a batch is too small to be shared by all processes.
        """
        if not self._between_epochs:
            raise self._latest().unfinished()
        if self._started >= self.epochs:
            raise LoopError(f"all {self.epochs} epochs are over; there is none left to start")
        if not self._prepared:
            self._pruner.prepare(self._probe)
            self._prepared = True
        # A checkpoint holds the generators as they were before the choice.
        self._boundary = self._state()
        selection = self._pruner.select(self._started)
        order = order_epoch(selection, self.settings.batch_size, self._order_rng, self.device)
        rank, world = self._place
        if rank is None or world is None:
            rank, world = 0, 1
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        windows = self.settings.windows
        self._share = EpochShare(self._started, order, windows, rank, world, repeatable)
        self._started += 1
        return self._share

    def batches(self) -> Iterator[Tensor]:
        """This process's batches of one epoch: (B,) int64 window numbers, on the device.

        Raises:
            LoopError: If the epoch before, or this one after its last batch, is not observed.
        """
        share = self.hand_out()
        yield from share.batches
        if not share.over:
            raise share.unfinished()

    def hand_out(self) -> EpochShare:
        """The share of the current epoch, else of the next, to iterate over once.

        Raises:
            LoopError: If the current epoch was handed out before.
        """
        share = self.start_epoch() if self._between_epochs else self._latest()
        if share.observed or (share.handed_out and not share.repeatable):
            raise share.unfinished()
        share.handed_out = True
        return share

    def batch_count(self) -> int:
        """Batches of the epoch started last; the first is started if none was."""
        if self._share is None:
            self.start_epoch()
        return len(self._latest().batches)

    def loss(self, indices: Any, errors: Tensor, mask: Tensor | None = None) -> Tensor:
        """Weighted loss of a batch, which is observed as well; nothing is copied to the host.

        Gradients must be averaged over processes, as ``DistributedDataParallel`` does. Parts of
        a batch may be passed one by one; their losses add up to that of the batch.

        Args:
            indices: (B,) window numbers, as they came with the batch.
            errors: (B, H, N) forecast minus target, or its absolute value, in real units;
                finite where masked, too.
            mask: (B, H, N) bool, True where a target was observed; None where all were.

        Returns:
            Scalar in the unit of the errors.

        Raises:
            LoopError: If no epoch is under way, or an argument does not fit it.
        """
        share = self._under_way("loss")
        numbers = share.window_numbers(indices)
        errors, mask = checked_errors(numbers, errors, mask)
        loss = (share.factors(numbers) * window_mae(errors, mask)).sum()
        self._observe(share, numbers, errors, mask)
        return loss

    def weights(self, indices: Any) -> Tensor:
        """Weights for a loss of one's own: train ``(weights * losses).mean()``, then observe.

        With one process and a whole batch they are the pruner's; otherwise they also make up for
        the rest of the batch.

        Args:
            indices: (B,) window numbers, as they came with the batch.

        Returns:
            (B,) float32.

        Raises:
            LoopError: If no epoch is under way, or these windows are not in it.
        """
        share = self._under_way("weights")
        numbers = share.window_numbers(indices)
        return share.factors(numbers, scale=len(numbers))

    def observe(self, indices: Any, errors: Tensor, mask: Tensor | None = None) -> None:
        """Show the pruner the errors of a training step; arguments are those of :meth:`loss`.

        Raises:
            LoopError: If no epoch is under way, or an argument does not fit it.
        """
        share = self._under_way("observe")
        numbers = share.window_numbers(indices)
        self._observe(share, numbers, *checked_errors(numbers, errors, mask))

    def end_epoch(self) -> None:
        """End the current epoch before all of it was observed; all processes must."""
        if not self._between_epochs:
            share = self._latest()
            share.left = True
            self._merge(share)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly, between epochs; plain values and tensors.

        Raises:
            CheckpointError: In the middle of an epoch.
        """
        if self._between_epochs:
            return self._state()
        share = self._latest()
        if share.observed:
            reason = f"{share.observed} of {share.total} windows of epoch {share.epoch} observed"
            raise CheckpointError(f"pruning is saved between epochs, not with {reason}")
        return copy.deepcopy(self._boundary)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            CheckpointError: If it is the state of something else.
        """
        identity = state.get("identity", {})
        changed = sorted(k for k in self._identity if identity.get(k) != self._identity[k])
        if changed:
            raise CheckpointError(f"this state is of pruning with another {', '.join(changed)}")
        self._pruner.load_state_dict(copy.deepcopy(state["pruner"]))
        self._order_rng.bit_generator.state = state["order_rng"]
        self._started, self._prepared = state["epoch"], state["prepared"]
        self._share = None

    def _state(self) -> dict[str, Any]:
        return {
            "identity": dict(self._identity),
            "epoch": self._started,
            "prepared": self._prepared,
            "pruner": copy.deepcopy(self._pruner.state_dict()),
            "order_rng": self._order_rng.bit_generator.state,
        }

    def _observe(self, share: EpochShare, numbers: Tensor, errors: Tensor, mask: Tensor) -> None:
        share.note(len(numbers))
        # In float32 whatever the precision of training, as scores are.
        self._pruner.observe(numbers, errors.detach().float(), mask)
        if share.over:
            self._merge(share)

    def _merge(self, share: EpochShare) -> None:
        state = self._pruner.window_state
        merge_window_state(state, share.order, share.rank, share.world, self._gather)

    def _latest(self) -> EpochShare:
        if self._share is None:
            raise LoopError("no epoch was started yet; call `start_epoch` or ask for the batches")
        return self._share

    @property
    def _between_epochs(self) -> bool:
        return self._share is None or self._share.over

    def _under_way(self, call: str) -> EpochShare:
        if self._between_epochs:
            raise LoopError(
                f"`{call}` was called with no epoch under way; ask for the batches of the next"
                " first, or call `start_epoch`"
            )
        return self._latest()


def _finite_numbers(values: ArrayLike | None, windows: int) -> NDArray[np.float32] | None:
    """Stationarity as (n,) finite numbers."""
    if values is None:
        return None
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    try:
        numbers = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"stationarity must be {windows} numbers ({error})") from None
    if numbers.shape != (windows,) or not np.isfinite(numbers).all():
        raise ConfigError(
            f"stationarity must be {windows} finite numbers, one of each window, but has shape"
            f" {numbers.shape} and {int((~np.isfinite(numbers)).sum())} that are not finite"
        )
    return numbers
