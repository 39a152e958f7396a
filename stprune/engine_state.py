"""What a checkpoint holds of an engine between two epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from stprune.records import EpochRecord

if TYPE_CHECKING:
    from stprune.engine import Engine


def engine_state(engine: Engine) -> dict[str, Any]:
    """All that the next epoch depends on."""
    device_rng = (
        torch.cuda.get_rng_state(engine.fabric.device)
        if engine.fabric.device.type == "cuda"
        else None
    )
    return {
        "model": engine.network.state_dict(),
        "optimiser": engine.optimiser.state_dict(),
        "scheduler": engine.scheduler.state_dict(),
        "pruner": engine.pruner.state_dict(),
        "kept": engine.kept.state_dict(),
        "order_rng": engine.order_rng.bit_generator.state,
        "torch_rng": torch.get_rng_state(),
        "device_rng": device_rng,
        "best": {
            "mae": engine.best_mae,
            "epoch": engine.best_epoch,
            "weights": engine.best_weights,
        },
        "records": [record.model_dump() for record in engine.records],
        "preparation_seconds": engine.preparation_seconds,
    }


def restore_engine(engine: Engine, state: dict[str, Any]) -> None:
    """Continue from :func:`engine_state`."""
    engine.network.load_state_dict(state["model"])
    engine.optimiser.load_state_dict(state["optimiser"])
    engine.scheduler.load_state_dict(state["scheduler"])
    engine.pruner.load_state_dict(state["pruner"])
    engine.kept.load_state_dict(state["kept"])
    engine.order_rng.bit_generator.state = state["order_rng"]
    torch.set_rng_state(state["torch_rng"])
    if state["device_rng"] is not None:
        torch.cuda.set_rng_state(state["device_rng"], engine.fabric.device)
    best = state["best"]
    engine.best_mae, engine.best_epoch = best["mae"], best["epoch"]
    engine.best_weights = best["weights"]
    engine.records = [EpochRecord.model_validate(record) for record in state["records"]]
    engine.preparation_seconds = state["preparation_seconds"]
    engine.clock.take()
