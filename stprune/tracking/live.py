"""Weights & Biases: the same events as the records, never the truth, never in the way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from stprune.base.settings import TrackingSettings
from stprune.config.grid import RunSpec
from stprune.records.run import EpochRecord, RunRecord
from stprune.tracking.told import (
    CLOCK,
    TrackedRun,
    log_epoch,
    permitted_mode,
    run_settings,
    summary_values,
)

logger = logging.getLogger(__name__)


class WandbTracking:
    """Logs one run.

    Runs are named after their path, grouped by everything but the seed, and tagged by pruner
    and prune ratio. Metrics can be drawn over epochs or over ``elapsed_seconds``. Any failure of
    the service is logged once and ends the tracking of this run, not the run.

    Args:
        settings: Mode, project, entity.
        directory: Where offline files go.
    """

    def __init__(self, settings: TrackingSettings, directory: Path) -> None:
        self.settings, self.directory = settings, directory
        self.run: Any = None

    def run_started(self, spec: RunSpec, epochs: int, done: list[EpochRecord]) -> None:
        """Open the run; the epochs already done are logged again, for offline files."""
        try:
            self.run = self._open(TrackedRun(spec.experiment, spec.key, spec.resolved()))
        except Exception as error:  # whatever the service raises must not end the run
            self._give_up(error)
        for record in done:
            self.epoch_finished(record)

    def epoch_finished(self, record: EpochRecord) -> None:
        """Log one epoch."""
        if self.run is not None:
            self._try(lambda: log_epoch(self.run, record))

    def run_finished(self, record: RunRecord) -> None:
        """Write the summary and close."""
        if self.run is None:
            return
        self._try(lambda: self.run.summary.update(summary_values(record)))
        self._close(0)

    def run_failed(self, error: BaseException) -> None:
        """Close the run as failed."""
        self._close(1)

    def _open(self, tracked: TrackedRun) -> Any:
        import wandb

        self.directory.mkdir(parents=True, exist_ok=True)
        mode = permitted_mode(self.settings.mode)
        wandb.setup(run_settings())
        # Without a key it would ask for one on a terminal, and the run would wait for the answer.
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise PermissionError("there is no key; `stprune wandb sync` sends the records later")
        run = wandb.init(
            mode=mode,
            project=self.settings.project,
            entity=self.settings.entity,
            dir=str(self.directory),
            # The same run keeps its identity when it is continued or repeated.
            id=tracked.identity,
            resume="allow" if mode == "online" else None,
            name=tracked.name,
            group=tracked.group,
            job_type="train",
            tags=tracked.tags,
            config=tracked.values,
            settings=run_settings(),
        )
        run.define_metric("*", step_metric=CLOCK)
        return run

    def _try(self, call: Any) -> None:
        try:
            call()
        except Exception as error:
            self._give_up(error)

    def _close(self, exit_code: int) -> None:
        if self.run is not None:
            self._try(lambda: self.run.finish(exit_code=exit_code))
            self.run = None

    def _give_up(self, error: Exception) -> None:
        logger.warning("Weights & Biases is left out for this run: %s", error)
        self.run = None
