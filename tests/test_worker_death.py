"""A worker of a DataLoader that is killed: the loop ends with torch's error, and goes on to the
same bits from what it saved.
"""

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


class Windows:
    """Inputs and targets; the worker that is asked for ``deadly`` dies if ``trap`` is set."""

    def __init__(self, trap: Path, deadly: int = -1) -> None:
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(WINDOWS, 4, generator=generator)
        self.targets = self.inputs.sum(1, keepdim=True)
        self.trap, self.deadly = trap, deadly

    def __len__(self) -> int:
        return WINDOWS

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index == self.deadly and self.trap.exists() and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inputs[index], self.targets[index]


class Loop:
    """Somebody's training loop, which saves its state after every epoch."""

    def __init__(self, data: Windows, state: dict[str, Any] | None = None) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(4, 1)
        self.pruning = Pruning(
            "infobatch", windows=WINDOWS, epochs=EPOCHS, prune_ratio=0.5, batch_size=8
        )
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.pruning.load_state_dict(state["pruning"])
        self.indexed = IndexedDataset(data)
        self.state = self._saved()

    def _saved(self) -> dict[str, Any]:
        parts = {"model": self.model.state_dict(), "pruning": self.pruning.state_dict()}
        return copy.deepcopy(parts)

    def run(self) -> list[Tensor]:
        """Train what is left; returns the weights."""
        optimiser = torch.optim.SGD(self.model.parameters(), lr=0.05)
        sampler = PrunedBatchSampler(self.pruning, self.indexed)
        loader = DataLoader(self.indexed, batch_sampler=sampler, num_workers=1)
        for _ in range(self.pruning.epoch, EPOCHS):
            for indices, (inputs, targets) in loader:
                errors = self.model(inputs) - targets
                loss = self.pruning.loss(indices, errors[:, :, None])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            self.state = self._saved()
        return [parameter.detach().clone() for parameter in self.model.parameters()]


def test_a_killed_worker_costs_an_epoch_and_no_bit(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    undisturbed = Loop(Windows(trap)).run()
    disturbed = Loop(Windows(trap, deadly=17))
    trap.touch()
    with pytest.raises(RuntimeError, match=r"DataLoader worker .*(killed|exited)"):
        disturbed.run()
    trap.unlink()
    continued = Loop(Windows(trap, deadly=17), disturbed.state).run()
    for ours, theirs in zip(continued, undisturbed, strict=True):
        assert torch.equal(ours, theirs)
