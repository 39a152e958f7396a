"""The run record: everything a table, a figure or a second run of the same needs to know."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from stprune.base.errors import RecordError
from stprune.base.files import write_json, write_text
from stprune.base.layout import RunKey
from stprune.base.schema import Model, StrictModel, validate
from stprune.base.text import NAME, is_formula, parse_json, read_json_file, texts_in

RECORD_VERSION = 2
HOUR = "hour_"  # how groups of test windows by hour of day begin


class Record(StrictModel):
    """May come from somebody else, and its texts become cells of csv files and parts of pages."""

    @model_validator(mode="after")
    def _no_formulas(self) -> Self:
        for text in texts_in(self.model_dump(exclude={"config"})):
            if is_formula(text):
                raise ValueError(f"{text[:40]!r} must be words, not a formula")
        return self


class Scores(StrictModel):
    """Errors on one split, pooled over windows, nodes and horizon steps unless a rule differs."""

    mae: float | None = Field(description="Masked mean absolute error, real units.")
    rmse: float | None = Field(description="Root of the pooled masked mean squared error.")
    mape: float | None = Field(description="Mean absolute percentage error, in percent.")
    mae_per_horizon: list[float | None] = Field(description="The same for each step ahead.")
    rmse_per_horizon: list[float | None] = Field(description="The same for each step ahead.")
    mape_per_horizon: list[float | None] = Field(description="The same for each step ahead.")
    windows: int = Field(description="Windows that were evaluated.")
    mape_floor: float = Field(description="MAPE counts targets of at least this.")


class EpochRecord(StrictModel):
    """One epoch and where its time went; all times in seconds of wall clock."""

    epoch: int = Field(description="0-based.")
    windows: int = Field(description="Windows visited.")
    keep_ratio: float = Field(description="Windows visited / training windows.")
    gradient_steps: int = Field(description="Optimiser steps.")
    learning_rate: float = Field(description="During the epoch.")
    train_loss: float = Field(description="Mean weighted loss over the epoch's batches.")
    validation_mae: float | None = Field(description="None where validation was skipped.")
    data_seconds: float = Field(description="Gathering batches.")
    step_seconds: float = Field(description="Forward, backward, optimiser.")
    scoring_seconds: float = Field(description="Pruner's `observe`.")
    selection_seconds: float = Field(description="Pruner's `select` and ordering.")
    train_seconds: float = Field(description="Sum of the four: the per-epoch time.")
    validation_seconds: float = Field(description="Validation pass.")
    checkpoint_seconds: float = Field(description="Writing the previous epoch's checkpoint.")
    elapsed_seconds: float = Field(description="All of the above and preparation, so far.")


class Cost(StrictModel):
    """What the run cost. Scoring, selection and preparation count as training."""

    budget: str = Field(description="What was held equal to full training.")
    budget_share: float = Field(description="What the run spent of it / what full training does.")
    epochs: int = Field(description="Epochs trained.")
    gradient_steps: int = Field(description="Optimiser steps in all epochs.")
    windows_visited: int = Field(description="Windows in all epochs, with repetition.")
    training_windows: int = Field(description="n.")
    nominal_keep_ratio: float = Field(description="1 - prune ratio.")
    realised_keep_ratio: float = Field(
        description="Mean keep ratio of the pruned epochs (of all, where none was pruned)."
    )
    overall_keep_ratio: float = Field(description="Windows visited / (n x epochs of full).")
    preparation_seconds: float = Field(description="Building and preparing the pruner.")
    epoch_seconds: float = Field(
        description="Median per-epoch time of the pruned epochs (of all, where none was pruned)."
    )
    full_epoch_seconds: float | None = Field(
        description="Median per-epoch time of the run's own full epochs, if any."
    )
    overhead_seconds: float = Field(
        description="Median scoring + selection time over the same epochs as epoch_seconds."
    )
    train_seconds: float = Field(description="Preparation and all per-epoch times.")
    validation_seconds: float = Field(description="All validation passes.")
    checkpoint_seconds: float = Field(description="All checkpoints but the last.")
    total_seconds: float = Field(description="Training, validation and checkpoints.")
    test_seconds: float = Field(description="The one test pass; not part of the total.")
    peak_memory_bytes: int = Field(description="Peak of the device, or of the process on a CPU.")
    processor_joules: float | None = Field(
        None,
        description="Energy of the processor's packages, and of memory with a counter of its own,"
        " in the total time; of all that ran on them. None where it cannot be read.",
    )
    device_joules: float | None = Field(
        None, description="The same of the run's NVIDIA devices, through `pynvml`."
    )


class Transfer(StrictModel):
    """How the model of a union does on a data set that it was not trained on."""

    zero_shot: Scores = Field(description="Every test window there, without any training on it.")
    linear_probe: Scores | None = Field(
        None, description="The same after training the last layer there; None if not asked for."
    )


class RunRecord(Record):
    """``metrics.json``: one finished run; its names and texts go into paths, tables and pages."""

    record_version: int = Field(description="Version of this schema.")
    experiment: str = Field(pattern=NAME, description="Name of the experiment.")
    dataset: str = Field(pattern=NAME, description="Name in the configuration.")
    backbone: str = Field(pattern=NAME, description="Name in the configuration.")
    pruner: str = Field(pattern=NAME, description="Name in the configuration.")
    prune_ratio: float = Field(description="Nominal; 0 for a pruner that has none.")
    seed: int = Field(description="Seed of the run.")
    test: Scores = Field(
        description="Of the test windows, once, with the best-validation weights, by the rule of"
        " the run's protocol."
    )
    scores_by_rule: dict[str, Scores] = Field(
        default_factory=dict,
        description="The same forecasts by the rules of several publications; see"
        " docs/protocols.md.",
    )
    test_groups: dict[str, float | None] = Field(
        description="Test MAE of the windows with an `incident`, of the `least_stationary` tenth,"
        " of those whose first target is in `hour_0` to `hour_23` of the day, and of the"
        " `worst_node`; of a union, of each of its data sets. None where nothing was observed."
    )
    transfer: dict[str, Transfer] = Field(
        default_factory=dict, description="By data set that was held out of a union."
    )
    validation_mae: float = Field(description="Of the best epoch.")
    best_epoch: int = Field(description="0-based.")
    parameters: int = Field(description="Trainable parameters.")
    cost: Cost = Field(description="Time, steps, memory.")
    config: dict[str, Any] = Field(description="The resolved configuration of the run.")
    fingerprint: str = Field(description="SHA-256 of that configuration.")
    data: dict[str, Any] = Field(description="Checksum, subset and sizes of the data.")
    source_digest: str = Field(description="SHA-256 of the source files that the run depends on.")
    environment: dict[str, Any] = Field(description="Versions, threads, processor, git commit.")
    started: str = Field(description="ISO 8601, UTC; of the first start.")
    finished: str = Field(description="ISO 8601, UTC.")
    resumed: int = Field(description="How often the run was continued from a checkpoint.")

    @property
    def key(self) -> RunKey:
        """What addresses the run."""
        return RunKey(*(getattr(self, name) for name in RunKey._fields))


def write_record(record: RunRecord, epochs: list[EpochRecord], folder: Path) -> None:
    """Write ``epochs.csv`` and then ``metrics.json`` of a run, each atomically."""
    frame = pd.DataFrame([epoch.model_dump() for epoch in epochs])
    write_text(folder / "epochs.csv", frame.to_csv(index=False))
    write_json(folder / "metrics.json", record.model_dump(mode="json"))


def read_record(metrics: Path) -> RunRecord:
    """Read one ``metrics.json``; a RecordError if it is missing, no JSON, or of another version."""
    values = partial(read_json_file, metrics)
    return checked(RunRecord, values, str(metrics), record_version=RECORD_VERSION)


def parse_record(text: str, where: str) -> RunRecord:
    """Check a record that a store holds as text; raises as `read_record` does."""
    return checked(RunRecord, partial(parse_json, text), where, record_version=RECORD_VERSION)


def checked(model: type[Model], read: Callable[[], Any], where: str, **version: int) -> Model:
    """What ``read`` gives as a ``model`` of this version; a RecordError names ``where`` if not."""
    ((name, wanted),) = version.items()
    try:
        values = read()
    except FileNotFoundError:
        raise RecordError(f"there is no {where}: its run or timing has not finished") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{where} is not a readable record: {error}") from None
    found = values.get(name) if isinstance(values, dict) else None
    if found != wanted:
        raise RecordError(f"{where} has {name} {found}, this is {wanted}; make it again")
    return validate(model, values, where)


def read_epochs(table: Path) -> pd.DataFrame:
    """Read one ``epochs.csv``, columns as in `EpochRecord`; NaN where validation was skipped.

    Raises RecordError if it is missing, lacks a column, or has a cell that is no number.
    """
    types = {
        name: "int64" if field.annotation is int else "float64"
        for name, field in EpochRecord.model_fields.items()
    }
    try:
        frame = pd.read_csv(
            table, dtype=types, usecols=list(types), keep_default_na=False, na_values=[""]
        )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{table} is not a readable table of epochs: {reason}") from None
    if not np.isfinite(frame.fillna({"validation_mae": 0.0})).all(axis=None):
        raise RecordError(f"{table} has a cell that is no finite number; delete the run's record")
    return frame[list(types)]
