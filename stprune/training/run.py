"""One run from its specification to its record, resuming where a killed one stopped."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from threadpoolctl import threadpool_info, threadpool_limits

from stprune.backbones.base import parameter_count
from stprune.base.errors import ConfigError, DataError
from stprune.base.layout import DataLayout, RunKey
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_spec
from stprune.data.canonical import read_canonical
from stprune.data.dataset import ForecastData, RunData, alone, forecast_data, unite
from stprune.data.tasks.base import build_task
from stprune.pruning.probe import NoProbe
from stprune.records.run import RECORD_VERSION, EpochRecord, RunRecord, write_record
from stprune.training.budget import peak_memory_bytes, run_cost
from stprune.training.checkpoint import discard_checkpoints, load_checkpoint, save_checkpoint
from stprune.training.cost import Energy, device_counters, processor_counters
from stprune.training.devices import agreed, fabric_on, naming_failures, pin_process
from stprune.training.engine import Engine
from stprune.training.provenance import environment, run_identity
from stprune.training.scoring import ModelProbe, held_out_scores
from stprune.training.sharing import Claim, claim

logger = logging.getLogger(__name__)

# After an epoch a checkpoint is written unless the last one is younger than this, and than so many
# times what writing it took.
SAVE_SECONDS, SAVE_COSTS = 10.0, 100


class RunListener(Protocol):
    """Called at each step of a run, such as a progress bar; it must not change the run."""

    def run_started(self, spec: RunSpec, epochs: int, done: list[EpochRecord]) -> None:
        """A run starts, or continues after the epochs in ``done``."""

    def epoch_finished(self, record: EpochRecord) -> None:
        """An epoch is over; its time does not include this call."""

    def run_finished(self, record: RunRecord) -> None:
        """The record is written."""

    def run_failed(self, error: BaseException) -> None:
        """The run ended by ``error``."""


def train(config: ExperimentConfig, key: RunKey, listeners: Sequence[RunListener]) -> RunRecord:
    """Train one run and write its record; continue from its checkpoint if there is one.

    Raises a StpruneError for every mistake a user can make, before anything is written.
    """
    spec = run_spec(config, key)
    with machine(spec, f"{config.experiment} {key.path}") as (fabric, claimed):
        told = listeners if fabric.is_global_zero else ()
        return _Session(config, spec, fabric, claimed).run(told)


@contextmanager
def machine(spec: RunSpec, owner: str, *, alone: bool = False) -> Iterator[tuple[Fabric, Claim]]:
    """The devices of a run, and what it claimed of the machine as ``owner``; see `claim`."""
    compute = spec.compute
    with ExitStack() as stack:
        claimed = Claim(cores=None, gpus={})
        # Processes that a run starts for its other devices inherit what it claimed.
        if "LOCAL_RANK" not in os.environ:
            claimed = stack.enter_context(claim(compute, owner, alone=alone))
        stack.enter_context(threadpool_limits(compute.threads))
        torch.set_num_threads(compute.threads)
        fabric = fabric_on(compute, compute.devices)
        fabric.launch()
        pin_process(fabric, claimed.cores, compute.threads)
        stack.enter_context(naming_failures(fabric, spec))
        yield fabric, claimed


def prepare(engine: Engine) -> None:
    """Let the pruner of a new engine score windows, by models that are trained on the same data."""
    advice = ", which is not done on a union of data sets; take a dynamic pruner"
    ((_, data), *others) = engine.members
    spec = engine.spec
    engine.prepare(NoProbe(spec.pruner, advice) if others else ModelProbe(spec, data))


def run_environment(fabric: Fabric, claimed: Claim) -> dict[str, Any]:
    """Versions, and the part of the machine that this process uses."""
    device = fabric.device
    return environment() | {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "devices": fabric.world_size,
        "threads": torch.get_num_threads(),
        "blas_threads": {p["internal_api"]: p["num_threads"] for p in threadpool_info()},
        "cores": claimed.cores,
        "gpus": claimed.gpus,
    }


def open_run_data(spec: RunSpec, layout: DataLayout, device: torch.device) -> RunData:
    """Open what a run trains and is tested on; a StpruneError if it is missing or too short."""
    subset = spec.subset

    def opened(part: DatasetEntry | MemberEntry, dataset: str) -> ForecastData:
        return forecast_data(
            read_canonical(layout.processed(dataset)),
            history=spec.training.history,
            horizon=spec.training.horizon,
            node_stride=part.node_stride,
            days=part.days,
            window_stride=part.window_stride,
            evaluation_stride=subset.evaluation_stride,
            target_only=bool(subset.union),
            task=build_task(subset.task, subset.task_options),
            protocol=spec.protocol,
            device=device,
        )

    if subset.union:
        members, held_out = (
            {member.dataset: opened(member, member.dataset) for member in part}
            for part in (subset.union, subset.zero_shot)
        )
        data = unite(members, held_out, tested_elsewhere=subset.task == "transfer")
    else:
        data = alone(opened(subset, spec.dataset), spec.dataset)
    refuse_splits(data, spec.training.batch_size if spec.protocol == "legacy" else 1)
    return data


def refuse_splits(data: RunData, batch_size: int) -> None:
    """Refuse splits without an observed target, or without a whole batch, which `legacy` needs."""
    used = [(name, "training", part.train) for name, part in data.members.items()]
    used += [(name, "validation", part.validation) for name, part in data.members.items()]
    used += [(name, "test", part.test) for name, part in data.tested.items()]
    for name, split, store in used:
        if not store.has_targets:
            problem = f"no target of its {len(store)} {split} windows was observed"
            raise DataError(f"{name}: {problem}; change `splits` on its card, or leave it out")
        if len(store) < batch_size:
            few = f"and {len(store)} {split} windows fill none of {batch_size}; lower `batch_size`"
            raise ConfigError(f"protocol `legacy` drops partial batches, {few}")


class _Session:
    """One start of a run: its engine, checkpoint and record."""

    def __init__(
        self, config: ExperimentConfig, spec: RunSpec, fabric: Fabric, claimed: Claim
    ) -> None:
        self.config, self.spec, self.fabric, self.claimed = config, spec, fabric, claimed
        self.layout = experiment_layout(config)
        self.checkpoint = self.layout.checkpoint(spec.key)
        self.data = open_run_data(spec, data_layout(config), fabric.device)
        self.identity = run_identity(spec, data_layout(config))
        self.engine = Engine(spec, self.data, fabric)
        state, reason = load_checkpoint(self.checkpoint, self.identity)
        if state is None and self.checkpoint.exists():
            logger.warning("%s starts anew: %s", spec.key.path, reason)
        self.started, self.resumed = datetime.now(UTC).isoformat(timespec="seconds"), 0
        if state is not None:
            self.engine.load_state_dict(state["engine"])
            self.started, self.resumed = state["started"], state["resumed"] + 1
        # What other runs on the same GPU use cannot be told apart.
        device = device_counters(() if spec.compute.runs_per_gpu > 1 else claimed.gpus)
        counters = {"processor": processor_counters(), "device": device}
        self.energy = Energy(counters, state["energy"] if state else {})
        self.saved, self.save_cost = time.monotonic(), 0.0

    def run(self, listeners: Sequence[RunListener]) -> RunRecord:
        """Train what is left to train, test, and write the record."""
        engine = self.engine
        if not self.resumed:
            prepare(engine)
        for listener in listeners:
            listener.run_started(self.spec, engine.planned_epochs, list(engine.records))
        try:
            while not engine.finished:
                record = engine.train_epoch()
                self._save()
                for listener in listeners:
                    listener.epoch_finished(record)
            result = self._finish()
        except BaseException as error:
            for listener in listeners:
                listener.run_failed(error)
            raise
        for listener in listeners:
            listener.run_finished(result)
        if self.fabric.is_global_zero:
            discard_checkpoints(self.checkpoint)
        return result

    def _save(self) -> None:
        self.energy.update()
        self.engine.checkpoint_seconds = 0.0
        enough = min(SAVE_SECONDS, SAVE_COSTS * self.save_cost)
        if agreed(self.fabric, time.monotonic() - self.saved < enough):
            return
        state = {
            "engine": self.engine.state_dict(),
            "started": self.started,
            "resumed": self.resumed,
            "energy": self.energy.joules,
        }
        with self.engine.clock.wall("checkpoint"):
            if self.fabric.is_global_zero:
                save_checkpoint(self.checkpoint, state, self.identity)
        self.saved, self.save_cost = time.monotonic(), self.engine.clock.take()["checkpoint"]
        self.engine.checkpoint_seconds = self.save_cost

    def _finish(self) -> RunRecord:
        self.energy.update()
        engine, spec, device = self.engine, self.spec, self.fabric.device
        outcome = engine.test()
        peak = peak_memory_bytes(device)  # before models beside the run's own measure theirs
        record = RunRecord(
            record_version=RECORD_VERSION,
            experiment=spec.experiment,
            **spec.key._asdict(),
            **outcome._asdict(),
            transfer=held_out_scores(engine),
            validation_mae=engine.best_mae,
            best_epoch=engine.best_epoch,
            parameters=parameter_count(engine.network),
            cost=run_cost(
                engine.records,
                engine.budget,
                spec.key.prune_ratio,
                engine.preparation_seconds,
                test_seconds=engine.clock.take()["test"],
                peak_memory_bytes=peak,
                processor_joules=self.energy.joules["processor"],
                device_joules=self.energy.joules["device"],
            ),
            config=spec.resolved(),
            fingerprint=spec.fingerprint,
            data=self.data.description,
            source_digest=self.identity["source code"],
            environment=run_environment(self.fabric, self.claimed)
            | {
                "micro_batch": engine.micro_batch,
                "evaluation_batch": engine.evaluation_batch,
                "runs_per_gpu": spec.compute.runs_per_gpu if self.claimed.gpus else None,
            },
            started=self.started,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            resumed=self.resumed,
        )
        if self.fabric.is_global_zero:
            # The record comes last: the run is complete once it exists.
            engine.kept.write(self.layout.kept(spec.key))
            if self.config.keep_weights:
                path = self.layout.run(spec.key) / "weights.pt"
                save_checkpoint(path, engine.best_weights, self.identity, keep_previous=False)
            write_record(record, engine.records, self.layout.run(spec.key))
        self.fabric.barrier()
        return record
