"""Timing: real epochs of every (pruner, prune ratio) of a data set and backbone, in turn.

Each entry has an engine of its own, trained up to its first pruned epoch. A round trains that epoch
of each entry, and a full one, interleaved in slices; every engine is then put back to where it was
before, so that all rounds do the same work. docs/timing.md has the reasons.
"""

import copy
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from lightning_fabric import Fabric
from scipy import stats

from stprune.base.errors import ConfigError
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import UNPRUNED, RunSpec, data_layout, experiment_layout, place_specs
from stprune.pruning.base import Pruner
from stprune.records import timing as records
from stprune.records.run import EpochRecord
from stprune.training.checkpoint import save_checkpoint
from stprune.training.devices import agreed
from stprune.training.engine import Engine
from stprune.training.provenance import timing_identity
from stprune.training.run import machine, open_run_data, prepare, run_environment
from stprune.training.sensors import Watch, mean_of
from stprune.training.sharing import available_cores

logger = logging.getLogger(__name__)

LEAST_ROUNDS = 3
LEVEL = 0.95
# Largest half-width of an interval, in full epochs, of a steady timing, and of one that says
# anything; largest share of the cores that others may have used.
STEADY, HOPELESS = 0.03, 0.1
MOST_OTHERS = 0.05
SLICES = 30
# So that no epoch is validated on its way.
NEVER = 10**6


class Interval(NamedTuple):
    """A median ratio and the ends of its 95 % interval."""

    ratio: float
    low: float
    high: float


def interval_of(ratios: Sequence[float]) -> Interval:
    """The median of at least two ratios, with Student's 95 % interval of the mean logarithm.

    By order alone, three values have 75 % at most. The interval is widened to hold the median.
    """
    logs = np.log(ratios)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, len(logs) - 1))
    middle, reach = logs.mean(), quantile * logs.std(ddof=1) / len(logs) ** 0.5
    ratio = float(np.median(ratios))
    low, high = float(np.exp(middle - reach)), float(np.exp(middle + reach))
    return Interval(ratio, min(low, ratio), max(high, ratio))


def widest_of(intervals: Iterable[Interval]) -> float:
    """Half the width of the widest interval, in full epochs; 0 without any."""
    return max(((interval.high - interval.low) / 2 for interval in intervals), default=0.0)


def enough(intervals: Sequence[Interval], rounds: int, most: int) -> bool:
    """Whether to stop: all intervals are narrow after at least three rounds, or ``most`` done."""
    return rounds >= LEAST_ROUNDS and (rounds >= most or widest_of(intervals) <= STEADY)


def verdict_of(
    intervals: Sequence[Interval], sensors: records.Sensors
) -> Literal["steady", "noisy", "disturbed"]:
    """How far a timing is to be trusted; docs/timing.md has what each verdict means."""
    widest, others = widest_of(intervals), max(sensors.others or 0.0, sensors.waiting or 0.0)
    if widest > HOPELESS or others > MOST_OTHERS:
        return "disturbed"
    return "noisy" if widest > STEADY else "steady"


class Contender:
    """One (pruner, prune ratio), trained up to the epoch that is timed.

    ``is_full``: all its epochs are those of full training, which are timed once, for everybody.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.key, pruner = engine, engine.spec.key, engine.pruner
        self.epochs: list[EpochRecord] = []
        prepare(engine)
        windows = [pruner.epoch_windows(e, pruner.epochs) for e in range(engine.planned_epochs)]
        first_pruned = next((e for e, count in enumerate(windows) if count < engine.windows), None)
        self.is_full = first_pruned is None and type(pruner).observe is Pruner.observe
        if self.is_full and self.key.pruner != UNPRUNED:
            return
        for _ in range(first_pruned or 0):
            engine.train_epoch()
        self.state = copy.deepcopy(engine.state_dict())
        if not first_pruned:
            engine.train_epoch()  # caches and compiled code are to be warm

    def rewind(self) -> None:
        """Back to where the timed epoch begins, global random state included."""
        # A copy, since engines go on in what they load.
        self.engine.load_state_dict(copy.deepcopy(self.state))

    def interval(self, full: "Contender") -> Interval:
        """The ratio of its epochs to the full ones of the same rounds; 1 for a full one."""
        if self.is_full:
            return Interval(1.0, 1.0, 1.0)
        pairs = zip(self.epochs, full.epochs, strict=True)
        return interval_of([epoch.train_seconds / whole.train_seconds for epoch, whole in pairs])

    def parts(self) -> records.EpochParts:
        """Medians over its rounds."""
        medians = {p: median(getattr(epoch, p) for epoch in self.epochs) for p in records.PARTS}
        seconds = median(epoch.train_seconds for epoch in self.epochs)
        return records.EpochParts(windows=self.epochs[0].windows, epoch_seconds=seconds, **medians)


class Job:
    """The timing of one data set and backbone, under way."""

    def __init__(
        self, config: ExperimentConfig, specs: Sequence[RunSpec], fabric: Fabric, watch: Watch
    ) -> None:
        self.fabric, self.watch, self.most = fabric, watch, config.timing.rounds
        data = open_run_data(specs[0], data_layout(config), fabric.device)
        # Neither validations nor a budget that plans by the clock belong in the timed epochs.
        changes = {"validate_every": NEVER, "patience": None, "budget": "epochs"}
        full = specs[0].unpruned(**changes)

        def contender(spec: RunSpec) -> Contender:
            return Contender(Engine(replace(spec, training=full.training), data, fabric))

        self.full = contender(full)
        self.entries = [contender(spec) for spec in specs]
        self.timed = [entry for entry in self.entries if not entry.is_full]
        # A pruned epoch is never far from the full one of its round.
        middle = len(self.timed) // 2
        self.turns = [*self.timed[:middle], self.full, *self.timed[middle:]]
        self.rows: list[dict[str, Any]] = []
        self.checkpoint = experiment_layout(config).timing(*full.key[:2]).with_suffix(".pt")

    def run(self) -> pd.DataFrame:
        """Time rounds until they are enough; one row an epoch, with the sensors of its round."""
        rounds, done = 0, False
        while not done:
            self.train_round(rounds)
            rounds += 1
            if rounds > 1:
                widest = widest_of(self.intervals())
                logger.info("round %d: intervals within %.1f %%", rounds, 100 * widest)
                done = agreed(self.fabric, enough(self.intervals(), rounds, self.most))
        self.checkpoint.unlink(missing_ok=True)
        return pd.DataFrame(self.rows)

    def intervals(self) -> list[Interval]:
        """The intervals of the timed entries, after two rounds at least."""
        return [entry.interval(self.full) for entry in self.timed]

    def train_round(self, number: int) -> None:
        """Time the epoch of every entry once, and a validation and a checkpoint."""
        for contender in self.turns:
            contender.rewind()
        before = self.watch.read()
        train_in_slices([contender.engine for contender in self.turns])
        sensors = self.watch.since(before).model_dump()
        for contender in self.turns:
            # What all processes of a run agreed on.
            record = contender.engine.records[-1]
            contender.epochs.append(record)
            key = contender.key
            row = {"round": number, "pruner": key.pruner, "prune_ratio": key.prune_ratio}
            row |= record.model_dump(include={"windows", "train_seconds", *records.PARTS})
            if contender is self.full:
                row |= self._validate_and_save(contender.engine)
            self.rows.append(row | sensors)

    def _validate_and_save(self, engine: Engine) -> dict[str, float]:
        with engine.clock.wall("validation_seconds"):
            engine.validation_mae()
        state = engine.state_dict()
        with engine.clock.wall("checkpoint_seconds"):
            if self.fabric.is_global_zero:
                save_checkpoint(self.checkpoint, state, {}, keep_previous=False)
        return agreed(self.fabric, engine.clock.take())


def train_in_slices(engines: Sequence[Engine]) -> None:
    """Train an epoch of each, interleaved: a thirtieth in turn, reversed every other time."""
    epochs = [engine.epoch_in_slices(SLICES) for engine in engines]
    for part in range(SLICES):
        for epoch in epochs[:: 1 if part % 2 == 0 else -1]:
            next(epoch, None)


def time_epochs(config: ExperimentConfig, dataset: str, backbone: str) -> records.TimingRecord:
    """Time every (pruner, prune ratio) of a data set and backbone, and write the record.

    The job shares no core and no GPU with runs; nothing else should be at work on the machine.

    Raises a StpruneError for every mistake a user can make.
    """
    if not config.timing.rounds:
        raise ConfigError("`timing.rounds` is 0, so nothing is timed")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    specs = place_specs(config, dataset, backbone)
    identity = timing_identity(specs, data_layout(config))
    measuring, *sources = identity["source code"]
    owner = f"timing of {config.experiment} {dataset}/{backbone}"
    with machine(specs[0], owner, alone=True) as (fabric, claimed):
        job = Job(config, specs, fabric, Watch(claimed.cores or available_cores(), claimed.gpus))
        table = job.run()
        sensors = mean_of(table)
        if fabric.world_size > 1:  # others' share would count the job's own other processes
            sensors = sensors.model_copy(update={"others": None})
        entries = []
        digests = zip(job.entries, identity["configuration"], sources, strict=True)
        for entry, (pruner, prune_ratio, settings), source in digests:
            ratio, low, high = entry.interval(job.full)
            entries.append(
                records.EntryTiming(
                    **(job.full if entry.is_full else entry).parts().model_dump(),
                    pruner=pruner,
                    prune_ratio=prune_ratio,
                    preparation_seconds=entry.engine.preparation_seconds,
                    ratio=ratio,
                    ratio_low=low,
                    ratio_high=high,
                    settings=settings,
                    source_digest=source,
                )
            )
        record = records.TimingRecord(
            timing_version=records.TIMING_VERSION,
            experiment=config.experiment,
            dataset=dataset,
            backbone=backbone,
            verdict=verdict_of(job.intervals(), sensors),
            rounds=len(job.full.epochs),
            full=job.full.parts(),
            validation_seconds=table["validation_seconds"].median(),
            checkpoint_seconds=table["checkpoint_seconds"].median(),
            entries=entries,
            sensors=sensors,
            source_digest=measuring,
            data_checksum=identity["data"],
            environment=run_environment(fabric, claimed),
            started=started,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if fabric.is_global_zero:
            records.write_timing(record, table, experiment_layout(config).timing(dataset, backbone))
    return record
