"""A loss or a validation error that is not finite any more, and where it began."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from stprune.base.errors import TrainingDivergedError
from stprune.base.layout import RunKey


def refuse_divergence(mean_loss: float, losses: Sequence[Tensor], key: RunKey, epoch: int) -> None:
    """End a run whose loss is not finite.

    Args:
        mean_loss: Of the epoch.
        losses: () of each of its batches on this device, still there: looked at only now, since
            the host would have to wait for each.
        key: The run.
        epoch: 0-based.

    Raises:
        TrainingDivergedError: Naming the epoch and the first batch, counted from 1 as in the log.
    """
    if math.isfinite(mean_loss):
        return
    first = next((i for i, loss in enumerate(losses, 1) if not math.isfinite(float(loss))), None)
    batch = "" if first is None else f", batch {first} of {len(losses)}"
    raise TrainingDivergedError(
        f"run {key.path}: the training loss of epoch {epoch + 1}{batch} is {mean_loss}; lower the"
        " learning rate or clip gradients"
    )


def refuse_no_validation_error(mae: float, key: RunKey, epoch: int) -> None:
    """End a run whose validation error is not finite: no epoch could be chosen by it.

    Args:
        mae: On the validation windows, after the epoch.
        key: The run.
        epoch: 0-based.

    Raises:
        TrainingDivergedError: Naming the epoch, counted from 1.
    """
    if not math.isfinite(mae):
        raise TrainingDivergedError(
            f"run {key.path}: the validation error of epoch {epoch + 1} is {mae}; lower the"
            " learning rate, or see whether the validation split has any observed target"
        )
