"""Train every run of an experiment that has no record of what would be run now."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

from filelock import FileLock, Timeout

from stprune.backbones.base import BACKBONES
from stprune.base.errors import ConfigError, StpruneError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import data_layout, experiment_layout, run_keys, run_spec
from stprune.data.tasks.base import TASKS
from stprune.pruning.base import PRUNERS
from stprune.records.run import read_record
from stprune.training.checkpoint import discard_checkpoints
from stprune.training.devices import available_cores
from stprune.training.provenance import run_checksum, run_sources, source_digest
from stprune.workflow.plan import WorkflowPlan
from stprune.workflow.snakemake_state import WorkflowState
from stprune.workflow.standing import forget_second_names, reason_to_train
from stprune.workflow.warm_runs import WarmRuns

logger = logging.getLogger(__name__)


class UnfinishedError(StpruneError):
    """Some runs of the experiment are still without a record."""


def train_all(config: ExperimentConfig, jobs: int | None = None) -> None:
    """Train what is missing, ``jobs`` runs at a time, all runs of the first seed first.

    Args:
        config: The experiment.
        jobs: Runs side by side; by default as many as there are cores for, one on a GPU.

    Raises:
        ConfigError: If there are too few cores, or another process trains this experiment.
        UnfinishedError: If a run failed, or source files changed on the way.
        WorkflowStateError: If Snakemake cannot be told of what was trained.
        KeyboardInterrupt: If interrupted, once the runs under way have ended; each continues from
            its last epoch next time.
    """
    plan = WorkflowPlan(config.model_dump(mode="json"))
    jobs = _checked_jobs(config, plan.run_threads, jobs)
    with _alone(config):
        # Runs read this copy: editing the file does not change an experiment under way.
        plan.write_config()
        state = WorkflowState(experiment_layout(config), data_layout(config))
        cards = [entry.cards(name) for name, entry in config.datasets.items()]
        for dataset in dict.fromkeys(chain.from_iterable(cards)):
            state.prepare(dataset, config.mirror)
        wanted = WantedRuns(config)
        missing = wanted.missing()
        result = _train_missing(wanted, missing, jobs, state)
        standing = wanted.current()
        state.hand_over(wanted.specs[key] for key in standing)
        _tidy(wanted, standing)
    result.check()


class WantedRuns:
    """What every record of the experiment has to say, by the files as they are now."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.layout = experiment_layout(config)
        keys = run_keys(config)
        # An experiment that is interrupted has then as many whole repetitions as can be.
        self.keys = [key for seed in config.seeds for key in keys if key.seed == seed]
        self.specs = {key: run_spec(config, key) for key in self.keys}
        self.digests = {parts: _digest(*parts) for parts in set(map(self._components, self.keys))}
        by_dataset = {key.dataset: spec for key, spec in self.specs.items()}
        self.checksums = {
            name: run_checksum(spec, data_layout(config)) for name, spec in by_dataset.items()
        }

    def missing(self) -> list[RunKey]:
        """Runs to train, in order; the log says how many and why."""
        reasons = {key: self.reason_to_train(key) for key in self.keys}
        missing = {key: reason for key, reason in reasons.items() if reason is not None}
        counts = [f"{count}: {reason}" for reason, count in Counter(missing.values()).items()]
        logger.info(
            "experiment %s: %d of %d runs to train%s",
            self.config.experiment,
            len(missing),
            len(self.keys),
            f" ({'; '.join(counts)})" if counts else "",
        )
        return list(missing)

    def current(self) -> list[RunKey]:
        """Runs whose records stand."""
        return [key for key in self.keys if self.reason_to_train(key) is None]

    def reason_to_train(self, key: RunKey) -> str | None:
        """Why the run has to be trained (again); None if its record stands."""
        identity = {
            "configuration": self.specs[key].fingerprint,
            "source code": self.digests[self._components(key)],
            "data": self.checksums[key.dataset],
        }
        return reason_to_train(self.layout.run(key), identity)

    def sources_changed(self, key: RunKey) -> bool:
        """Whether the run's source files are no longer those that were imported for it."""
        return _digest(*self._components(key)) != self.digests[self._components(key)]

    def modules(self) -> list[str]:
        """Names of the modules that these runs import on their way."""
        specs = self.specs.values()
        backbones = {BACKBONES.load(spec.backbone).__module__ for spec in specs}
        pruners = {PRUNERS.load(spec.pruner).__module__ for spec in specs}
        tasks = {TASKS.load(spec.subset.task).__module__ for spec in specs}
        tracking = set() if self.config.tracking.mode == "disabled" else {"wandb"}
        return sorted(backbones | pruners | tasks | tracking)

    def _components(self, key: RunKey) -> tuple[str, str, str]:
        spec = self.specs[key]
        return spec.backbone, spec.pruner, spec.subset.task


def _tidy(wanted: WantedRuns, standing: list[RunKey]) -> None:
    """Remove what finished runs keep for whoever is killed before taking note of them."""
    forget_second_names(wanted.layout, standing)
    for key in standing:
        discard_checkpoints(wanted.layout.checkpoint(key))


def _digest(backbone: str, pruner: str, task: str) -> str:
    return source_digest(run_sources(backbone, pruner, task))


def _checked_jobs(config: ExperimentConfig, threads: int, jobs: int | None) -> int:
    cores = len(available_cores())
    if jobs is None:
        # A GPU trains one run at a time, or its timings mean nothing.
        jobs = max(1, cores // threads) if config.compute.accelerator == "cpu" else 1
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs} is too few; it takes at least 1 run at a time")
    if jobs * threads > cores:
        raise ConfigError(
            f"{jobs} run(s) at a time want {jobs * threads} threads, but only {cores} cores are"
            " available; lower --jobs, compute.threads or compute.devices"
        )
    return jobs


@contextmanager
def _alone(config: ExperimentConfig) -> Iterator[None]:
    """Keep a second one out: both would write the same checkpoints."""
    root = experiment_layout(config).root
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".train-all.lock", timeout=0):
            yield
    except Timeout:
        message = f"another `stprune train-all` works in {root}; wait for it or end it"
        raise ConfigError(message) from None


@dataclass
class _Result:
    """How it ended.

    Args:
        total: Runs that were to be trained.
        problems: What went wrong with each that failed, in one line.
        not_started: How many were not, since their source files changed.
    """

    total: int
    problems: dict[RunKey, str] = field(default_factory=dict)
    not_started: int = 0

    def check(self) -> None:
        """Name every run that failed, and raise if a run is left to train.

        Raises:
            UnfinishedError: Saying how many, and what to do.
        """
        for key, problem in self.problems.items():
            logger.error("failed: %s: %s", key.path, problem)
        if self.not_started:
            raise UnfinishedError(
                f"source files changed meanwhile, so {self.not_started} of {self.total} runs were"
                " not started; the same command continues with the new ones"
            )
        if self.problems:
            raise UnfinishedError(
                f"{len(self.problems)} of {self.total} runs failed;"
                " the same command tries them again"
            )


def _train_missing(
    wanted: WantedRuns, missing: list[RunKey], jobs: int, state: WorkflowState
) -> _Result:
    """Keep ``jobs`` runs going until all have ended; one that fails stops no other."""
    runs = WarmRuns(wanted.layout, wanted.modules())
    waiting, result = list(missing), _Result(len(missing))
    ended, obsolete, start = 0, False, time.monotonic()
    try:
        while runs.running or (waiting and not obsolete):
            while waiting and not obsolete and len(runs.running) < jobs:
                obsolete = wanted.sources_changed(waiting[0])
                if not obsolete:
                    key = waiting.pop(0)
                    state.note(wanted.specs[key])
                    # As Snakemake does: no old record may pass for that of a run that fails.
                    wanted.layout.metrics(key).unlink(missing_ok=True)
                    runs.start(key)
            for key, problem in runs.wait():
                ended += 1
                problem = problem or wanted.reason_to_train(key)
                if problem is not None:
                    result.problems[key] = problem
                outcome = _outcome(wanted, key) if problem is None else f"FAILED: {problem}"
                left = _about((time.monotonic() - start) / ended * (len(missing) - ended))
                logger.info("%d/%d %s: %s; %s left", ended, len(missing), key.path, outcome, left)
    except BaseException:
        logger.info("ending %d run(s), which keep their checkpoints", len(runs.running))
        runs.end()
        raise
    result.not_started = len(waiting)
    return result


def _outcome(wanted: WantedRuns, key: RunKey) -> str:
    record = read_record(wanted.layout.metrics(key))
    mae = "-" if record.test.mae is None else f"{record.test.mae:.4g}"
    return f"test MAE {mae}, {record.cost.total_seconds:.1f} s"


def _about(seconds: float) -> str:
    if seconds < 60:
        return f"about {seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 120 else f"about {minutes / 60:.1f} h"
