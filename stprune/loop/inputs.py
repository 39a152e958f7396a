"""What somebody's training loop hands to pruning, checked at the border."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.distributed
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from stprune.base.errors import ConfigError
from stprune.base.schema import StrictModel, validate
from stprune.loop.epoch_share import LoopError
from stprune.pruning.base import PRUNERS, Pruner, PruningContext


class LoopSettings(StrictModel):
    """The numbers that pruning needs to know of a training loop."""

    windows: int = Field(ge=1, description="n, training windows (samples).")
    epochs: int = Field(ge=1, description="E, epochs of full training.")
    prune_ratio: float = Field(ge=0, lt=1, description="p, share left out of a pruned epoch.")
    batch_size: int = Field(ge=1, description="Windows of a step, over all processes.")
    seed: int = Field(ge=0, description="Of the pruner's draws and the order of batches.")


PROBE_MISSING = ": pass `probe`, an object with the methods of stprune.pruning.base.Probe"


def build_pruner(
    name: str,
    options: Mapping[str, Any] | None,
    settings: LoopSettings,
    device: torch.device,
    stationarity: ArrayLike | None,
    adjacency: Tensor | None,
) -> tuple[Pruner, dict[str, Any]]:
    """A pruner without a window store, and the plain values that identify it.

    Raises:
        UnknownNameError: If there is no such pruner.
        ConfigError: If an option or the stationarity is not right.
        DeclinedError: If the pruner lacks what it needs.
    """
    kind = PRUNERS.load(name)
    checked = validate(kind.Options, dict(options or {}), f"options of pruner `{name}`")
    context = PruningContext(
        windows=settings.windows,
        epochs=settings.epochs,
        prune_ratio=settings.prune_ratio,
        seed=settings.seed,
        device=device,
        adjacency=adjacency,
        stationarity=_stationarity(stationarity, settings.windows),
    )
    build = cast(Callable[[PruningContext, Any], Pruner], kind)
    identity = {"pruner": name, "options": checked.model_dump(mode="json")}
    return build(context, checked), identity | settings.model_dump()


def _stationarity(values: ArrayLike | None, windows: int) -> NDArray[np.float32] | None:
    if values is None:
        return None
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    try:
        measured = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"stationarity must be {windows} numbers ({error})") from None
    if measured.shape != (windows,) or not np.isfinite(measured).all():
        raise ConfigError(
            f"stationarity must be {windows} finite numbers, one of each window, but has shape"
            f" {measured.shape} and {int((~np.isfinite(measured)).sum())} that are not finite"
        )
    return measured


def given_place(rank: int | None, world: int | None) -> tuple[int, int] | None:
    """Rank and number of processes if both were given, None if neither.

    Raises:
        ConfigError: If they do not fit each other.
    """
    if rank is None and world is None:
        return None
    if rank is None or world is None or not 0 <= rank < world:
        raise ConfigError(f"rank must be in 0 to world - 1, got rank {rank} and world {world}")
    return rank, world


def group_place() -> tuple[int, int]:
    """Rank and number of processes of ``torch.distributed``; (0, 1) if it is not initialised."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def checked_errors(numbers: Tensor, errors: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Absolute errors, 0 where masked, and the mask, both (B, H, N).

    Args:
        numbers: (B,) window numbers, on the device of per-window state.
        errors: (B, H, N) floats, of either sign.
        mask: (B, H, N) bool; None where all were observed.

    Raises:
        LoopError: If shapes, types or devices do not fit.
    """
    if errors.ndim != 3 or len(errors) != len(numbers) or not errors.is_floating_point():
        raise LoopError(
            f"errors must be (B, H, N) floats of {len(numbers)} windows, but have shape"
            f" {tuple(errors.shape)} and type {errors.dtype}; add axes of length 1 where needed"
        )
    if errors.device != numbers.device:
        raise LoopError(
            f"errors are on {errors.device}, but pruning was made for {numbers.device}; pass"
            f" device='{errors.device}'"
        )
    if mask is None:
        mask = torch.ones((), dtype=torch.bool, device=errors.device).expand(errors.shape)
    if mask.shape != errors.shape or mask.dtype != torch.bool:
        raise LoopError(
            f"mask must be bool of shape {tuple(errors.shape)} like the errors, but is"
            f" {mask.dtype} of shape {tuple(mask.shape)}"
        )
    return errors.abs() * mask, mask
