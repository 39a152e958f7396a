"""The devices of a run, all on one machine."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from stprune.base.errors import DeviceLostError

Measured = TypeVar("Measured")
# What gloo and NCCL say of a process that they cannot reach any more.
LOST = re.compile(r"closed by peer|reset by peer|broken pipe|refused|remote process|timeout", re.I)


def fabric_on(
    accelerator: str = "cpu",
    devices: int | list[int] = 1,
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
) -> Fabric:
    """Devices whose processes we start ourselves, also within a job of a cluster.

    By itself Fabric would take the layout of a Slurm, LSF or MPI job that it finds itself in for
    that of the run, and warn where Slurm is installed but was not asked.

    Args:
        accelerator: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        devices: How many, or the number of the one.
        precision: As in Lightning Fabric.
    """
    strategy: str | DDPStrategy = "auto"
    if isinstance(devices, int) and devices > 1:
        # Some published models hold parameters that no forecast depends on.
        strategy = DDPStrategy(find_unused_parameters=True)
        # Whoever waits for no other when one is lost is killed by Fabric, which says so here only.
        logging.getLogger("lightning_fabric.strategies.launchers").setLevel(logging.INFO)
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        precision=precision,
        strategy=strategy,
        plugins=[LightningEnvironment()],
    )


def agreed(fabric: Fabric, measured: Measured) -> Measured:
    """What the first process measured, for all: a budget of time ends all of them at once."""
    return fabric.broadcast(measured) if fabric.world_size > 1 else measured


@contextmanager
def naming_lost_device(fabric: Fabric, run: str) -> Iterator[None]:
    """Turn the loss of one of a run's processes into a line that says how to go on.

    Args:
        fabric: The devices.
        run: Names the run.

    Raises:
        DeviceLostError: If one is gone; the others end by this.
    """
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size == 1 or not LOST.search(str(error)):
            raise
        raise DeviceLostError(
            f"run {run}: one of its {fabric.world_size} processes has ended, so process"
            f" {fabric.global_rank} ends too; the same command goes on from the last epoch"
        ) from None
