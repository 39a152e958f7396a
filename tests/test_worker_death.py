"""A killed worker of a DataLoader ends the loop, which goes on to the same bits from its state."""

from __future__ import annotations

import copy
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, get_worker_info

from stprune import IndexedDataset, PrunedBatchSampler, Pruning

WINDOWS, EPOCHS = 40, 6
INPUTS = torch.randn(WINDOWS, 4, generator=torch.Generator().manual_seed(3))


class Windows:
    """Inputs and targets; a worker that is asked for one dies if ``trap`` exists."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __len__(self) -> int:
        return WINDOWS

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.trap.exists() and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return INPUTS[index], INPUTS[index].sum(0, keepdim=True)


def train(trap: Path, saved: dict[str, Any], deadly: int | None = None) -> list[Tensor]:
    """Train what is left of somebody's loop, which saves its state after every epoch."""
    torch.manual_seed(0)
    model, data = nn.Linear(4, 1), IndexedDataset(Windows(trap))
    pruning = Pruning("infobatch", windows=WINDOWS, epochs=EPOCHS, prune_ratio=0.5, batch_size=8)
    parts: dict[str, Any] = {"model": model, "pruning": pruning}
    for name, state in saved.items():
        parts[name].load_state_dict(state)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(data, batch_sampler=PrunedBatchSampler(pruning, data), num_workers=1)
    for epoch in range(pruning.epoch, EPOCHS):
        if epoch == deadly:
            trap.touch()
        for indices, (inputs, targets) in loader:
            loss = pruning.loss(indices, (model(inputs) - targets)[:, :, None])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        saved |= {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    return list(model.parameters())


def test_a_killed_worker_costs_an_epoch_and_no_bit(tmp_path: Path) -> None:
    trap, saved = tmp_path / "trap", dict[str, Any]()
    undisturbed = train(trap, {})
    with pytest.raises(RuntimeError):
        train(trap, saved, deadly=2)
    trap.unlink()
    assert all(map(torch.equal, train(trap, saved), undisturbed))
