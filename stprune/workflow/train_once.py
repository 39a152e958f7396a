"""Train a run unless its record stands, and never twice at the same time."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from stprune.base.files import folder_lock
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_spec
from stprune.records.run import EpochRecord, RunRecord
from stprune.training.checkpoint import discard_checkpoints
from stprune.training.provenance import run_identity
from stprune.training.run import RunListener, train
from stprune.workflow.standing import keep_second_names, standing_record

logger = logging.getLogger(__name__)


class _SecondNames:
    """Gives the files of the run their second names, before its checkpoints go."""

    def __init__(self, layout: ExperimentLayout, key: RunKey) -> None:
        self.layout, self.key = layout, key

    def run_started(self, spec: RunSpec, epochs: int, done: list[EpochRecord]) -> None:
        """Nothing is finished yet."""

    def epoch_finished(self, record: EpochRecord) -> None:
        """Nothing is finished yet."""

    def run_finished(self, record: RunRecord) -> None:
        """All files of the run are there."""
        keep_second_names(self.layout, self.key)

    def run_failed(self, error: BaseException) -> None:
        """Nothing is finished."""


def train_once(config: ExperimentConfig, key: RunKey, listeners: Sequence[RunListener]) -> None:
    """Train one run and write its record, if it has none of what would be trained now.

    While another process on this machine trains the same run, this one waits for it.

    Raises:
        StpruneError: For every mistake a user can make.
    """
    if "LOCAL_RANK" in os.environ:
        # One of several processes of a run, started by the one that holds the lock.
        train(config, key, listeners)
        return
    spec, layout = run_spec(config, key), experiment_layout(config)
    checkpoint, metrics = layout.checkpoint(key), layout.metrics(key)
    identity = run_identity(spec, data_layout(config))
    with folder_lock(checkpoint.parent, leave_no_trace=True):
        record = standing_record(layout, key, identity)
        if record is None:
            # No old record may pass for that of a run that fails.
            metrics.unlink(missing_ok=True)
            train(config, key, [_SecondNames(layout, key), *listeners])
        else:
            if checkpoint.exists():
                # Killed between its record and this.
                keep_second_names(layout, key)
            discard_checkpoints(checkpoint)
            logger.info(
                "%s: nothing to train, its record of %s stands; to train it anew, delete %s and %s",
                *(key.path, record.finished, metrics.parent, checkpoint.parent),
            )
