"""One run from its specification to its record, resuming where a killed one stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import torch
from lightning_fabric import Fabric
from threadpoolctl import threadpool_info, threadpool_limits

from stprune.backbones.base import parameter_count
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_spec
from stprune.data.union import UnionData
from stprune.pruning.base import Probe
from stprune.pruning.probe import NoProbe
from stprune.records.run import RECORD_VERSION, RunRecord, write_record
from stprune.training.checkpoint import (
    discard_checkpoints,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
from stprune.training.cores import own_cores
from stprune.training.cost import peak_memory_bytes, run_cost
from stprune.training.devices import fabric_on, naming_lost_device
from stprune.training.energy import RunEnergy
from stprune.training.engine import Engine
from stprune.training.events import RunListener
from stprune.training.probe import ModelProbe
from stprune.training.provenance import environment, run_identity
from stprune.training.run_data import open_run_data
from stprune.training.shortage import naming_shortage
from stprune.training.union_engine import NO_SCORING_MODELS, UnionEngine
from stprune.training.zero_shot import held_out_scores

logger = logging.getLogger(__name__)


def train(config: ExperimentConfig, key: RunKey, listeners: Sequence[RunListener]) -> RunRecord:
    """Train one run and write its record; continue from its checkpoint if there is one.

    Raises:
        StpruneError: For every mistake a user can make, before anything is written.
    """
    spec = run_spec(config, key)
    with ExitStack() as stack:
        cores = None
        if config.compute.own_cores and "LOCAL_RANK" not in os.environ:
            # Processes that a run starts for its other devices inherit its cores.
            wanted = config.compute.threads * _processes(config)
            cores = stack.enter_context(own_cores(wanted))
        stack.enter_context(threadpool_limits(config.compute.threads))
        torch.set_num_threads(config.compute.threads)
        compute = spec.compute
        fabric = fabric_on(compute.accelerator, compute.devices, compute.precision)
        fabric.launch()
        stack.enter_context(naming_lost_device(fabric, spec.key.path))
        stack.enter_context(naming_shortage(spec))
        session = _Session(config, spec, fabric, cores)
        return session.run(listeners if fabric.is_global_zero else ())


def _processes(config: ExperimentConfig) -> int:
    return config.compute.devices if config.compute.accelerator == "cpu" else 1


class _Session:
    """One start of a run: its engine, checkpoint and record."""

    def __init__(
        self, config: ExperimentConfig, spec: RunSpec, fabric: Fabric, cores: list[int] | None
    ) -> None:
        self.config, self.spec, self.fabric, self.cores = config, spec, fabric, cores
        self.layout = experiment_layout(config)
        self.checkpoint = self.layout.checkpoint(spec.key)
        self.data = open_run_data(spec, data_layout(config), fabric.device)
        self.identity = run_identity(spec, data_layout(config))
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.resumed = 0
        self.energy = RunEnergy(fabric.device, fabric.world_size)

    def run(self, listeners: Sequence[RunListener]) -> RunRecord:
        """Train what is left to train, test, and write the record."""
        engine, probe = self._engine()
        resumed = self._resume(engine)
        with self.energy:
            if not resumed:
                engine.prepare(probe)
            for listener in listeners:
                listener.run_started(self.spec, engine.planned_epochs, list(engine.records))
            try:
                self._train(engine, listeners)
                result = self._finish(engine)
            except BaseException as error:
                for listener in listeners:
                    listener.run_failed(error)
                raise
        for listener in listeners:
            listener.run_finished(result)
        if self.fabric.is_global_zero:
            discard_checkpoints(self.checkpoint)
        return result

    def _train(self, engine: Engine, listeners: Sequence[RunListener]) -> None:
        while not engine.finished:
            record = engine.train_epoch()
            self._save(engine)
            for listener in listeners:
                listener.epoch_finished(record)

    def _engine(self) -> tuple[Engine, Probe]:
        if isinstance(self.data, UnionData):
            probe = NoProbe(self.spec.pruner, NO_SCORING_MODELS)
            return UnionEngine(self.spec, self.data, self.fabric), probe
        return Engine(self.spec, self.data, self.fabric), ModelProbe(self.spec, self.data)

    def _resume(self, engine: Engine) -> bool:
        state, reason = load_checkpoint(self.checkpoint, self.identity)
        if state is None:
            if self.checkpoint.exists():
                logger.warning("%s starts anew: %s", self.spec.key.path, reason)
            return False
        engine.load_state_dict(state["engine"])
        self.started, self.resumed = state["started"], state["resumed"] + 1
        self.energy = RunEnergy(self.fabric.device, self.fabric.world_size, state["energy"])
        return True

    def _save(self, engine: Engine) -> None:
        state: dict[str, Any] = {
            "engine": engine.state_dict(),
            "started": self.started,
            "resumed": self.resumed,
            "energy": self.energy.state(),
        }
        with engine.clock.wall("checkpoint"):
            if self.fabric.is_global_zero:
                save_checkpoint(self.checkpoint, state, self.identity)
        engine.checkpoint_seconds = engine.clock.take()["checkpoint"]

    def _finish(self, engine: Engine) -> RunRecord:
        joules, counted = self.energy.state(), self.energy.counted
        outcome = engine.test()
        spec = self.spec
        record = RunRecord(
            record_version=RECORD_VERSION,
            experiment=spec.experiment,
            **spec.key._asdict(),
            test=outcome.scores,
            scores_by_rule=outcome.by_rule,
            test_groups=outcome.groups,
            transfer=held_out_scores(engine) if isinstance(engine, UnionEngine) else {},
            validation_mae=engine.best_mae,
            best_epoch=engine.best_epoch,
            parameters=parameter_count(engine.network),
            cost=run_cost(
                engine.records,
                budget=engine.budget,
                training_windows=len(self.data.train),
                full_epochs=spec.training.epochs,
                prune_ratio=spec.key.prune_ratio,
                preparation_seconds=engine.preparation_seconds,
                test_seconds=outcome.seconds,
                peak_memory=peak_memory_bytes(self.fabric.device),
                processor_joules=joules["processor"],
                device_joules=joules["device"],
            ),
            config=spec.resolved(),
            fingerprint=spec.fingerprint,
            data=self.data.description,
            source_digest=self.identity["source code"],
            environment={**environment(), **self._machine(), "energy": counted},
            started=self.started,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            resumed=self.resumed,
        )
        if self.fabric.is_global_zero:
            metrics, table = self.layout.metrics(spec.key), self.layout.run_epochs(spec.key)
            # The record comes last: it is what says that the run is complete.
            engine.kept.write(self.layout.kept(spec.key))
            if self.config.keep_weights:
                save_weights(self.layout.weights(spec.key), engine.best_weights, self.identity)
            write_record(record, engine.records, metrics, table)
        self.fabric.barrier()
        return record

    def _machine(self) -> dict[str, Any]:
        device = self.fabric.device
        on_cuda = device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
            "devices": self.fabric.world_size,
            "threads": torch.get_num_threads(),
            "blas_threads": {
                pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()
            },
            "cores": self.cores,
        }
