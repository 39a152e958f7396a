"""Pruning in a plain training loop: one object, its batches, its loss.

python examples/plain_loop.py
"""

from __future__ import annotations

import sys

import torch
from made_up_series import Forecaster, windows

from stprune import Pruning


def main() -> None:
    """Train eight epochs with ST-Prune and say what each kept."""
    inputs, targets, mask, psi = windows()
    model = Forecaster()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    pruning = Pruning(
        "st_prune", windows=len(inputs), epochs=8, prune_ratio=0.7, batch_size=32, stationarity=psi
    )
    for epoch in range(pruning.epochs):
        total = 0.0
        for indices in pruning.batches():
            errors = model(inputs[indices]) - targets[indices]
            loss = pruning.loss(indices, errors, mask[indices])
            # A loss of your own: (pruning.weights(indices) * losses).mean(), and then
            # pruning.observe(indices, errors, mask[indices]).
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
        kept = len(pruning.selection.indices)
        mean = total / pruning.batch_count()
        sys.stdout.write(f"epoch {epoch}: kept {kept} of {len(inputs)}, loss {mean:.3f}\n")


if __name__ == "__main__":
    main()
