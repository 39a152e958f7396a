"""The store of an experiment: a folder of Parquet tables that everything after training reads.

Its bytes follow from its content alone (no dates, no versions of pandas), so that records that did
not change are no change of a repository either. To keep an experiment is to copy the folder.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stprune.base.errors import RecordError
from stprune.base.files import atomic_path, refuse_bomb, write_text
from stprune.base.layout import RunKey, store_config, store_parts, store_table
from stprune.base.text import CONTROL, NAME, is_formula
from stprune.records.run import Cost, EpochRecord

REFERENCE = "full"
KEYS = ["dataset", "backbone", "pruner", "prune_ratio", "seed"]
PLACE = ["dataset", "backbone"]
METRICS = ("mae", "rmse", "mape")
# Parts of the test windows, or of the nodes, whose MAE a mean over all would hide.
GROUPS = ("incident", "least_stationary", "worst_node")
HOURS, WEEKDAYS = 24, 7
HOUR_COLUMNS = tuple(f"hour_{hour}" for hour in range(WEEKDAYS * HOURS))
DECILE_COLUMNS = tuple(f"decile_{number}" for number in range(11))
SUMMARY_COLUMNS = (
    *KEYS,
    *(f"test_{metric}" for metric in METRICS),
    *(f"test_mae_{group}" for group in GROUPS),
    *("target_unit", "test_windows", "mape_floor", "validation_mae", "best_epoch", "parameters"),
    *Cost.model_fields,
    # How far to trust these times, the 95 % interval of two, and what the run's own clock said.
    *("timing", "epoch_seconds_low", "epoch_seconds_high", "total_seconds_low"),
    *("total_seconds_high", "own_epoch_seconds", "own_total_seconds"),
    *("expected_epoch_seconds", "epoch_time_ratio", "threads", "experiment", "fingerprint"),
    *("source_digest", "data_checksum", "git_commit", "started", "finished", "resumed", "record"),
)
EPOCH_COLUMNS = (*KEYS, *EpochRecord.model_fields, "own_elapsed_seconds")
COLUMNS: dict[str, tuple[str, ...]] = {
    "summary": SUMMARY_COLUMNS,
    "epochs": EPOCH_COLUMNS,
    # The whole `metrics.json` of every run.
    "records": (*KEYS, "json"),
    # The whole timing of every data set and backbone that has one.
    "timings": (*KEYS[:2], "json"),
    # When the windows that each run kept are: one row a run.
    "calendars": (*KEYS, *HOUR_COLUMNS),
    # How far the choices of two pruners agree: one row a pair.
    "overlaps": (
        *("dataset", "backbone", "prune_ratio", "pruner", "other"),
        *("epoch", "pairs", "overlap", "chance"),
    ),
    # Deciles of the scores: one row an epoch.
    "deciles": (*KEYS, "epoch", *DECILE_COLUMNS),
}
TEXTS = {
    *("dataset", "backbone", "pruner", "other", "experiment", "target_unit", "budget"),
    *("fingerprint", "source_digest", "data_checksum", "git_commit", "started", "finished"),
    *("record", "json", "timing"),
}
WHOLE_NUMBERS = {
    *("seed", "test_windows", "best_epoch", "parameters", "epochs", "gradient_steps", "windows"),
    *("windows_visited", "training_windows", "peak_memory_bytes", "threads", "resumed", "epoch"),
    "pairs",
}
NAMES = ("dataset", "backbone", "pruner", "other")


def run_keys_of(frame: pd.DataFrame) -> list[RunKey]:
    """The keys of the runs of a table, in its order."""
    columns = (frame[name].tolist() for name in KEYS)
    return [RunKey(*row) for row in zip(*columns, strict=True)]


def write_store(
    store: Path, tables: Mapping[str, pd.DataFrame], configuration: str | None = None
) -> None:
    """Write all tables of an experiment, with the ``COLUMNS``, over those of an earlier one."""
    store_table(store, "summary").unlink(missing_ok=True)
    store_config(store).unlink(missing_ok=True)
    if configuration is not None:
        write_text(store_config(store), configuration)
    # The summary comes last: a store without it is not complete.
    for name in reversed(COLUMNS):
        with atomic_path(store_table(store, name)) as temporary:
            schema = _schema(name)
            table = pa.Table.from_pandas(tables[name], schema=schema, preserve_index=False)
            floating = [field.name for field in schema if pa.types.is_floating(field.type)]
            pq.write_table(
                # Without what pandas notes of itself.
                table.replace_schema_metadata(None),
                temporary,
                version="2.6",
                compression="zstd",
                compression_level=15,
                use_dictionary=[name for name in schema.names if name not in floating],
                # Measured numbers rarely repeat, but their leading bytes do.
                column_encoding=dict.fromkeys(floating, "BYTE_STREAM_SPLIT"),
                store_schema=False,
                write_statistics=False,
            )


def read_store(store: Path, name: str) -> pd.DataFrame:
    """Read one table of a store; of a store in parts, that of each, one after another.

    Raises RecordError if it is missing, damaged, of other columns, or has texts that no run has.
    """
    tables = [_read_table(store_table(part, name), name) for part in store_parts(store)]
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def _read_table(path: Path, name: str) -> pd.DataFrame:
    schema = _schema(name)
    try:
        file = pq.ParquetFile(path)
        refuse_bomb(path, 8 * file.metadata.num_rows * file.metadata.num_columns)
        table = file.read()
        # Otherwise text that is not UTF-8 fails only where it is used.
        table.validate(full=True)
    except FileNotFoundError:
        raise RecordError(f"there is no {path}; summarise the experiment first") from None
    # Arrow raises its own errors over a damaged file, and those of what it is built on.
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{path} is not a readable Parquet file: {reason}") from None
    if not table.schema.equals(schema):
        differing = sorted({field.name for field in set(table.schema) ^ set(schema)})
        raise RecordError(
            f"{path} has other columns than this version writes ({', '.join(differing[:5])});"
            " summarise the experiment again"
        )
    # Each column in memory of its own: pandas sums columns that share a block in another order, to
    # other bits.
    columns = {name: column.copy() for name, column in table.to_pandas(split_blocks=True).items()}
    frame = pd.DataFrame(columns, copy=False)
    _check_cells(path, frame)
    return frame


def _schema(name: str) -> pa.Schema:
    def kind(column: str) -> pa.DataType:
        if column in TEXTS:
            return pa.string()
        if column in WHOLE_NUMBERS:
            return pa.int64()
        return pa.float32() if column.startswith(("hour_", "decile_")) else pa.float64()

    return pa.schema([(column, kind(column)) for column in COLUMNS[name]])


def _check_cells(path: Path, frame: pd.DataFrame) -> None:
    """Check names and keys, and that no text is a formula, has control characters, or leads out."""
    for column in frame.columns.intersection([*KEYS, *TEXTS - {"json"}]):
        # A table has thousands of rows and few names.
        for cell in frame[column].unique():
            if column in NAMES:
                right = isinstance(cell, str) and re.fullmatch(NAME, cell) is not None
            elif column in KEYS:
                right = bool(np.isfinite(cell))
            else:
                right = pd.isna(cell) or not (
                    (cell.startswith("/") or ".." in cell.split("/"))
                    or (CONTROL.search(cell) or "\n" in cell or is_formula(cell))
                )
            if not right:
                raise RecordError(
                    f"{path}: `{column}` is {str(cell)[:40]!r}; summarise the experiment again, or"
                    " delete the run's record"
                )
