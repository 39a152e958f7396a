"""Where compact records lie.

Apart from `stprune.base.layout`, which every run depends on: a change here must not train
them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RECORDS = Path("paper_figures/records")
# Not an experiment: what is known of the data sets themselves.
DATA = "data"
# What is made of them lies in the results directory under this name.
PAPER = "paper"


@dataclass(frozen=True)
class CompactLayout:
    """Paths of the compact records of one experiment below ``root`` = ``RECORDS/<experiment>``.

    ``summary.csv`` and ``config.yaml`` lie there as in `ExperimentLayout`, which reads them.
    """

    root: Path

    @property
    def summary(self) -> Path:
        """One row a run."""
        return self.root / "summary.csv"

    @property
    def config(self) -> Path:
        """The resolved configuration, without the paths of a machine."""
        return self.root / "config.yaml"

    @property
    def records(self) -> Path:
        """The whole record of every run."""
        return self.root / "records.parquet"

    @property
    def epochs(self) -> Path:
        """One row an epoch of every run."""
        return self.root / "epochs.parquet"

    @property
    def calendars(self) -> Path:
        """When the windows that each run kept are; see `stprune.results.kept_tables`."""
        return self.root / "kept_calendars.parquet"

    @property
    def overlaps(self) -> Path:
        """How far the choices of runs agree."""
        return self.root / "kept_overlaps.parquet"

    @property
    def deciles(self) -> Path:
        """Deciles of the scores after each epoch."""
        return self.root / "score_deciles.parquet"

    @property
    def hashes(self) -> Path:
        """What each table and figure made of these records is to be."""
        return self.root / "hashes.json"

    @property
    def files(self) -> list[Path]:
        """All records; not the hashes, which no figure or table depends on."""
        kept = [self.calendars, self.overlaps, self.deciles]
        return [self.summary, self.config, self.records, self.epochs, *kept]


def compact_experiments(records: Path) -> list[str]:
    """Names of the experiments with compact records below ``records``, sorted."""
    return sorted(path.parent.name for path in records.glob("*/records.parquet"))
