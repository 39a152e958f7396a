"""Pruning on several processes, each of which trains its share of every batch.

python examples/distributed.py                                  # starts two processes itself
torchrun --nproc-per-node 2 examples/distributed.py             # or let torchrun do it
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from made_up_series import Forecaster, windows
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from stprune import Pruning

PROCESSES = 2


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


def start(rank: int, meeting: str) -> None:
    """Join the group of the processes that this file starts, and train."""
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=PROCESSES)
    train()
    dist.destroy_process_group()


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:
        dist.init_process_group("gloo")
        train()
        dist.destroy_process_group()
    else:
        with tempfile.TemporaryDirectory() as folder:
            spawn(start, args=(str(Path(folder, "meeting")),), nprocs=PROCESSES)
