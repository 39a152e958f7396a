"""What a summary leaves to other files: the epochs, the runs' own records, what they kept.

A source is the folder of an experiment with its runs, or compact records of it.
"""

from __future__ import annotations

from typing import Protocol

import pandas as pd

from stprune.base.layout import ExperimentLayout, RunKey
from stprune.records.compact_layout import CompactLayout
from stprune.records.compact_records import CompactRecords
from stprune.records.run import RunRecord, read_record
from stprune.results.columns import EPOCH_COLUMNS
from stprune.results.kept_tables import KeptTables, kept_tables
from stprune.results.table_file import read_table


class RunSource(Protocol):
    """Reads what is asked for, when it is asked for.

    Every method raises `RecordError` where something is missing or damaged.
    """

    def epochs(self) -> pd.DataFrame:
        """One row an epoch of every run, columns ``EPOCH_COLUMNS``."""

    def record(self, key: RunKey) -> RunRecord:
        """The record of a run."""

    def kept(self, summary: pd.DataFrame) -> KeptTables:
        """What the runs of ``summary`` kept."""


class RunFolders:
    """The files of single runs below ``layout``, as they were written."""

    def __init__(self, layout: ExperimentLayout) -> None:
        self._layout = layout

    def epochs(self) -> pd.DataFrame:
        """From the table that was written with the summary."""
        return read_table(self._layout.epochs, EPOCH_COLUMNS)

    def record(self, key: RunKey) -> RunRecord:
        """From the run's ``metrics.json``."""
        return read_record(self._layout.metrics(key))

    def kept(self, summary: pd.DataFrame) -> KeptTables:
        """From the runs' archives."""
        return kept_tables(self._layout, summary)


def run_source(layout: ExperimentLayout) -> RunSource:
    """Compact records where there are any, else the folders of runs."""
    compact = CompactLayout(layout.root)
    return CompactRecords(compact) if compact.records.exists() else RunFolders(layout)
