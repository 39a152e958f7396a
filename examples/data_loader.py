"""Pruning with a DataLoader whose workers stay alive: window numbers travel with the batch.

python examples/data_loader.py
"""

import sys

import torch
from made_up_series import Forecaster, windows
from torch.utils.data import DataLoader, TensorDataset

from stprune import IndexedDataset, PrunedBatchSampler, Pruning


def main() -> None:
    """Train eight epochs with InfoBatch and two workers."""
    inputs, targets, mask, _ = windows()
    model = Forecaster()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    pruning = Pruning("infobatch", windows=len(inputs), epochs=8, prune_ratio=0.7, batch_size=32)
    data = IndexedDataset(TensorDataset(inputs, targets, mask))
    sampler = PrunedBatchSampler(pruning, data)
    loader = DataLoader(data, batch_sampler=sampler, num_workers=2, persistent_workers=True)
    for epoch in range(pruning.epochs):
        pruning.start_epoch()  # not needed, but so the length of the loader is known
        batches, total = len(loader), 0.0
        for indices, (history, future, observed) in loader:
            loss = pruning.loss(indices, model(history) - future, observed)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
        kept = len(pruning.selection.indices)
        sys.stdout.write(
            f"epoch {epoch}: kept {kept} of {len(data)} in {batches} batches,"
            f" loss {total / batches:.3f}\n"
        )


if __name__ == "__main__":
    main()
