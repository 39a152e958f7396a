"""What a checkpoint holds of an engine between two epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from stprune.records.run import EpochRecord

if TYPE_CHECKING:
    from stprune.training.engine import Engine


def engine_state(engine: Engine) -> dict[str, Any]:
    """All that the next epoch depends on; every process of a run has to ask for it."""
    on_cuda = engine.fabric.device.type == "cuda"
    device_rng = torch.cuda.get_rng_state(engine.fabric.device) if on_cuda else None
    return {
        "model": engine.network.state_dict(),
        "optimiser": engine.optimiser.state_dict(),
        "scheduler": engine.scheduler.state_dict(),
        "pruner": engine.pruner.state_dict(),
        "kept": engine.kept.state_dict(),
        "order_rng": engine.order_rng.bit_generator.state,
        "torch_rng": _of_all_processes(engine, torch.get_rng_state()),
        "device_rng": None if device_rng is None else _of_all_processes(engine, device_rng),
        "best": {
            "mae": engine.best_mae,
            "epoch": engine.best_epoch,
            "weights": engine.best_weights,
        },
        "records": [record.model_dump() for record in engine.records],
        "preparation_seconds": engine.preparation_seconds,
    }


def _of_all_processes(engine: Engine, state: Tensor) -> Tensor:
    """(processes, bytes) uint8: each draws its own dropout, and goes on with it."""
    if engine.fabric.world_size == 1:
        return state[None]
    gathered = engine.fabric.all_gather(state.to(engine.fabric.device))
    return cast(Tensor, gathered).cpu()


def restore_engine(engine: Engine, state: dict[str, Any]) -> None:
    """Continue from :func:`engine_state`."""
    engine.network.load_state_dict(state["model"])
    engine.optimiser.load_state_dict(state["optimiser"])
    engine.scheduler.load_state_dict(state["scheduler"])
    engine.pruner.load_state_dict(state["pruner"])
    engine.kept.load_state_dict(state["kept"])
    engine.order_rng.bit_generator.state = state["order_rng"]
    rank = engine.fabric.global_rank
    # A copy: torch takes a view's bytes from where they are not aligned, and crashes.
    torch.set_rng_state(state["torch_rng"][rank].clone())
    if state["device_rng"] is not None:
        torch.cuda.set_rng_state(state["device_rng"][rank].clone(), engine.fabric.device)
    best = state["best"]
    engine.best_mae, engine.best_epoch = best["mae"], best["epoch"]
    engine.best_weights = best["weights"]
    engine.records = [EpochRecord.model_validate(record) for record in state["records"]]
    engine.preparation_seconds = state["preparation_seconds"]
    engine.clock.take()
