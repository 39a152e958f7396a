"""Pruning on several processes, each of which trains its share of every batch.

torchrun --nproc-per-node 2 examples/distributed.py
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from made_up_series import Forecaster, windows
from torch.nn.parallel import DistributedDataParallel

from stprune import Pruning


def train() -> None:
    """What every process does; only the first one speaks."""
    torch.set_num_threads(1)
    inputs, targets, mask, psi = windows()
    model = DistributedDataParallel(Forecaster())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    # The batch size is that of all processes together; rank and world come from the group.
    pruning = Pruning(
        "st_prune", windows=len(inputs), epochs=8, prune_ratio=0.7, batch_size=32, stationarity=psi
    )
    for epoch in range(pruning.epochs):
        total = torch.zeros(())
        for indices in pruning.batches():
            errors = model(inputs[indices]) - targets[indices]
            loss = pruning.loss(indices, errors, mask[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach()
        dist.all_reduce(total)
        if dist.get_rank() == 0:
            mean = float(total) / dist.get_world_size() / pruning.batch_count()
            kept = len(pruning.selection.indices)
            sys.stdout.write(f"epoch {epoch}: kept {kept} of {len(inputs)}, loss {mean:.3f}\n")


if __name__ == "__main__":
    dist.init_process_group("gloo")
    train()
    dist.destroy_process_group()
