"""Pruning in a plain training loop: one object, its batches, its loss.

python examples/plain_loop.py
torchrun --nproc-per-node 2 examples/plain_loop.py    # each process trains its share of a batch
"""

import sys

import torch
import torch.distributed as dist
from made_up_series import Forecaster, windows
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stprune import Pruning


def main() -> None:
    """Train eight epochs with ST-Prune and say what each kept."""
    inputs, targets, mask, psi = windows()
    model: nn.Module = Forecaster()
    if several := dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
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
            # A loss of your own: (pruning.weights(indices) * losses).mean(), and then
            # pruning.observe(indices, errors, mask[indices]).
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach()
        if several:
            dist.all_reduce(total)
            total /= dist.get_world_size()
        if not several or dist.get_rank() == 0:
            kept, mean = len(pruning.selection.indices), float(total) / pruning.batch_count()
            sys.stdout.write(f"epoch {epoch}: kept {kept} of {len(inputs)}, loss {mean:.3f}\n")
    if several:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
