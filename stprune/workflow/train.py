"""Training one run, or a block of runs, which imports torch once and forks a process for each."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from stprune.base.errors import StpruneError, UnknownNameError
from stprune.base.files import folder_lock
from stprune.base.layout import RunKey, format_ratio
from stprune.config.experiment import ExperimentConfig, load_config
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_spec
from stprune.records.run import EpochRecord, RunRecord, read_record
from stprune.training import sharing
from stprune.training.checkpoint import discard_checkpoints
from stprune.training.provenance import environment, run_identity
from stprune.training.run import RunListener, train
from stprune.workflow.blocks import ExperimentRecords, reason_to_train
from stprune.workflow.run_states import INTERRUPTED, MISTAKE, last_line

logger = logging.getLogger(__name__)

# How long a run that is told to end may take before it is killed.
GRACE_SECONDS = 20.0


class UnfinishedError(StpruneError):
    """Some runs of a block have no valid record."""


class Progress:
    """Logs a run's epochs as they pass; `stprune show` reads how far it is from these lines."""

    def run_started(self, spec: RunSpec, epochs: int, done: list[EpochRecord]) -> None:
        """Announce the run."""
        self.epochs, self.name = epochs, spec.key.path
        continued = f", continued after epoch {len(done)}" if done else ""
        logger.info("%s: %d epochs%s", self.name, epochs, continued)

    def epoch_finished(self, record: EpochRecord) -> None:
        """Log an epoch."""
        logger.info(
            "epoch %d/%d: kept %.1f %%, loss %.4g, validation MAE %s, %.2f s",
            record.epoch + 1,
            self.epochs,
            100 * record.keep_ratio,
            record.train_loss,
            _short(record.validation_mae),
            record.train_seconds,
        )

    def run_finished(self, record: RunRecord) -> None:
        """Log the result."""
        scores = map(_short, (record.test.mae, record.test.rmse, record.test.mape))
        words = "%s: test MAE %s, RMSE %s, MAPE %s %%; %.1f s"
        logger.info(words, self.name, *scores, record.cost.total_seconds)

    def run_failed(self, error: BaseException) -> None:
        """The command that trains says what failed."""


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def train_once(config: ExperimentConfig, key: RunKey) -> None:
    """Train one run and write its record, unless it has a valid one.

    While another process on this machine trains the same run, this one waits for it. Raises a
    StpruneError for every mistake a user can make.
    """
    listeners: list[RunListener] = [Progress()]
    if config.tracking.mode != "disabled":
        from stprune.tracking.run import WandbTracking

        listeners.append(WandbTracking(config.tracking, experiment_layout(config).tracking))
    if "LOCAL_RANK" in os.environ:
        # One of several processes of a run, started by the one that holds the lock.
        train(config, key, listeners)
        return
    layout = experiment_layout(config)
    checkpoint, metrics = layout.checkpoint(key), layout.metrics(key)
    identity = run_identity(run_spec(config, key), data_layout(config))
    with folder_lock(checkpoint.parent, leave_no_trace=True):
        if reason_to_train(metrics.parent, identity) is not None:
            # If the run fails, no old record may pass for its own.
            metrics.unlink(missing_ok=True)
            train(config, key, listeners)
            return
        # A run that was killed after it wrote its record leaves its checkpoints.
        discard_checkpoints(checkpoint)
        words = "%s: nothing to train, its record is valid; to train it anew, delete %s"
        logger.info(words, key.path, metrics.parent)


def train_block(config_file: Path, path: str) -> None:
    """Train the runs of a block that have no valid record, and write its stamp.

    They are trained one after another, or as many at once as may share a GPU; each claims its own
    place on the machine. A run that fails is named with the reason and its log, and the others go
    on. Processes of further devices read ``config_file``.

    Raises UnfinishedError if a run failed; and, if interrupted, KeyboardInterrupt once the runs
    under way have ended, which continue next time.
    """
    config = load_config(config_file)
    records = ExperimentRecords(config)
    if path not in records.blocks:
        raise UnknownNameError("block", path, records.blocks, f"experiment {config.experiment}")
    missing = records.missing(path)
    logger.info("%s: %d of %d runs to train", path, len(missing), len(records.blocks[path]))
    if config.tracking.mode != "disabled":
        import wandb  # noqa: F401 - once, not by each fork
    environment()  # with the digests of sources, as they were imported: once, not by each fork
    failed = 0
    with closing(train_in_forks(config_file, config, iter(missing))) as ended:
        for done, (key, problem) in enumerate(ended, start=1):
            if problem is None:
                record = read_record(records.layout.metrics(key))
                outcome = f"test MAE {_short(record.test.mae)}, {record.cost.total_seconds:.1f} s"
            else:
                failed += 1
                logger.error("failed: %s: %s", key.path, problem)
                outcome = "FAILED"
            logger.info("%d/%d %s: %s", done, len(missing), key.path, outcome)
    if failed:
        raise UnfinishedError(
            f"{failed} of {len(missing)} runs of {path} failed; the same command tries them again"
        )
    records.write_stamp(path)


def train_in_forks(
    config_file: Path, config: ExperimentConfig, keys: Iterator[RunKey]
) -> Generator[tuple[RunKey, str | None]]:
    """Train each run in a process of its own; yields it at its end, with what went wrong, if so."""
    under_way = dict[Any, tuple[RunKey, ForkProcess]]()
    try:
        while True:
            for key in islice(keys, config.compute.runs_at_once - len(under_way)):
                log = experiment_layout(config).train_log(key)
                log.parent.mkdir(parents=True, exist_ok=True)
                arguments = (config_file, config, key, log)
                process = get_context("fork").Process(target=_run, args=arguments)
                process.start()
                under_way[process.sentinel] = key, process
            if not under_way:
                return
            for sentinel in wait(list(under_way)):
                key, process = under_way.pop(sentinel)
                process.join()
                yield key, _problem(process.exitcode, experiment_layout(config).train_log(key))
    finally:
        for key, process in under_way.values():
            logger.info("ending %s, which keeps its checkpoint", key.path)
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        for _, process in under_way.values():
            process.join(GRACE_SECONDS)
            process.kill()
            process.join()


def _problem(code: int | None, log: Path) -> str | None:
    """What went wrong in a process that ended, in one line."""
    if not code:
        return None
    why = last_line(log) or f"exit status {code}"
    if code < 0:
        memory = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
        why = f"killed by signal {-code}{memory}"
    return f"{why} (log: {log})"


def _run(config_file: Path, config: ExperimentConfig, key: RunKey, log: Path) -> None:
    """What a run's process does, from its fork on."""
    # Who holds the place that a run waits for is told to the one who waits for the block, too.
    handler = logging.StreamHandler(os.fdopen(os.dup(sys.stderr.fileno()), "w"))
    handler.setFormatter(logging.Formatter(f"{key.path}: %(message)s"))
    logging.getLogger(sharing.__name__).addHandler(handler)
    with log.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    # Lightning starts the processes of further devices by the words that started this one.
    sys.argv[1:] = [
        *("train", "--config", str(config_file)),
        *("--dataset", key.dataset, "--backbone", key.backbone, "--pruner", key.pruner),
        *("--prune-ratio", format_ratio(key.prune_ratio), "--seed", str(key.seed)),
    ]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        train_once(config, key)
    except StpruneError as error:
        sys.exit(f"{MISTAKE}{error}")
    except KeyboardInterrupt:
        sys.exit(f"{INTERRUPTED}; the same command continues where it stopped")


def _end_with_parent() -> None:
    """End this run when the process of its block is gone: otherwise it would be trained twice."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
        # An interrupt can be lost in a library's callback; the checkpoint is written atomically.
        time.sleep(GRACE_SECONDS)
        os._exit(1)
