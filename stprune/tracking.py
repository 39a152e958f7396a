"""Weights & Biases: the same events as the records, never the truth, never in the way."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from stprune.config import TrackingSettings
from stprune.grid import RunSpec
from stprune.records import EpochRecord, RunRecord

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
            self.run = self._open(spec)
        except Exception as error:  # whatever the service raises must not end the run
            self._give_up(error)
        for record in done:
            self.epoch_finished(record)

    def epoch_finished(self, record: EpochRecord) -> None:
        """Log one epoch."""
        if self.run is not None:
            values = {k: v for k, v in record.model_dump().items() if v is not None}
            self._try(lambda: self.run.log(values, step=record.epoch))

    def run_finished(self, record: RunRecord) -> None:
        """Write the summary and close."""
        if self.run is None:
            return
        summary: dict[str, Any] = {
            "test": record.test.model_dump(
                include={"mae", "rmse", "mape"},
            ),
            "validation_mae": record.validation_mae,
            "best_epoch": record.best_epoch,
            "parameters": record.parameters,
            "cost": record.cost.model_dump(),
            "data_checksum": record.data["checksum"],
            "git_commit": record.environment["git_commit"],
        }
        self._try(lambda: self.run.summary.update(summary))
        self._close(0)

    def run_failed(self, error: BaseException) -> None:
        """Close the run as failed."""
        self._close(1)

    def _open(self, spec: RunSpec) -> Any:
        import wandb

        self.directory.mkdir(parents=True, exist_ok=True)
        key = spec.key
        identity = hashlib.sha256(f"{spec.experiment}/{key.path}".encode()).hexdigest()[:16]
        run = wandb.init(
            mode=self.settings.mode,
            project=self.settings.project,
            entity=self.settings.entity,
            dir=str(self.directory),
            # The same run keeps its identity when it is continued or repeated.
            id=identity,
            resume="allow" if self.settings.mode == "online" else None,
            name=key.path,
            group=f"{spec.experiment}/{key.path.rpartition('/')[0]}",
            job_type="train",
            tags=[spec.experiment, key.dataset, key.backbone, key.pruner, f"p{key.prune_ratio:g}"],
            config={"experiment": spec.experiment, **spec.resolved()},
            settings=wandb.Settings(
                console="off", silent=True, init_timeout=30, x_disable_stats=True
            ),
        )
        run.define_metric("*", step_metric="elapsed_seconds")
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
