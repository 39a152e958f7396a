"""What a window costs here, to train on and to evaluate: measured on made-up data, by the engine.

Measuring happens in a process of its own, which is ended when its time is over, since a large graph
can take minutes to set up. What was measured is kept beside the results, so that asking again, or
for longer, goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any

import psutil
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pydantic import Field
from threadpoolctl import threadpool_limits
from torch import nn

from stprune.backbones.base import parameter_count
from stprune.base.errors import StpruneError
from stprune.base.files import write_json
from stprune.base.layout import DataLayout
from stprune.base.schema import NoOptions, StrictModel, validate
from stprune.base.text import read_json_file
from stprune.config.grid import RunSpec
from stprune.data.card import card_path
from stprune.records.run import EpochRecord
from stprune.training.devices import available_cores, fabric_on
from stprune.training.engine import Engine
from stprune.training.provenance import environment, run_sources, source_digest
from stprune.workflow.made_up_data import made_up_run_data

logger = logging.getLogger(__name__)

# Values that a batch may hold when it is measured on a processor: 64 windows of 12 steps of 207
# nodes. Of a larger graph fewer windows are taken: their time adds up, their memory would too.
PROCESSOR_VALUES = 64 * 12 * 207
# A first epoch of so long is not repeated without its warming up.
SLOW_SECONDS = 3.0
IMPORT_SECONDS = 60.0
# Of the memory that is free, what measuring may take.
MEMORY_SHARE = 0.7
# Below this share of a core, others had so much of the machine that seconds mean little.
BUSY = 0.8


class StepSeconds(StrictModel):
    """What a window costs: seconds of the clock, or of one core where the machine was busy."""

    train: float = Field(ge=0, description="Seconds to train on a window once.")
    evaluate: float = Field(ge=0, description="Seconds to evaluate one.")
    parameters: int = Field(ge=0, description="Trainable parameters of the model.")
    batch: int = Field(ge=1, description="Windows of a batch when it was measured.")
    core_share: float = Field(
        1.0, gt=0, le=1, description="Share of that time in which the process had a core."
    )

    @property
    def undisturbed(self) -> bool:
        """Whether others left enough of the machine for the seconds to mean something."""
        return self.core_share >= BUSY


class KeptSeconds(StrictModel):
    """The file of what was measured before."""

    measured: dict[str, StepSeconds] = Field(
        default_factory=dict, description="By model, size, sources and machine."
    )


@dataclass(frozen=True)
class Setting:
    """What is measured: a run, without what its time for a window does not depend on.

    Args:
        spec: A run of full training.
        nodes: N; of a union, of its largest data set.
    """

    spec: RunSpec
    nodes: int

    @property
    def values(self) -> int:
        """Values of a window's series; large ones take long."""
        return self.nodes * (self.spec.training.history + self.spec.training.horizon)

    def key(self, layout: DataLayout) -> str:
        """Changes with whatever the time depends on: settings, cards, sources, machine."""
        resolved = self.spec.resolved()
        for name in ("epochs", "budget", "validate_every", "patience"):
            del resolved["training"][name]
        for name in ("seed", "prune_ratio", "pruner"):
            del resolved[name]
        resolved["dataset"].pop("name")
        del resolved["backbone"]["name"]
        cards = [card_path(name, layout.root).read_text("utf-8") for name in self.spec.cards]
        sources = run_sources(self.spec.backbone, "full", self.spec.subset.task)
        text = json.dumps([resolved, cards, source_digest(sources), _machine()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def _machine() -> list[Any]:
    here = environment()
    devices = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return [here["processor"], here["versions"]["torch"], len(available_cores()), *devices]


def read_kept(path: Path) -> dict[str, StepSeconds]:
    """What was measured before.

    Raises:
        ConfigError: If the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        values = read_json_file(path)
    except ValueError as error:
        raise StpruneError(
            f"{path} is not readable ({error}); delete it to measure again"
        ) from None
    return dict(validate(KeptSeconds, values, str(path)).measured)


def write_kept(path: Path, measured: Mapping[str, StepSeconds]) -> None:
    """Keep what was measured."""
    write_json(path, KeptSeconds(measured=dict(measured)).model_dump(mode="json"))


def measuring_order(settings: Sequence[Setting]) -> list[int]:
    """Positions in the order to measure: each backbone's smallest, then each one's next, ..."""
    ranks: dict[int, tuple[int, int]] = {}
    by_backbone: dict[str, list[int]] = {}
    for position, setting in enumerate(settings):
        by_backbone.setdefault(setting.spec.key.backbone, []).append(position)
    for positions in by_backbone.values():
        ordered = sorted(positions, key=lambda place: settings[place].values)
        for rank, position in enumerate(ordered):
            ranks[position] = rank, settings[position].values
    return sorted(ranks, key=ranks.__getitem__)


def measure_all(
    settings: Sequence[Setting], layout: DataLayout, seconds: float
) -> dict[int, StepSeconds | str]:
    """Measure as many of ``settings`` as ``seconds`` allow, in :func:`measuring_order`.

    Returns:
        By position what was measured, or in one line why it cannot be; nothing of the rest.
    """
    found: dict[int, StepSeconds | str] = {}
    if not settings or seconds <= 0:
        return found
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    order = measuring_order(settings)
    arguments = (theirs, [(place, settings[place]) for place in order], layout)
    process = context.Process(target=_measure_each, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        # Its imports do not count: they take as long for one setting as for all.
        patience = max(seconds, IMPORT_SECONDS)
        if not ours.poll(patience):
            logger.warning("nothing was measured: torch was not loaded after %.0f s", patience)
            return found
        ours.recv()
        end = monotonic() + seconds
        while len(found) < len(settings) and ours.poll(max(0.0, end - monotonic())):
            try:
                place, result = ours.recv()
            except EOFError:
                break  # it was killed, perhaps for want of memory
            found[place] = result
    finally:
        process.kill()
        process.join()
        ours.close()
    return found


def _measure_each(
    connection: Connection, settings: Sequence[tuple[int, Setting]], layout: DataLayout
) -> None:
    """What the process does: send None once it is ready, then each result."""
    warnings.simplefilter("ignore")
    _limit_memory()
    _warm_up()
    connection.send(None)
    for place, setting in settings:
        connection.send((place, attempt(setting, layout)))


def _warm_up() -> None:
    """Let torch load what it loads with the first step of an optimiser: it takes a second."""
    layer = nn.Linear(8, 8)
    optimiser = torch.optim.AdamW(layer.parameters(), foreach=True)
    layer(torch.ones(8, 8)).sum().backward()
    optimiser.step()


def _limit_memory() -> None:
    """Let a model that is too large fail here, and not whatever else runs on the machine."""
    import resource

    most = int(psutil.virtual_memory().available * MEMORY_SHARE)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def attempt(setting: Setting, layout: DataLayout) -> StepSeconds | str:
    """Measure, or say in one line why that cannot be done."""
    try:
        return measure(setting, layout)
    except (StpruneError, RuntimeError, MemoryError, MisconfigurationException) as error:
        # A device that is not there, or without memory, is of the libraries' making.
        return " ".join(str(error).split())[:200] or type(error).__name__


def measure(setting: Setting, layout: DataLayout) -> StepSeconds:
    """Train a few batches of the run's model on made-up data, and evaluate as many windows.

    Args:
        setting: The run; its pruner and epochs do not matter, since nothing is pruned.
        layout: Where cards of the user's own lie.
    """
    spec = setting.spec
    compute, batch = spec.compute, spec.training.batch_size
    fabric = fabric_on(compute.accelerator, precision=compute.precision)
    threads = min(compute.threads, len(available_cores()))
    torch.set_num_threads(threads)
    if fabric.device.type == "cpu":
        batch = max(1, min(batch, PROCESSOR_VALUES // (setting.nodes * spec.training.history)))
    with threadpool_limits(threads):
        data = made_up_run_data(spec, layout, 2 * batch, fabric.device)
        engine = Engine(_full(spec, batch), data, fabric)
        record, share = _timed_epoch(engine)
        if record.train_seconds < SLOW_SECONDS:
            record, share = _timed_epoch(engine)
    validated = sum(len(member.validation) for member in data.members.values())
    # On a busy machine the clock tells of others: what the processor worked is nearer.
    factor = share if share < BUSY else 1.0
    return StepSeconds(
        train=(record.data_seconds + record.step_seconds) / record.windows * factor,
        evaluate=record.validation_seconds / validated * factor,
        parameters=parameter_count(engine.network),
        batch=batch,
        core_share=share,
    )


def _timed_epoch(engine: Engine) -> tuple[EpochRecord, float]:
    """An epoch, and in which share of it this process had a core."""
    wall, processor = perf_counter(), process_time()
    record = engine.train_epoch()
    share = (process_time() - processor) / (perf_counter() - wall)
    # Waiting for a GPU is no sign of a busy processor.
    return record, min(1.0, share) if engine.fabric.device.type == "cpu" else 1.0


def _full(spec: RunSpec, batch: int) -> RunSpec:
    """The run as full training for a few epochs, each validated, in batches of ``batch``."""
    changes = {
        "epochs": 3,
        "budget": "epochs",
        "validate_every": 1,
        "patience": None,
        "batch_size": batch,
        "evaluation_batch_size": min(spec.training.evaluation_batch_size, 4 * batch),
    }
    return replace(
        spec,
        key=spec.key._replace(pruner="full", prune_ratio=0.0),
        pruner="full",
        pruner_options=NoOptions(),
        training=spec.training.model_copy(update=changes),
    )
