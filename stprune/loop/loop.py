"""Pruning in a training loop of one's own: no engine, no configuration, no data classes.

The loss of a batch is the sum over its windows i of w_i MAE_i / B, where MAE_i is the masked mean
absolute error of window i, w_i its weight, and B the size of the batch over all processes.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import suppress
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import Sampler, StackDataset

from stprune.base.errors import CheckpointError, ConfigError, StpruneError
from stprune.base.schema import StrictModel, validate
from stprune.pruning.base import PRUNERS, Probe, Pruner, PruningContext, Selection, window_mae
from stprune.pruning.batch_order import EpochOrder, merge_window_state, order_epoch
from stprune.pruning.probe import NoProbe


class LoopError(StpruneError):
    """A call from a training loop that does not fit the current epoch."""


class LoopSettings(StrictModel):
    """The numbers that pruning needs to know of a training loop; see :class:`Pruning`."""

    windows: int = Field(ge=1)
    epochs: int = Field(ge=1)
    prune_ratio: float = Field(ge=0, lt=1)
    batch_size: int = Field(ge=1)
    seed: int = Field(ge=0)


class Pruning:
    """A pruner of the registry for any training loop; it also counts the epochs.

    Every batch goes through :meth:`loss`, or through :meth:`observe` for a loss of one's own. An
    epoch ends when all of it was observed. Where ``torch.distributed`` is initialised, each process
    trains its share of every batch, and at the end of an epoch they exchange what they observed.

    Args:
        pruner: Id, such as ``"st_prune"``; its schema checks the ``options``.
        windows: n, number of training windows (samples), numbered 0 to n - 1.
        epochs: E, epochs of full training.
        prune_ratio: p in [0, 1), share of the windows left out of a pruned epoch.
        batch_size: Windows of one optimiser step, over all processes.
        stationarity: (n,) of each window, for pruners that balance by it.
        adjacency: (N, N) graph, for pruners that look at it.
        probe: Trains scoring models, for static pruners that need one.
        device: Where errors are; per-window state is kept there.

    Raises ConfigError for a setting or option that does not follow its schema, DeclinedError if the
    pruner lacks what it needs.
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
    ) -> None:
        values = (windows, epochs, prune_ratio, batch_size, seed)
        named = dict(zip(LoopSettings.model_fields, values, strict=True))
        self.settings = validate(LoopSettings, named, "Pruning")
        self.device = torch.device(device)
        kind = PRUNERS.load(pruner)
        checked = validate(kind.Options, dict(options or {}), f"options of pruner `{pruner}`")
        self._pruner = cast(Callable[..., Pruner], kind)(
            PruningContext(
                **self.settings.model_dump(exclude={"batch_size"}),
                device=self.device,
                adjacency=adjacency,
                stationarity=None if stationarity is None else _numbers(stationarity, windows),
            ),
            checked,
        )
        self._identity = {"pruner": pruner, "options": checked.model_dump(mode="json")}
        self._identity |= self.settings.model_dump()
        missing = ": pass `probe`, an object with the methods of stprune.pruning.base.Probe"
        self._probe = probe or NoProbe(pruner, missing)
        self._order_rng = np.random.default_rng([self.settings.seed, 1])
        self._started, self._prepared = 0, False
        self._share: _EpochShare | None = None
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

    def start_epoch(self) -> None:
        """Choose the next epoch's windows, if :meth:`batches` is not to; or raise a LoopError."""
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
        self._share = _EpochShare(self._started, order, self.settings.windows)
        self._started += 1

    def batches(self) -> Iterator[Tensor]:
        """This process's batches of one epoch: (B,) int64 window numbers, on the device.

        Raises LoopError if the epoch before, or this one after its last batch, is not observed.
        """
        yield from self.hand_out()
        if not self._between_epochs:
            raise self._latest().unfinished()

    def hand_out(self) -> list[Tensor]:
        """The batches of the current epoch, else of the next; LoopError if handed out before.

        But again after :meth:`start_epoch` until one is observed, for trainers that look ahead.
        """
        if self._between_epochs:
            self.start_epoch()
            self._latest().started_by_batches = True
        elif self._latest().started_by_batches or self._latest().observed:
            raise self._latest().unfinished()
        return self._latest().batches

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

        Raises LoopError if no epoch is under way, or an argument does not fit it.
        """
        share, numbers = self._under_way("loss", indices)
        errors, mask = self._observe(share, numbers, errors, mask)
        return (share.factors(numbers) * window_mae(errors, mask)).sum()

    def weights(self, indices: Any) -> Tensor:
        """(B,) weights for a loss of one's own: train ``(weights * losses).mean()``, then observe.

        With one process and a whole batch they are the pruner's; otherwise they also make up for
        the rest of the batch. Raises LoopError as :meth:`loss` does.
        """
        share, numbers = self._under_way("weights", indices)
        return share.factors(numbers, scale=len(numbers))

    def observe(self, indices: Any, errors: Tensor, mask: Tensor | None = None) -> None:
        """Show the pruner the errors of a training step; all is as in :meth:`loss`."""
        self._observe(*self._under_way("observe", indices), errors, mask)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly; a CheckpointError in the middle of an epoch."""
        if self._between_epochs:
            return self._state()
        if self._latest().observed:
            raise CheckpointError(f"pruning is saved between epochs; {self._latest().unfinished()}")
        return copy.deepcopy(self._boundary)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`; a CheckpointError if it is of something else."""
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

    def _observe(
        self, share: "_EpochShare", numbers: Tensor, errors: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Note a batch; its absolute errors, 0 where masked, and the mask, both (B, H, N)."""
        if errors.ndim != 3 or len(errors) != len(numbers) or not errors.is_floating_point():
            rule = f"(B, H, N) floats of {len(numbers)} windows (axes may have length 1)"
            raise LoopError(f"errors must be {rule}, not {tuple(errors.shape)} {errors.dtype}")
        if mask is None:
            mask = torch.ones((), dtype=torch.bool, device=errors.device).expand(errors.shape)
        if mask.shape != errors.shape or mask.dtype != torch.bool:
            rule = f"bool of shape {tuple(errors.shape)} like the errors"
            raise LoopError(f"mask must be {rule}, not {mask.dtype} of shape {tuple(mask.shape)}")
        if share.observed + len(numbers) > share.total:
            more = f"{len(numbers)} more are too many; pass each batch to `loss` or `observe`, once"
            raise LoopError(f"epoch {share.epoch}: {share.observed} of {share.total}, {more}")
        share.observed += len(numbers)
        errors = errors.abs() * mask
        # In float32 whatever the precision of training, as scores are.
        self._pruner.observe(numbers, errors.detach().float(), mask)
        if share.over:
            state = self._pruner.window_state
            merge_window_state(state, share.order, share.rank, share.world, _all_gather)
        return errors, mask

    def _latest(self) -> "_EpochShare":
        if self._share is None:
            raise LoopError("no epoch was started yet; call `start_epoch` or ask for the batches")
        return self._share

    @property
    def _between_epochs(self) -> bool:
        return self._share is None or self._share.over

    def _under_way(self, call: str, indices: Any) -> "tuple[_EpochShare, Tensor]":
        if self._between_epochs:
            advice = "ask for the batches of the next first, or call `start_epoch`"
            raise LoopError(f"`{call}` was called with no epoch under way; {advice}")
        share = self._latest()
        return share, share.window_numbers(indices)


class _EpochShare:
    """What this process does in one epoch: its batches, and the factors of its losses."""

    def __init__(self, epoch: int, order: EpochOrder, windows: int) -> None:
        self.epoch, self.order, self.rank, self.world = epoch, order, 0, 1
        if dist.is_available() and dist.is_initialized():
            self.rank, self.world = dist.get_rank(), dist.get_world_size()
        # 0 for a window that is not of this share.
        self.weights = torch.zeros(windows, device=order.indices.device)
        self.batch_sizes = torch.ones_like(self.weights)
        self.batches: list[Tensor] = []
        for indices, weights, batch_size in order.batches(self.rank, self.world):
            self.weights[indices] = weights
            self.batch_sizes[indices] = float(batch_size)
            self.batches.append(indices)
        self.total, self.observed = sum(map(len, self.batches)), 0
        self.started_by_batches = False

    @property
    def over(self) -> bool:
        return self.observed >= self.total

    def unfinished(self) -> LoopError:
        """The error of going on before the epoch is over."""
        return LoopError(
            f"epoch {self.epoch} is not over: {self.observed} of {self.total} windows were"
            " observed; pass every batch to `loss` or `observe`"
        )

    def window_numbers(self, indices: Any) -> Tensor:
        """``indices`` as (B,) int64 on the device; on a CPU, checked to be of this share."""
        numbers = torch.as_tensor(indices)
        if numbers.ndim != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool:
            given = f"{numbers.dtype} of shape {tuple(numbers.shape)}"
            raise LoopError(f"indices must be (B,) whole window numbers, not {given}")
        numbers = numbers.long()
        # On another device, a comparison would wait for it.
        if numbers.device.type == self.weights.device.type == "cpu":
            inside = (numbers >= 0) & (numbers < len(self.weights))
            known = inside & (self.weights[numbers.where(inside, 0)] > 0)
            if not known.all():
                where = f"is not in epoch {self.epoch} of process {self.rank}"
                advice = "pass the numbers that came with the batch"
                raise LoopError(f"window {int(numbers[~known][0])} {where}; {advice}")
        return numbers.to(self.weights.device, non_blocking=True)

    def factors(self, numbers: Tensor, scale: int = 1) -> Tensor:
        """(B,) factor of each window's loss in the sum over this process's batch.

        Times the number of processes, over which gradients are averaged, and times ``scale``: the
        length of this process's batch, if losses are averaged instead of summed.
        """
        return self.weights[numbers] * (scale * self.world / self.batch_sizes[numbers])


def _numbers(stationarity: ArrayLike, windows: int) -> NDArray[np.float32]:
    """Return (n,) finite numbers; a ConfigError for anything else."""
    if isinstance(stationarity, Tensor):
        stationarity = stationarity.detach().cpu()
    numbers = np.empty(0, np.float32)
    with suppress(TypeError, ValueError):
        numbers = np.asarray(stationarity, dtype=np.float32)
    if numbers.shape != (windows,) or not np.isfinite(numbers).all():
        raise ConfigError(f"stationarity must be {windows} finite numbers, one of each window")
    return numbers


def _all_gather(values: Tensor) -> Tensor:
    """(L, ...) of every process as (world, L, ...)."""
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values)
    return torch.stack(parts)


class IndexedDataset(StackDataset[tuple[Any, ...]]):
    """``(number, sample)`` of a map-style data set of training samples, 0 to n - 1."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(cast(Any, range(len(dataset))), dataset)


class PrunedBatchSampler(Sampler[list[int]]):
    """This process's batches of the current epoch; iterating it again begins the next one.

    Its length is that of the epoch started last: call ``pruning.start_epoch()`` first where it must
    be known before the batches are. A ConfigError if the data set is of another length.
    """

    def __init__(self, pruning: Pruning, dataset: Sized) -> None:
        if len(dataset) != pruning.settings.windows:
            wanted = f"but pruning was made for {pruning.settings.windows} windows"
            raise ConfigError(f"the data set has {len(dataset)} samples, {wanted}")
        self.pruning = pruning

    def __iter__(self) -> Iterator[list[int]]:
        # A generator starts the epoch with its first batch; a loader with workers makes an iterator
        # that it never uses.
        batches = self.pruning.hand_out()
        # One copy to the host: with one of each batch it would wait for the device every time.
        for indices in torch.cat(batches).cpu().split([len(part) for part in batches]):
            yield indices.tolist()

    def __len__(self) -> int:
        return self.pruning.batch_count()
