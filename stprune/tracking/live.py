"""Weights & Biases while a run trains: a failure of the service never stops the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stprune.base.settings import TrackingSettings
from stprune.records.run import EpochRecord, RunRecord
from stprune.tracking.payload import (
    Payload,
    log_epoch,
    open_run,
    permitted_mode,
    results,
    run_settings,
)

logger = logging.getLogger(__name__)


class WandbTracking:
    """Logs one run. The first failure of the service is logged and ends the tracking, not the run.

    Args:
        settings: Mode, project, entity.
        directory: Where offline files go.
    """

    def __init__(self, settings: TrackingSettings, directory: Path) -> None:
        self.settings, self.directory = settings, directory
        self.run: Any = None

    def run_started(self, spec: Any, epochs: int, done: list[EpochRecord]) -> None:
        """Open the run of a ``RunSpec``; finished epochs are logged again, for offline files."""
        self._try(lambda: self._open(Payload(spec.experiment, spec.key, spec.resolved())))
        for epoch in done:
            self.epoch_finished(epoch)

    def epoch_finished(self, record: EpochRecord) -> None:
        """Log one epoch."""
        if self.run is not None:
            self._try(lambda: log_epoch(self.run, record))

    def run_finished(self, record: RunRecord) -> None:
        """Write the summary and close."""
        if self.run is not None:
            self._try(lambda: self.run.summary.update(results(record)))
        self._close(0)

    def run_failed(self, error: BaseException) -> None:
        """Close the run as failed."""
        self._close(1)

    def _open(self, payload: Payload) -> None:
        import wandb

        self.directory.mkdir(parents=True, exist_ok=True)
        mode = permitted_mode(self.settings.mode)
        wandb.setup(run_settings())
        # Without a key, W&B would ask for one on the terminal, and the run would wait.
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise PermissionError("there is no key; `stprune wandb sync` sends the records later")
        self.run = open_run(payload, mode, self.settings, self.directory)

    def _close(self, exit_code: int) -> None:
        if self.run is not None:
            self._try(lambda: self.run.finish(exit_code=exit_code))
        self.run = None

    def _try(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:  # whatever the service raises must not end the run
            logger.warning("Weights & Biases is left out for this run: %s", error)
            self.run = None
