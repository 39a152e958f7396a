"""What the format `table` lets a card say about its files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from stprune.base.schema import StrictModel
from stprune.data.graph_weights import Symmetrise

ISO, SECONDS, MILLISECONDS = "iso", "seconds", "milliseconds"

Separator = Literal[",", ";", "\t", "|"]
Decimal = Literal[".", ","]
Duplicates = Literal["refuse", "first", "last", "mean"]


class GraphOptions(StrictModel):
    """How the file of the graph becomes edge weights."""

    weights: Literal["given", "binary", "gaussian"] = Field(
        "given",
        description="`given`: the file holds weights. `binary`: 1 for each edge. `gaussian`: the"
        " file holds distances, and an edge weighs exp(-(distance / sigma)²).",
    )
    sigma: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Length of the Gaussian kernel, in the unit of the distances (km for"
        " coordinates); null: the standard deviation of the distances.",
    )
    threshold: float = Field(0.1, ge=0, le=1, description="Gaussian weights below it are no edge.")
    nearest: int | None = Field(
        None, ge=1, description="Keep so many nearest neighbours of each sensor; null: all."
    )
    symmetrise: Symmetrise = Field(
        "none", description="Make both directions of an edge alike: the larger weight, or the mean."
    )
    zero_distance: Literal["refuse", "no_edge", "same_place"] = Field(
        "refuse", description="What a 0 between two sensors means in a matrix of distances."
    )
    ids: Literal["auto", "none", "header", "both"] = Field(
        "auto",
        description="Where a csv matrix has sensor ids: nowhere (the order of the series), in its"
        " first row, or in its first row and column. `auto` tells by its shape.",
    )
    array: str | None = Field(None, description="Key of the matrix in an npz file.")
    separator: Separator | None = Field(
        None, description="Between cells of the graph's csv; null: as in the series."
    )
    decimal: Decimal | None = Field(
        None, description="Decimal sign in the graph's csv; null: as in the series."
    )
    id_column: str = Field("id", description="Column of sensor ids in a file of coordinates.")
    latitude_column: str = Field("latitude", description="Degrees, north positive.")
    longitude_column: str = Field("longitude", description="Degrees, east positive.")


class Options(StrictModel):
    """How the file of the series is laid out, and what to do with what is not in order."""

    layout: Literal["wide", "long", "array"] = Field(
        "wide",
        description="`wide`: a row a time, a column a sensor. `long`: a row a time and sensor, a"
        " column a channel. `array`: (T, N) or (T, N, C) in an npz or HDF file.",
    )
    time: str | None = Field(
        None,
        description="Column (or key in an npz or HDF file) of the times; null: the file has none,"
        " and its rows follow each other from the card's start.",
    )
    time_format: str = Field(
        ISO,
        description="`iso` (2024-01-31 08:00), `seconds` or `milliseconds` since 1970 (UTC), or a"
        " pattern such as `%d.%m.%Y %H:%M`.",
    )
    timezone: str | None = Field(
        None,
        description="Such as `Europe/Berlin`: the times become its standard time, all year."
        " null: they stay as written.",
    )
    node: str | None = Field(
        None, description="Column of sensor ids (long), or key of the ids (array)."
    )
    columns: list[str] = Field(
        default_factory=list,
        description="Column of each channel in a long file; none: they are called as channels.",
    )
    array: str | None = Field(
        None, description="Key of the values in an npz or HDF file; null: the only one."
    )
    separator: Separator = Field(",", description="Between cells of a csv.")
    decimal: Decimal = Field(".", description="Decimal sign in a csv.")
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252", "gb18030"] = Field(
        "utf-8", description="Of a csv; a byte order mark does not matter."
    )
    missing_numbers: list[float] = Field(
        default_factory=list, description="Numbers that stand for a missing value, such as -999."
    )
    allow_negative: list[str] = Field(
        default_factory=list, description="Channels that may be below 0, such as a temperature."
    )
    duplicates: Duplicates = Field(
        "refuse", description="Which of several values of one sensor at one time counts."
    )
    gaps: Literal["refuse", "missing"] = Field(
        "refuse", description="A time without a row: refused, or its values are missing."
    )
    resample: Literal["none", "mean"] = Field(
        "none",
        description="Times off the card's steps: refused, or each step is the mean of its values.",
    )
    empty_sensors: Literal["refuse", "drop"] = Field(
        "refuse", description="Sensors without any value in some channel."
    )
    constant_sensors: Literal["warn", "drop", "refuse"] = Field(
        "warn", description="Sensors whose target has one and the same value throughout."
    )
    graph: GraphOptions = Field(
        default_factory=GraphOptions, description="How the file of the graph is to be read."
    )

    @field_validator("time_format")
    @classmethod
    def _says_the_date(cls, value: str) -> str:
        if value in (ISO, SECONDS, MILLISECONDS):
            return value
        # Written and read back, a pattern must give the day again.
        sample = datetime(2001, 2, 3, 16, 5, tzinfo=UTC if "%z" in value else None)
        try:
            read = datetime.strptime(sample.strftime(value), value)
        except Exception:
            # A wrong pattern fails in many ways, also in those of regular expressions.
            raise ValueError("not a pattern that times can be read by") from None
        if read.date() != sample.date():
            raise ValueError("the pattern must say year, month and day, as `%Y-%m-%d %H:%M` does")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not a known time zone such as `Europe/Berlin`") from None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.layout == "long" and (self.time is None or self.node is None):
            raise ValueError("the layout `long` needs `time` and `node`, the names of two columns")
        if self.layout == "wide" and self.node is not None:
            raise ValueError("the layout `wide` has its sensors in the header, not in `node`")
        if self.columns and self.layout != "long":
            raise ValueError("`columns` are of the layout `long`")
        if self.separator == self.decimal:
            raise ValueError("`separator` and `decimal` cannot be the same sign")
        if self.resample == "mean" and self.time is None:
            raise ValueError("`resample: mean` needs `time`, the column or key of the times")
        return self
