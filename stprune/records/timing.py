"""The record of a timing: what an epoch of each pruner takes, measured side by side.

What a pruned epoch takes is said relative to the full epoch of the same round, so that a machine
that grows slower or faster meanwhile does not tip the comparison.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from stprune.base.files import write_json, write_text
from stprune.base.schema import StrictModel
from stprune.base.text import NAME, read_json_file
from stprune.records.run import Record, checked

TIMING_VERSION = 1
# From the most to the least trustworthy; our kept studies were timed within their runs, on cores of
# their own.
VERDICTS = ("steady", "within runs", "noisy", "disturbed")
PARTS = ("data_seconds", "step_seconds", "scoring_seconds", "selection_seconds")


class Sensors(StrictModel):
    """What else the machine did meanwhile; None where it cannot be read."""

    busy: float = Field(description="CPU seconds of this process / seconds of wall clock.")
    others: float | None = Field(
        description="Share of the time of its cores (of its GPU) that other processes used."
    )
    waiting: float | None = Field(
        description="Seconds that its threads waited for a core / seconds of wall clock."
    )
    pressure: float | None = Field(
        description="Share of the time in which a process of the machine waited for a core."
    )
    megahertz: float | None = Field(description="Mean clock frequency of its cores.")


class EpochParts(StrictModel):
    """Medians over rounds of an epoch and its parts, in seconds; validation is no part."""

    windows: int = Field(ge=1, description="Windows that the timed epoch visits.")
    epoch_seconds: float = Field(gt=0, description="Whole epoch.")
    data_seconds: float = Field(ge=0, description="Gathering batches.")
    step_seconds: float = Field(ge=0, description="Forward, backward, optimiser.")
    scoring_seconds: float = Field(ge=0, description="Pruner's `observe`.")
    selection_seconds: float = Field(ge=0, description="Pruner's `select` and ordering.")


class EntryTiming(EpochParts):
    """What an epoch of one (pruner, prune ratio) takes: a pruned one, where it has any."""

    pruner: str = Field(pattern=NAME, description="Name in the configuration.")
    prune_ratio: float = Field(description="Nominal.")
    preparation_seconds: float = Field(ge=0, description="Building and preparing the pruner, once.")
    ratio: float = Field(
        gt=0, description="The epoch / the full epoch of the same round; median over rounds."
    )
    ratio_low: float = Field(gt=0, description="Lower end of its 95 % interval.")
    ratio_high: float = Field(gt=0, description="Upper end.")
    settings: str = Field(description="SHA-256 of its configuration but for seed and prune ratio.")
    source_digest: str = Field(description="As in the record of a run of it.")


class TimingRecord(Record):
    """``timing/<data set>/<backbone>.json``; the table beside it has every timed epoch."""

    timing_version: int = Field(description="Version of this schema.")
    experiment: str = Field(pattern=NAME, description="Name of the experiment.")
    dataset: str = Field(pattern=NAME, description="Name in the configuration.")
    backbone: str = Field(pattern=NAME, description="Name in the configuration.")
    verdict: Literal["steady", "noisy", "disturbed"] = Field(description="How far to trust it.")
    rounds: int = Field(ge=1, description="Rounds that were timed.")
    full: EpochParts = Field(description="The full epoch that every ratio refers to.")
    validation_seconds: float = Field(ge=0, description="Median of a validation.")
    checkpoint_seconds: float = Field(ge=0, description="Median of writing a checkpoint.")
    entries: list[EntryTiming] = Field(description="One for each (pruner, prune ratio).")
    sensors: Sensors = Field(description="Over all timed epochs.")
    source_digest: str = Field(description="SHA-256 of the source files of the measuring.")
    data_checksum: str = Field(description="As in the record of a run.")
    environment: dict[str, Any] = Field(description="Versions, device, threads, cores, commit.")
    started: str = Field(description="ISO 8601, UTC.")
    finished: str = Field(description="ISO 8601, UTC.")

    @property
    def identity(self) -> dict[str, Any]:
        """What it depends on, as of `stprune.training.provenance.timing_identity`."""
        entries = self.entries
        return {
            "configuration": [(e.pruner, e.prune_ratio, e.settings) for e in entries],
            "source code": [self.source_digest, *(entry.source_digest for entry in entries)],
            "data": self.data_checksum,
        }


def settings_digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of a run's resolved configuration but for seed and prune ratio."""
    shared = {key: value for key, value in config.items() if key not in ("seed", "prune_ratio")}
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()


def write_timing(record: TimingRecord, epochs: pd.DataFrame, path: Path) -> None:
    """Write ``path`` and, before it, the table of timed epochs as csv beside it."""
    write_text(path.with_suffix(".csv"), epochs.to_csv(index=False))
    write_json(path, record.model_dump(mode="json"))


def read_timing(path: Path) -> TimingRecord:
    """Read one timing; a RecordError if it is missing, no JSON, or of another version."""
    values = partial(read_json_file, path)
    return checked(TimingRecord, values, str(path), timing_version=TIMING_VERSION)
