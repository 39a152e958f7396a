"""What one epoch did and where its time went, from what the engine measured."""

from __future__ import annotations

from collections.abc import Mapping

from stprune.pruning.batch_order import EpochOrder
from stprune.records.run import EpochRecord


def epoch_record(
    order: EpochOrder,
    *,
    epoch: int,
    training_windows: int,
    learning_rate: float,
    train_loss: float,
    validation_mae: float | None,
    train_seconds: float,
    checkpoint_seconds: float,
    clocked: Mapping[str, float],
    spent: float,
) -> EpochRecord:
    """The record of an epoch.

    Args:
        order: What it visited.
        epoch: 0-based.
        training_windows: n.
        learning_rate: During the epoch.
        train_loss: Mean over its batches.
        validation_mae: None where validation was skipped.
        train_seconds: From selection to the last step.
        checkpoint_seconds: Of the previous epoch's checkpoint.
        clocked: Seconds of ``data``, ``scoring``, ``selection`` and ``validation``.
        spent: Seconds before the epoch, preparation included.
    """
    parts = {name: clocked.get(name, 0.0) for name in ("data", "scoring", "selection")}
    validation = clocked.get("validation", 0.0)
    return EpochRecord(
        epoch=epoch,
        windows=len(order.indices),
        keep_ratio=len(order.indices) / training_windows,
        gradient_steps=len(order.sizes),
        learning_rate=learning_rate,
        train_loss=train_loss,
        validation_mae=validation_mae,
        data_seconds=parts["data"],
        # The rest of the loop: so the four parts add up to the measured whole.
        step_seconds=train_seconds - sum(parts.values()),
        scoring_seconds=parts["scoring"],
        selection_seconds=parts["selection"],
        train_seconds=train_seconds,
        validation_seconds=validation,
        checkpoint_seconds=checkpoint_seconds,
        elapsed_seconds=spent + train_seconds + validation + checkpoint_seconds,
    )
