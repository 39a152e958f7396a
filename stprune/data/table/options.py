"""What the format `table` lets a card say about its files."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, field_validator, model_validator

from stprune.base.schema import StrictModel

ISO, SECONDS, MILLISECONDS = "iso", "seconds", "milliseconds"


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
    empty_sensors: Literal["refuse", "drop"] = "refuse"
    graph: GraphOptions = Field(default_factory=GraphOptions)

    @field_validator("time_format")
    @classmethod
    def _says_the_day(cls, pattern: str) -> str:
        """A pattern without year, month or day would put every time in 1900."""
        if pattern in (ISO, SECONDS, MILLISECONDS):
            return pattern
        moment = datetime(2019, 11, 23, tzinfo=UTC)
        with suppress(ValueError, re.error):
            if datetime.strptime(moment.strftime(pattern), pattern).date() == moment.date():
                return pattern
        raise ValueError(f"`{pattern}` must say year, month and day, as `%d.%m.%Y %H:%M` does")

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
