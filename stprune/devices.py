"""The devices of a run, all on one machine."""

from __future__ import annotations

from typing import Literal

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy


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
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        precision=precision,
        strategy=strategy,
        plugins=[LightningEnvironment()],
    )
