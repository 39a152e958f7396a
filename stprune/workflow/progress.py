"""Progress of a run: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tqdm import tqdm

from stprune.config.grid import RunSpec
from stprune.records.run import EpochRecord, RunRecord

logger = logging.getLogger(__name__)


class Progress:
    """Shows epochs as they pass.

    Args:
        live: Draw a bar; by default where standard error is a terminal.
    """

    def __init__(self, live: bool | None = None) -> None:
        self.live = sys.stderr.isatty() if live is None else live
        self.bar: tqdm[Any] | None = None
        self.epochs = 0
        self.name = ""

    def run_started(self, spec: RunSpec, epochs: int, done: list[EpochRecord]) -> None:
        """Announce the run."""
        self.epochs, self.name = epochs, spec.key.path
        if self.live:
            self.bar = tqdm(total=epochs, initial=len(done), desc=self.name, unit="epoch")
        else:
            continued = f", continued after epoch {len(done)}" if done else ""
            logger.info("%s: %d epochs%s", self.name, epochs, continued)

    def epoch_finished(self, record: EpochRecord) -> None:
        """Move on by an epoch."""
        validation = "-" if record.validation_mae is None else f"{record.validation_mae:.4g}"
        if self.bar is not None:
            self.bar.set_postfix_str(f"kept {record.keep_ratio:.0%}, validation MAE {validation}")
            self.bar.update()
        else:
            logger.info(
                "epoch %d/%d: kept %.1f %%, loss %.4g, validation MAE %s, %.2f s",
                record.epoch + 1,
                self.epochs,
                100 * record.keep_ratio,
                record.train_loss,
                validation,
                record.train_seconds,
            )

    def run_finished(self, record: RunRecord) -> None:
        """Report the result."""
        self._close()
        test = record.test
        logger.info(
            "%s: test MAE %s, RMSE %s, MAPE %s %%; %.1f s",
            self.name,
            *("-" if v is None else f"{v:.4g}" for v in (test.mae, test.rmse, test.mape)),
            record.cost.total_seconds,
        )

    def run_failed(self, error: BaseException) -> None:
        """Leave the terminal clean."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
