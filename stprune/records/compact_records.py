"""The compact records of an experiment: all that tables, figures and the report need of its runs.

Parquet files whose bytes follow from their content alone (no dates, no versions of pandas), so
that records that did not change are no change of the repository either.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stprune.base.errors import RecordError
from stprune.base.layout import RunKey
from stprune.base.schema import validate
from stprune.base.text_file import parse_json
from stprune.base.unpacked_size import refuse_bomb
from stprune.records.compact_layout import CompactLayout
from stprune.records.run import RECORD_VERSION, EpochRecord, RunRecord
from stprune.results.columns import EPOCH_COLUMNS, KEYS
from stprune.results.kept_tables import (
    CALENDAR_COLUMNS,
    DECILES_COLUMNS,
    OVERLAP_COLUMNS,
    PLACE,
    KeptTables,
)
from stprune.results.table_cells import check_numbers, check_texts
from stprune.results.table_file import ENTRY_COLUMNS

RECORD_COLUMNS = (*KEYS, "record")
COMPRESSION_LEVEL = 15
NUMBER_BYTES = 8


class CompactRecords:
    """A `RunSource` that reads what `stprune compact` wrote.

    Args:
        layout: Where it lies.
    """

    def __init__(self, layout: CompactLayout) -> None:
        self._layout = layout

    def epochs(self) -> pd.DataFrame:
        """One row an epoch of every run, columns ``EPOCH_COLUMNS``."""
        frame = read_parquet(self._layout.epochs, EPOCH_COLUMNS)
        check_numbers(self._layout.epochs, frame, EpochRecord.model_fields)
        return frame

    def record(self, key: RunKey) -> RunRecord:
        """The record of a run.

        Raises:
            RecordError: If there is none, or it is of another version.
        """
        path = self._layout.records
        text = self._texts.get(key.path)
        if text is None:
            raise RecordError(f"{path} has no record of {key.path}; write the compact records anew")
        try:
            values = parse_json(text)
        except ValueError as error:
            raise RecordError(f"{path}, {key.path}: no readable record: {error}") from None
        version = values.get("record_version") if isinstance(values, dict) else None
        if version != RECORD_VERSION:
            raise RecordError(
                f"{path}, {key.path}: record version {version}, this is version {RECORD_VERSION};"
                " write the compact records anew"
            )
        return validate(RunRecord, values, f"{path}, {key.path}")

    def kept(self, summary: pd.DataFrame) -> KeptTables:
        """What the runs of ``summary`` kept."""
        layout = self._layout
        runs, places = summary[KEYS], summary[PLACE].drop_duplicates()
        return KeptTables(
            read_parquet(layout.calendars, CALENDAR_COLUMNS).merge(runs, on=KEYS),
            read_parquet(layout.overlaps, OVERLAP_COLUMNS).merge(places, on=PLACE),
            read_parquet(layout.deciles, DECILES_COLUMNS).merge(runs, on=KEYS),
        )

    @cached_property
    def _texts(self) -> dict[str, str]:
        frame = read_parquet(self._layout.records, RECORD_COLUMNS)
        paths = [
            RunKey(*row).path for row in zip(*(frame[name].tolist() for name in KEYS), strict=True)
        ]
        return dict(zip(paths, frame["record"], strict=True))


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """A table as the content of a Parquet file, the same for the same table.

    Args:
        frame: Columns of text, whole and floating-point numbers, which stay exact.
    """
    schema = pa.schema([(name, _kind(frame[name])) for name in frame.columns])
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    floating = [field.name for field in schema if pa.types.is_floating(field.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        # Without what pandas notes of itself.
        table.replace_schema_metadata(None),
        sink,
        version="2.6",
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=[name for name in frame.columns if name not in floating],
        # Measured numbers rarely repeat, but their leading bytes do.
        column_encoding=dict.fromkeys(floating, "BYTE_STREAM_SPLIT"),
        store_schema=False,
        write_statistics=False,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table that :func:`parquet_bytes` made.

    Raises:
        RecordError: If the file is missing, damaged or lacks a column.
    """
    try:
        file = pq.ParquetFile(path)
        refuse_bomb(path, NUMBER_BYTES * file.metadata.num_rows * file.metadata.num_columns)
        table = file.read()
        # Else a text that is no UTF-8 shows only where it is looked at.
        table.validate(full=True)
        frame: pd.DataFrame = table.to_pandas()
    except FileNotFoundError:
        raise RecordError(f"there is no {path}; write the compact records anew") from None
    # Arrow raises its own errors over a damaged file, and those of what it is built on.
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{path} is not a readable Parquet file: {reason}") from None
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise RecordError(f"{path} lacks the columns {missing}; write the compact records anew")
    names = [column for column in ENTRY_COLUMNS if column in columns]
    check_texts(path, frame, names, names)
    numbers = [key for key in KEYS if key in columns and key not in names]
    check_numbers(path, frame, numbers, finite=numbers)
    return frame[list(columns)]


def _kind(values: pd.Series[Any]) -> pa.DataType:
    if pd.api.types.is_float_dtype(values):
        return pa.float32() if values.dtype == np.float32 else pa.float64()
    return pa.int64() if pd.api.types.is_integer_dtype(values) else pa.string()
