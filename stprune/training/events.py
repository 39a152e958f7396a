"""What a run tells whoever listens: the progress bar, Weights & Biases, tests."""

from __future__ import annotations

from typing import Protocol

from stprune.config.grid import RunSpec
from stprune.records.run import EpochRecord, RunRecord


class RunListener(Protocol):
    """Told of each step of a run; what it does must not change the run."""

    def run_started(self, spec: RunSpec, epochs: int, done: list[EpochRecord]) -> None:
        """A run starts, or continues after the epochs in ``done``."""

    def epoch_finished(self, record: EpochRecord) -> None:
        """An epoch is over; its time does not include what a listener does now."""

    def run_finished(self, record: RunRecord) -> None:
        """The run is complete and its record written."""

    def run_failed(self, error: BaseException) -> None:
        """The run ended by ``error``."""
