"""What a run cost, from its epochs."""

from __future__ import annotations

import sys
from statistics import median

import torch

from stprune.records.run import Cost, EpochRecord
from stprune.training.budget import TrainingBudget


def run_cost(
    epochs: list[EpochRecord],
    *,
    budget: TrainingBudget,
    training_windows: int,
    full_epochs: int,
    prune_ratio: float,
    preparation_seconds: float,
    test_seconds: float,
    peak_memory: int,
    processor_joules: float | None = None,
    device_joules: float | None = None,
) -> Cost:
    """Add up a run.

    Args:
        epochs: Its epochs.
        budget: What it was allowed.
        training_windows: n.
        full_epochs: Epochs of full training, to which the overall keep ratio relates.
        prune_ratio: Nominal.
        preparation_seconds: Building and preparing the pruner.
        test_seconds: The one test pass.
        peak_memory: Bytes.
        processor_joules: Up to the test; None if not counted.
        device_joules: The same of the devices.
    """
    pruned = [epoch for epoch in epochs if epoch.windows < training_windows]
    full = [epoch for epoch in epochs if epoch.windows >= training_windows]
    counted = pruned or full
    visited = sum(epoch.windows for epoch in epochs)
    train = preparation_seconds + sum(epoch.train_seconds for epoch in epochs)
    validation = sum(epoch.validation_seconds for epoch in epochs)
    checkpoint = sum(epoch.checkpoint_seconds for epoch in epochs)
    return Cost(
        budget=budget.kind,
        budget_share=budget.share(epochs, preparation_seconds),
        epochs=len(epochs),
        gradient_steps=sum(epoch.gradient_steps for epoch in epochs),
        windows_visited=visited,
        training_windows=training_windows,
        nominal_keep_ratio=1.0 - prune_ratio,
        realised_keep_ratio=sum(e.windows for e in counted) / len(counted) / training_windows,
        overall_keep_ratio=visited / (training_windows * full_epochs),
        preparation_seconds=preparation_seconds,
        epoch_seconds=median(epoch.train_seconds for epoch in counted),
        full_epoch_seconds=median(e.train_seconds for e in full) if full else None,
        overhead_seconds=median(e.scoring_seconds + e.selection_seconds for e in counted),
        train_seconds=train,
        validation_seconds=validation,
        checkpoint_seconds=checkpoint,
        total_seconds=train + validation + checkpoint,
        test_seconds=test_seconds,
        peak_memory_bytes=peak_memory,
        processor_joules=processor_joules,
        device_joules=device_joules,
    )


def peak_memory_bytes(device: torch.device) -> int:
    """Peak memory of the device, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak if sys.platform == "darwin" else peak * 1024
