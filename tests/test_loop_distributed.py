"""Two processes with pruning of their own give what one process with the same batches gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from stprune import Pruning

WINDOWS, EPOCHS, PROCESSES = 120, 8, 2


def train(model: nn.Module) -> dict[str, Any]:
    """Train and return what this process did and saw in each epoch."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(WINDOWS, 4, 3, generator=generator)
    targets, mask = inputs.cumsum(1), torch.rand(WINDOWS, 4, 3, generator=generator) > 0.1
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    pruning = Pruning(
        "st_prune",
        WINDOWS,
        epochs=EPOCHS,
        prune_ratio=0.6,
        batch_size=14,
        stationarity=inputs.std((1, 2)),
    )
    notes: dict[str, Any] = {"selected": [], "trained": [], "scores": [], "weights": []}
    for epoch in range(pruning.epochs):
        batches = []
        for number, indices in enumerate(pruning.batches()):
            errors = model(inputs[indices]) - targets[indices]
            if epoch % 2:
                loss = pruning.loss(indices, errors, mask[indices])
            else:
                # A loss of one's own: the same one, spelled out.
                losses = (errors.abs() * mask[indices]).sum((1, 2)) / mask[indices].sum((1, 2))
                loss = (pruning.weights(indices) * losses).mean()
                pruning.observe(indices, errors, mask[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            batches.append(indices.tolist())
            assert number < pruning.batch_count()
        notes["selected"].append(pruning.selection.indices.tolist())
        notes["trained"].append(batches)
        notes["scores"].append(pruning.state_dict()["pruner"]["window_state"]["scores"])
    notes["weights"] = [values.detach().clone() for values in model.parameters()]
    return notes


def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(3, 3)


def work(rank: int, folder: str) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", meeting, rank=rank, world_size=PROCESSES)
    torch.save(train(DistributedDataParallel(model())), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def flat(lists: list[list[int]]) -> list[int]:
    return [number for numbers in lists for number in numbers]


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    one = train(model())
    # Processes meet through a file, so no port can be taken by somebody else.
    spawn(work, args=(str(tmp_path),), nprocs=PROCESSES)
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]
    for epoch in range(EPOCHS):
        selected = one["selected"][epoch]
        assert [each["selected"][epoch] for each in both] == [selected, selected]
        # No window is lost or comes twice, and each step's parts are the one process's batch.
        shares = [each["trained"][epoch] for each in both]
        assert sorted(flat(shares[0]) + flat(shares[1])) == sorted(selected)
        for first, second, whole in zip(*shares, one["trained"][epoch], strict=True):
            assert sorted(first + second) == sorted(whole)
        scores: list[Tensor] = [each["scores"][epoch] for each in both]
        assert torch.equal(*scores)
        # float32 sums in another order; the error of 1e-7 grows a little in 55 steps.
        torch.testing.assert_close(scores[0], one["scores"][epoch], rtol=1e-4, atol=1e-5)
    for first, second, whole in zip(
        *[each["weights"] for each in both], one["weights"], strict=True
    ):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, whole, rtol=1e-4, atol=1e-5)
