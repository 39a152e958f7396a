"""The devices of a run, all on one machine: how Fabric uses them, and how they fail."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from stprune.backbones.base import Backbone
from stprune.base.errors import ConfigError, DeclinedError, DeviceLostError, OutOfMemoryError
from stprune.base.settings import ComputeSettings
from stprune.config.grid import RunSpec
from stprune.training.sharing import pin

Measured = TypeVar("Measured")
# Messages of gloo and NCCL about a process that they cannot reach any more.
LOST = re.compile(r"closed by peer|reset by peer|broken pipe|refused|remote process|timeout", re.I)
# Messages of torch about the memory of a processor or of a device.
REFUSED = re.compile(r"can't allocate|out of memory|not enough memory|_STATUS_ALLOC_FAILED", re.I)
# Of the free memory; the rest is for what the allocator cannot join.
USABLE = 0.9
PROCESSOR = ComputeSettings()


def fabric_on(
    compute: ComputeSettings = PROCESSOR,
    devices: int | list[int] = 1,
    accelerator: str | None = None,
) -> Fabric:
    """``devices`` of ``compute``'s kind, or of another one; a list names those that it means.

    We start their processes ourselves: Fabric would take the layout of a surrounding Slurm, LSF or
    MPI job for its own.
    """
    # Weight decay takes unused weights below 1e-38, where a processor computes many times slower.
    torch.set_flush_denormal(True)
    strategy: str | DDPStrategy = "auto"
    if isinstance(devices, int) and devices > 1:
        # Some published models hold parameters that no forecast depends on.
        strategy = DDPStrategy(find_unused_parameters=True)
        # Fabric reports only here which processes it kills after one is lost.
        logging.getLogger("lightning_fabric.strategies.launchers").setLevel(logging.INFO)
    where: dict[str, Any] = {"accelerator": accelerator or compute.accelerator, "devices": devices}
    how: dict[str, Any] = {"precision": compute.precision, "strategy": strategy}
    fabric = Fabric(**where, **how, plugins=[LightningEnvironment()])
    if fabric.device.type == "cuda":
        # By default torch lets convolutions use TF32, but no products.
        torch.set_float32_matmul_precision("high" if compute.matmul == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = compute.matmul == "tf32"
    return fabric


def windows_at_a_time(
    network: Backbone, asked: int | Literal["auto"] | None, device: torch.device
) -> int | None:
    """Windows of a batch that are computed together, None for all; by default as the backbone says.

    Raises DeclinedError if a number is asked for but the network has statistics over the batch.
    """
    if asked is None or asked == "auto":
        return network.micro_batch() if device.type == "cpu" else None
    if has_batch_statistics(network):
        why = f"{type(network).__name__} normalises over the batch"
        raise DeclinedError(f"`compute.micro_batch`: {why}; leave it at null")
    return asked


def has_batch_statistics(network: nn.Module) -> bool:
    """Whether a batch in parts would have other statistics than the whole."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def fitting_windows(
    work: Callable[[int], object], most: int, device: torch.device, runs: int
) -> int:
    """At most ``most`` windows whose ``work`` fits on a CUDA device that ``runs`` share."""

    def peak(windows: int) -> int:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work(windows)
        return torch.cuda.max_memory_allocated(device) - before

    work(1)  # libraries take memory of their own at the first call
    free, total = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return windows_within(int(USABLE * min(free + cached, total // runs)), most, peak)


def windows_within(memory: int, most: int, measure: Callable[[int], int]) -> int:
    """The first of ``most``, its half, its quarter ... windows that take at most ``memory`` bytes.

    ``measure`` says what 1 and 2 windows take at a time; halves, so that a little more or less of
    memory seldom changes what a run computes.
    """
    one, two = measure(1), measure(2)
    while most > 1 and one + (most - 1) * max(0, two - one) > memory:
        most = -(-most // 2)
    return most


def agreed(fabric: Fabric, measured: Measured) -> Measured:
    """The first process's measurement, for all: a budget of time must end all of them at once."""
    return fabric.broadcast(measured) if fabric.world_size > 1 else measured


def pin_process(fabric: Fabric, cores: list[int] | None, threads: int) -> None:
    """Pin each process of a run to ``threads`` of the ``cores`` that the first one claimed."""
    if fabric.world_size > 1 and (cores := fabric.broadcast(cores)) is not None:
        first = fabric.global_rank * threads
        pin(cores[first : first + threads])


@contextmanager
def naming_failures(fabric: Fabric, spec: RunSpec) -> Iterator[None]:
    """Turn a refusal of memory, or the loss of one of a run's processes, into one line."""
    run = spec.key.path
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or REFUSED.search(str(error)):
            first = "lower compute.micro_batch, which leaves the result as it is (`auto` on a GPU)"
            others = "or training.batch_size, or training.evaluation_batch_size"
            raise OutOfMemoryError(f"run {run} is out of memory; {first}, {others}") from None
        if fabric.world_size > 1 and LOST.search(str(error)):
            ended = f"one of its {fabric.world_size} processes has ended, so all do"
            again = "the same command goes on from the last epoch"
            raise DeviceLostError(f"run {run}: {ended}; {again}") from None
        raise


def compile_network(network: nn.Module, device: torch.device, how: bool | str) -> None:
    """Have ``network`` compiled at its first call; a ConfigError if this machine cannot."""
    mode = how if isinstance(how, str) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the compiler's own imports
        try:
            probe = torch.compile(lambda values: values.sin() + 1, mode=mode)
            probe(torch.zeros(8, device=device))
        except Exception as error:  # of the compiler, its tools or the system
            reason = repr(error).split("\\n")[0][:200]
            problem = f"`compute.compile`: torch cannot compile for {device.type} here ({reason})"
            advice = "install a C++ compiler, or set it to false"
            raise ConfigError(f"{problem}; {advice}") from None
    network.compile(mode=mode)
