"""A user's own series in a csv, parquet, npz or HDF file, with or without a graph.

`docs/own_data.md` states every rule. No pickle is ever read. A table of columns is a pandas frame
whose index counts the rows as a user does: its name is `line` for a csv, whose header is line 1,
and `row` for a Parquet file.

A canonical data set has equal steps, but a clock that is set forward and back has not. Times with
one offset from UTC keep their clock; with `timezone`, all become the standard time of that zone.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype
from pyarrow import csv as arrow_csv
from pydantic import Field, model_validator
from scipy.sparse import load_npz

from stprune.base.errors import ConfigError, DataError
from stprune.base.files import refuse_bomb
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats import base
from stprune.data.formats.base import observed, reading
from stprune.data.pandas_hdf import open_frame, plain_array

ISO = "iso"
PER_SECOND = {"seconds": 1, "milliseconds": 1000}


class GraphOptions(StrictModel):
    """How the file of the graph becomes edge weights; docs/own_data.md explains each option."""

    weights: Literal["given", "binary", "gaussian"] = "given"
    sigma: float | None = Field(None, gt=0, description="null: standard deviation of distances.")
    threshold: float = Field(0.1, ge=0, le=1, description="Smaller Gaussian weights are no edge.")
    array: str | None = Field(None, description="Key of the matrix; null: the only array.")


class Options(StrictModel):
    """How the series is laid out, and what to do with irregular rows; see docs/own_data.md."""

    layout: Literal["wide", "long", "array"] = "wide"
    time: str | None = Field(None, description="Column or key of the times, if any.")
    time_format: str = Field(ISO, description="`iso`, `seconds`, `milliseconds`, or a pattern.")
    timezone: str | None = Field(None, description="Zone of the times; null: as written.")
    node: str | None = Field(None, description="Column (long) or key (array) of the sensor ids.")
    columns: list[str] = Field(
        default_factory=list, description="Column of each channel in a long file, if not its name."
    )
    array: str | None = Field(None, description="Key of the values; null: the only array.")
    separator: Literal[",", ";", "\t", "|"] = ","
    decimal: Literal[".", ","] = "."
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252", "gb18030"] = "utf-8"
    missing_numbers: list[float] = Field(default_factory=list)
    allow_negative: list[str] = Field(default_factory=list, description="Channels.")
    duplicates: Literal["refuse", "first", "last", "mean"] = "refuse"
    gaps: Literal["refuse", "missing"] = "refuse"
    resample: Literal["none", "mean"] = "none"
    graph: GraphOptions = Field(default_factory=GraphOptions)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.layout == "long" and None in (self.time, self.node):
            raise ValueError("the layout `long` needs `time` and `node`, the names of two columns")
        if self.layout == "wide" and self.node is not None:
            raise ValueError("the layout `wide` has its sensors in the header, not in `node`")
        if self.columns and self.layout != "long":
            raise ValueError("`columns` are of the layout `long`")
        if self.separator == self.decimal:
            raise ValueError("`separator` and `decimal` cannot be the same sign")
        if self.time is None and (self.resample == "mean" or self.time_format != ISO):
            raise ValueError("`resample` and `time_format` need `time`, the column of the times")
        if self.timezone is not None and self.timezone not in available_timezones():
            raise ValueError(f"`timezone: {self.timezone}` is no zone such as `Europe/Berlin`")
        return self


SERIES = "series"
GRAPHS = ("adjacency", "edges")  # a matrix, or a csv `from,to` and perhaps a number
CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
HDF_SUFFIXES = (".h5", ".hdf5", ".hdf")
MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none")
UNNAMED = re.compile(r"(Unnamed: \d+)?")  # as pandas calls a column without a name


def load(card: DatasetCard, paths: dict[str, Path]) -> RawSeries:
    """Read series and graph by the card's options; an error names what breaks a rule, and where."""
    where = f"options of {card.title}"
    options, channels = validate(Options, card.options, where), card.channel_names
    graph_roles = [role for role in GRAPHS if role in paths]
    roles = SERIES in paths and len(paths) == 1 + len(graph_roles) < 3
    gaps = options.missing_numbers or options.gaps == "missing"
    gaps_need = "`missing_numbers` and `gaps: missing` need `mask_policy: nan`"
    for wrong, problem in (
        (not roles, f"the files are `{SERIES}` and at most one of {', '.join(GRAPHS)}"),
        (options.layout == "wide" and len(channels) > 1, "a wide file holds one channel"),
        (set(options.allow_negative) - set(channels), "`allow_negative` names no channel"),
        (len(options.columns) not in (0, len(channels)), "`columns` needs one for each channel"),
        (gaps and card.mask_policy != "nan", gaps_need),
    ):
        if wrong:
            raise ConfigError(f"{where}: {problem}")
    readings = read_series(paths[SERIES], options, channels)
    nodes = readings.nodes
    aligned(paths[SERIES], nodes, nodes)
    times, values = on_steps(readings, card, options)
    adjacency = np.zeros((len(nodes), len(nodes)), np.float32)
    for role in graph_roles:
        adjacency = read_graph(role, paths[role], nodes, options)
    mask = ~np.isnan(values)
    empty = ~np.all(np.any(mask, axis=0), axis=1)
    if empty.any():
        name = nodes[int(np.argmax(empty))]
        raise DataError(f"{paths[SERIES]}: the sensor `{name}` has no value; leave it out")
    filled = np.where(mask, values, 0.0).astype(np.float32)
    return RawSeries(filled, mask, times, adjacency, nodes)


def csv_cells(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    """All cells of a csv as text without outer blanks, the header's too; the index counts lines."""
    with reading(path, "csv"):
        # A spreadsheet may put a byte order mark before the first name.
        text = path.read_text(encoding=encoding.replace("utf-8", "utf-8-sig")).rstrip(" \n")
        header = next(csv.reader(io.StringIO(text), delimiter=separator), [])
        if len(header) == 1 and any(sign in header[0] for sign in ",;\t|"):
            advice = "say which sign is between columns with `separator`"
            raise DataError(f"{path}: line 1 has one column, `{header[0][:60]}`; {advice}")
        names = [str(number) for number in range(len(header))]
        table = arrow_csv.read_csv(
            io.BytesIO(text.encode()),
            arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=2**26),
            arrow_csv.ParseOptions(delimiter=separator, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    cells: pd.DataFrame = table.to_pandas().apply(lambda column: column.str.strip())
    cells.index = pd.RangeIndex(1, len(cells) + 1, name="line")
    blank = (cells == "").all(axis=1)
    if blank.any():
        raise DataError(f"{path}: line {blank.idxmax()} is blank")
    return cells


def read_columns(path: Path, options: Options) -> pd.DataFrame:
    """All columns of a csv, as text, or of a parquet file, as they are stored; never empty."""
    if path.suffix.lower() in CSV_SUFFIXES:
        cells = csv_cells(path, options.separator, options.encoding)
        frame = cells.iloc[1:].set_axis(cells.iloc[0].to_list(), axis=1)
    else:
        with reading(path, f"one of {', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES)}"):
            file = pq.ParquetFile(path)
            refuse_bomb(path, 8 * file.metadata.num_rows * file.metadata.num_columns)
            table = file.read()
            table.validate(full=True)  # else text that is not UTF-8 would fail much later
            frame = table.to_pandas(ignore_metadata=True, date_as_object=False)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    if frame.empty:
        raise DataError(f"{path} is empty below its header")
    return frame


def column_of(path: Path, frame: pd.DataFrame, name: str) -> pd.Series:
    """The one column called ``name``, else a DataError."""
    names = list(frame.columns)
    if names.count(name) != 1:
        listed = "`, `".join(names[:12])
        raise DataError(f"{path} has {names.count(name)} columns `{name}`; they are `{listed}`")
    return frame[name]


def numbers_of(
    path: Path,
    frame: pd.DataFrame,
    names: Sequence[str],
    decimal: str = ".",
    *,
    infinite: bool = False,
) -> NDArray[np.float64]:
    """Columns as (R, K) float64, NaN where a value is missing; an error names a wrong cell."""
    result = np.empty((len(frame), len(names)))
    for number, name in enumerate(names):
        if UNNAMED.fullmatch(name):
            raise DataError(f"{path}: column `{name}` has no name; name or delete it")
        column = column_of(path, frame, name)
        if is_numeric_dtype(column) and not is_bool_dtype(column):
            numbers, missing = column, column.isna()
        else:
            text = column.astype("str").fillna("").str.strip()
            if decimal == ",":
                text = text.str.replace(".", "?").str.replace(",", ".")
            numbers = pd.to_numeric(text, errors="coerce")
            missing = text.str.lower().isin(MISSING_WORDS)
        result[:, number] = numbers.to_numpy(np.float64, na_value=np.nan)
        fine = np.isfinite(result[:, number]) | missing | (infinite & np.isinf(result[:, number]))
        if not fine.all():
            row = int(np.argmin(fine))
            place = f"{path}: {frame.index.name} {frame.index[row]}, column `{name}`"
            problem = f"is not a finite number with the decimal sign `{decimal}`"
            advice = "if the column holds times, name it with `time`"
            raise DataError(f"{place}: `{column.iloc[row]}` {problem}; {advice}")
    return result


def read_array(path: Path, key: str | None, option: str) -> NDArray[Any]:
    """The array ``key`` of an npz, npy or HDF file, None for the only one; texts as numpy text.

    ``option`` is what a message calls the option that says ``key``.
    """
    with reading(path, f"npz, npy or one of {', '.join(HDF_SUFFIXES)}"):
        if path.suffix.lower() in HDF_SUFFIXES:
            with h5py.File(path, "r") as file:
                items: list[str] = []
                file.visit(items.append)
                keys = [name for name in items if isinstance(file[name], h5py.Dataset)]
                dataset = plain_array(path, file, _key(path, keys, key, option))
                if h5py.check_string_dtype(dataset.dtype) is None:
                    return np.asarray(dataset[...])
                return np.array(dataset.asstr()[...], dtype=np.str_)
        with path.open("rb") as stream:  # numpy itself would leave a damaged file open
            array = np.load(stream, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                name = _key(path, list(array.files), key, option)
                refuse_bomb(path, array.zip.getinfo(f"{name}.npy").file_size)
                array = np.asarray(array[name])
        return np.strings.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _key(path: Path, keys: list[str], key: str | None, option: str) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    if key is None or key not in keys:
        listed = ", ".join(f"`{name}`" for name in keys[:12]) or "none"
        raise DataError(f"{path}: name one of its arrays with `{option}`: {listed}")
    return key


LARGEST = 1e15  # the square of a larger error would overflow in float32, in which models train


@dataclass(frozen=True)
class Readings:
    """What one file says, in file order."""

    path: Path
    channels: list[str]
    nodes: list[str]
    values: NDArray[np.float64]  # (R, N, C), in a long file (R, 1, C); NaN where missing
    rows: "pd.Index[Any]"  # (R,) as messages count the rows; its name is what they call one
    times: pd.DatetimeIndex | None
    sensor: NDArray[np.intp] | None = None  # (R,) of a long file

    def place(self, at: tuple[int, ...]) -> str:
        """Words for a row, a sensor of it, or a single value, by its indices."""
        words = f"{self.path}: {self.rows.name} {self.rows[at[0]]}"
        if self.sensor is not None or len(at) > 1:
            node = at[1] if self.sensor is None else self.sensor[at[0]]
            words += f", sensor `{self.nodes[node]}`"
        return words + (f", channel `{self.channels[at[2]]}`" if len(at) > 2 else "")


def read_series(path: Path, options: Options, channels: list[str]) -> Readings:
    """Read the channels that a file holds; a DataError names the row and column that are wrong."""
    entries, row = None, "row"
    with reading(path, f"a series in the layout `{options.layout}`"):
        if options.layout == "array":
            values, nodes = _read_arrays(path, options, channels)
            row = "step"
            if options.time is not None:
                entries = read_array(path, options.time, "")
        elif options.layout == "wide" and path.suffix.lower() in HDF_SUFFIXES:
            with open_frame(path, options.array) as stored:
                values, nodes = stored.rows(0, stored.shape[0])[:, :, None], stored.names
                if options.time is not None:
                    entries = stored.times()
        else:
            return _read_columns(path, options, channels)
        rows = pd.RangeIndex(1, len(values) + 1, name=row)
        times = None if entries is None else read_times(path, pd.Series(entries, rows), options)
        return Readings(path, channels, nodes, values, rows, times)


def _read_arrays(
    path: Path, options: Options, channels: list[str]
) -> tuple[NDArray[np.float64], list[str]]:
    values = read_array(path, options.array, "array")
    values = values[:, :, None] if values.ndim == 2 else values
    fits = values.ndim == 3 and values.shape[2] == len(channels) and values.size
    if not fits or values.dtype.kind not in "fiu":
        wanted = f"numbers of (steps, sensors, channels) with {len(channels)} channel(s)"
        raise DataError(f"{path}: it holds {values.dtype} of shape {values.shape}, not {wanted}")
    ids = np.arange(values.shape[1])
    if options.node is not None:
        ids = read_array(path, options.node, "")
        if ids.shape != values.shape[1:2]:
            raise DataError(f"{path}: `{options.node}` has the shape {ids.shape}, not (sensors,)")
    return values.astype(np.float64), [str(name).strip() for name in ids]


def _read_columns(path: Path, options: Options, channels: list[str]) -> Readings:
    frame = read_columns(path, options)
    rows, sensor, times = frame.index, None, None
    entries = None if options.time is None else column_of(path, frame, options.time)
    if options.layout == "wide":
        nodes = [name for name in frame.columns if name != options.time]
        values = numbers_of(path, frame, nodes, options.decimal)[:, :, None]
    else:
        ids = column_of(path, frame, str(options.node)).astype(object).map(_sensor_name)
        if (ids == "").any():
            raise DataError(f"{path}: {rows.name} {(ids == '').idxmax()}: no sensor")
        sensor, names = pd.factorize(ids)
        nodes = list(names)
        columns = options.columns or channels
        values = numbers_of(path, frame, columns, options.decimal)[:, None, :]
    if entries is not None:
        times = read_times(path, entries, options, sensor)
    return Readings(path, channels, nodes, values, rows, times, sensor)


def _sensor_name(entry: Any) -> str:
    """An id as text, empty if there is none; a whole number that pandas stored as 3.0 is `3`."""
    if isinstance(entry, float) and entry.is_integer():
        entry = int(entry)
    return "" if pd.isna(entry) else str(entry).strip()


def on_steps(
    readings: Readings, card: DatasetCard, options: Options
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Put the values of rows, in any order, on the steps of the card.

    The times are (T,) datetime64[s] and the values (T, N, C) float64, NaN where missing.
    """
    values, times = _measured(readings, card, options), readings.times
    if times is None:
        return base.regular_times(card, len(values)), values
    axis = pd.DatetimeIndex(base.regular_times(card, card.steps))
    start, step = axis[0], pd.Timedelta(minutes=card.step_minutes)
    number = np.asarray((times - start) // step)
    sensor = np.zeros(len(values), np.int64) if readings.sensor is None else readings.sensor
    keys = pd.MultiIndex.from_arrays([times, sensor])
    for wrong, allowed, problem in (
        (keys.duplicated(), options.duplicates != "refuse", "again; see `duplicates`"),
        (start + number * step != times, options.resample == "mean", "off the steps: `resample`"),
        (number < 0, False, "before the first step of the card"),
        (number >= card.steps, card.breaks != "none", "after the last step of the card"),
    ):
        if wrong.any() and not allowed:
            row = int(np.argmax(wrong))
            raise DataError(f"{readings.place((row,))} is of {times[row]}, {problem}")
    frame = pd.DataFrame(values.reshape(len(values), -1), keys)
    if options.duplicates == "mean":
        frame = frame.groupby(level=[0, 1]).mean()
    elif options.duplicates != "refuse":
        frame = frame[~keys.duplicated(keep=options.duplicates)]
    if options.resample == "mean":
        moments = pd.DatetimeIndex(frame.index.get_level_values(0))
        begins = start + (moments - start) // step * step
        frame = frame.groupby([begins, frame.index.get_level_values(1)]).mean()
    covered = pd.DatetimeIndex(frame.index.get_level_values(0)).unique().sort_values()
    if card.breaks != "none":  # steps left out at a break are no gap
        axis = covered
    if (covered[0], covered[-1]) != (axis[0], axis[-1]):
        said = f"but the card {axis[0]} to {axis[-1]}"
        raise DataError(f"{readings.path} covers {covered[0]} to {covered[-1]}, {said}")
    grid = pd.MultiIndex.from_product([axis, range(sensor.max() + 1)])
    absent = np.flatnonzero(~grid.isin(frame.index))
    if options.gaps == "refuse" and len(absent):
        time, node = grid[absent[0]]
        who = "" if readings.sensor is None else f" of sensor `{readings.nodes[node]}`"
        advice = "if its values are missing, say `gaps: missing`"
        raise DataError(f"{readings.path} has no row{who} for {time}; {advice}")
    table = frame.reindex(grid).to_numpy().reshape(len(axis), -1, values.shape[2])
    return axis.to_numpy().astype("datetime64[s]"), table


def _measured(readings: Readings, card: DatasetCard, options: Options) -> NDArray[np.float64]:
    """The values of a file with NaN wherever the rules of the card call one missing."""
    values = readings.values
    if options.missing_numbers:
        values = np.where(np.isin(values, options.missing_numbers), np.nan, values)
    signed = np.array([name in options.allow_negative for name in readings.channels])
    wrong = (np.abs(values) > LARGEST) | ((values < 0) & ~signed)
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        problem = f"is negative or beyond {LARGEST:g}; see `allow_negative`, `missing_numbers`"
        raise DataError(f"{readings.place(at)}: {values[at]:g} {problem}")
    return np.where(observed(values, card, readings.place), values, np.nan)


def read_times(
    path: Path, entries: pd.Series, options: Options, sensor: NDArray[np.int64] | None = None
) -> pd.DatetimeIndex:
    """The time of each row, without a zone, in whole seconds of the years 1901 to 2199.

    ``entries`` (R,) are texts, numbers, or datetime64 with or without a zone; their index names the
    rows in messages. ``sensor`` (R,) is the sensor of each row of a long file.
    """

    def refuse(wrong: object, problem: str) -> None:
        if np.any(np.asarray(wrong)):
            row = int(np.argmax(np.asarray(wrong)))
            name = f"{entries.index.name} {entries.index[row]}"
            raise DataError(f"{path}: {name}: the time `{entries.iloc[row]}` {problem}")

    if is_datetime64_any_dtype(entries):
        index = pd.DatetimeIndex(entries)
        clock = index.tz_localize(None)
        aware = np.full(len(index), index.tz is not None)
        ahead = clock - (clock if index.tz is None else index.tz_convert("UTC").tz_localize(None))
    else:
        # A long file repeats each time for every sensor; each is parsed once.
        codes, texts = pd.factorize(entries.astype(object).where(entries.notna(), "").astype(str))
        parsed = [parse_time(str(text).strip(), options.time_format) for text in texts]
        unreadable = np.array([moment is None for moment in parsed])[codes]
        form = "ISO 8601" if options.time_format == ISO else options.time_format
        refuse(unreadable, f"is not of the form `{form}`; say another with `time_format`")
        moments = [moment for moment in parsed if moment is not None]
        clock = pd.DatetimeIndex([moment.replace(tzinfo=None) for moment in moments])[codes]
        aware = np.array([moment.tzinfo is not None for moment in moments])[codes]
        ahead = pd.TimedeltaIndex([moment.utcoffset() or timedelta() for moment in moments])[codes]
    refuse(clock.isna() | (clock != clock.floor("s")), "is no whole second")
    # A pattern without a year means 1900.
    refuse((clock.year <= 1900) | (clock.year > 2199), "is not of 1901 to 2199")
    refuse(aware != aware[0], "differs from the first in whether it says its offset from UTC")
    zone = options.timezone
    if zone is None:
        refuse(ahead != ahead[0], "has another offset from UTC than the first; see `timezone`")
        return clock
    instants = clock - ahead if aware[0] else _instants(path, clock, zone, sensor)
    # Not the offset less `dst()`: databases differ in which half of Dublin's year is summer time.
    january, july = (
        datetime(instants.min().year, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() or timedelta()
        for month in (1, 7)
    )
    return instants + pd.Timedelta(min(january, july))


def parse_time(text: str, time_format: str) -> datetime | None:
    """The time that a text says, with its offset from UTC if it says one; None if it says none."""
    try:
        if time_format == ISO:
            return datetime.fromisoformat(text)
        if time_format not in PER_SECOND:
            return datetime.strptime(text, time_format)
        # pandas writes a whole number as 1.7e9 or 1700000000.0 if the column had a gap once.
        seconds = float(text.replace("_", "?")) / PER_SECOND[time_format]
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (ValueError, OverflowError, re.error):  # strptime makes an expression of the pattern
        return None


def _instants(
    path: Path, clock: pd.DatetimeIndex, zone: str, sensor: NDArray[np.int64] | None
) -> pd.DatetimeIndex:
    """The zone's clock times in UTC; a doubled hour is told apart by its order for each sensor."""
    try:
        first = clock.tz_localize(zone, ambiguous=np.ones(len(clock), bool), nonexistent="raise")
        instants = pd.Series(first)
        if clock.tz_localize(zone, ambiguous="NaT").hasnans:
            of = pd.Series(np.zeros(len(clock)) if sensor is None else sensor)
            for rows in of.groupby(of).indices.values():
                instants.iloc[rows] = clock[rows].tz_localize(zone, ambiguous="infer")
                if not instants.iloc[rows].is_monotonic_increasing:
                    raise ValueError("times that do not rise do not tell a doubled hour apart")
    except ValueError as error:
        raise DataError(
            f"{path}: {error} (the clock of {zone}); sort the file, or give times with their offset"
        ) from None
    return pd.DatetimeIndex(instants).tz_convert("UTC").tz_localize(None)


def aligned(path: Path, ids: list[str], nodes: list[str]) -> NDArray[np.int64]:
    """The position of each of ``nodes`` among ``ids``, which must be the same: (N,) int64."""
    position = {name: index for index, name in enumerate(ids)}
    wrong = [name for index, name in enumerate(ids) if not name or position[name] != index]
    wrong += sorted(set(ids) ^ set(nodes))
    if wrong:
        problem = "is without a name, stands twice, or is not both in this file and in the series"
        raise DataError(f"{path}: the sensor `{wrong[0]}` {problem}")
    return np.array([position[name] for name in nodes], np.int64)


def read_graph(role: str, path: Path, nodes: list[str], options: Options) -> NDArray[np.float32]:
    """Edge weights of ``nodes``, in this order, in a file of this role: (N, N) float32."""
    graph = options.graph
    if role == "edges":
        csv_cells(path, options.separator, "utf-8")  # a wrong separator is named here
        edges = base.read_edges(path, nodes, options.separator)
    else:
        edges = _edges_of_matrix(path, _matrix(path, nodes, options), nodes, graph)
    np.fill_diagonal(edges, np.nan)
    if graph.weights == "gaussian":
        with reading(path, "distances"):
            weights = base.gaussian(edges, graph.sigma, graph.threshold)
        if not weights.any():
            shortest = f"the shortest distance is {np.nanmin(edges, initial=np.inf):g}"
            low = f"no weight reaches `graph.threshold` {graph.threshold:g}"
            raise DataError(f"{path}: {low}; {shortest}; change it or `graph.sigma`")
    else:
        weights = base.binary(edges) if graph.weights == "binary" else np.nan_to_num(edges)
    if weights.max(initial=0.0) > LARGEST:
        raise DataError(f"{path}: the weight {weights.max():g} is beyond {LARGEST:g}")
    return weights.astype(np.float32)


def _edges_of_matrix(
    path: Path, matrix: NDArray[np.float64], nodes: list[str], graph: GraphOptions
) -> NDArray[np.float64]:
    """A matrix with NaN where it says that there is no edge."""
    np.fill_diagonal(matrix, 1.0)  # loops are left out, whatever they weigh
    if graph.weights == "gaussian":
        # In a table of distances an empty or infinite cell means that no way leads there.
        matrix[matrix == np.inf] = np.nan
        wrong = matrix <= 0
    else:
        wrong = (matrix < 0) | ~np.isfinite(matrix)
        matrix[matrix == 0] = np.nan
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        rule = "weights are finite numbers of at least 0, distances above 0; empty is no edge"
        place = f"from {nodes[row]} to {nodes[column]}"
        raise DataError(f"{path}: {matrix[row, column]:g} {place}: {rule}")
    return matrix


def _matrix(path: Path, nodes: list[str], options: Options) -> NDArray[np.float64]:
    """(N, N), NaN where a cell is empty; a csv may have ids in its first row, and column."""
    size = len(nodes)
    if path.suffix.lower() not in CSV_SUFFIXES:
        try:
            matrix = load_npz(path).toarray()
        except Exception:  # no sparse matrix, or damaged: reading it as an array says which
            matrix = read_array(path, options.graph.array, "graph.array")
        if matrix.shape != (size, size) or matrix.dtype.kind not in "fiub":
            raise DataError(f"{path}: {matrix.dtype} of shape {matrix.shape} for {size} sensors")
        return np.array(matrix, np.float64)
    cells = csv_cells(path, options.separator, options.encoding)
    ids = rows = nodes
    if len(cells) == cells.shape[1] + 1:  # ids in the first row
        ids = rows = list(cells.iloc[0])
        cells = cells.iloc[1:]
    elif len(cells) == size + 1:  # in the first column too
        ids, rows = list(cells.iloc[0, 1:]), list(cells.iloc[1:, 0])
        cells = cells.iloc[1:, 1:]
    if cells.shape != (size, size) or rows != ids:
        expected = f"a row and a column for each of the {size} sensors, in the same order"
        raise DataError(f"{path}: {cells.shape} cells instead of {expected}")
    order = aligned(path, ids, nodes)
    numbers = numbers_of(path, cells.set_axis(ids, axis=1), ids, options.decimal, infinite=True)
    return numbers[np.ix_(order, order)]
