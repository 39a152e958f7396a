"""One csv a quantity, with a column of times and one column a zone; exogenous columns beside it.

Roles of the files: those that ``channels`` of the options name, a graph, and ``stations`` where a
share of chargers is asked for. The graph is ``adjacency`` (weights) or ``distance`` (metres, made
into Gaussian weights), each a square csv under a header of zone ids. ``stations`` lists charging
stations with their zone (``TAZID``) and number of chargers (``charge_count``). UrbanEV is published
so (Li et al. 2025).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import (
    checked_options,
    raw_series,
    read_matrix,
    read_numbers,
    reading,
    regular_times,
)
from stprune.data.graph_weights import Symmetrise, gaussian, symmetrised


class Options(StrictModel):
    """Where the channels come from, and in which unit the target is."""

    channels: list[str] = Field(
        min_length=1,
        description="For each of the card's channels, in order: the role of a csv with a column a"
        " zone, or `ROLE:COLUMN` for one column of a csv that holds for all zones, such as"
        " `weather:T`.",
    )
    scale: Literal["raw", "share_of_chargers"] = Field(
        default="raw",
        description="The target as it stands in its file, or divided by the number of chargers of"
        " the zone (which needs the file `stations`).",
    )
    threshold: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Weights below this are left out where the graph is a file `distance`.",
    )
    symmetrise: Symmetrise = Field(
        default="none",
        description="Whether both directions of a link get the same weight: as the file has it, the"
        " larger one, or the mean.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """See :mod:`stprune.data.formats.base`; zones in the order of the target's file."""
    options = validate(Options, card.options, f"options of {card.title}")
    # Of the two possible graphs, the one that the card gives.
    roles = {source.partition(":")[0] for source in options.channels}
    roles |= {"distance" if "distance" in files else "adjacency"}
    roles |= {"stations"} if options.scale == "share_of_chargers" else set()
    checked_options(Options, card, files, sorted(roles), one_channel=False)
    if len(options.channels) != len(card.channels):
        raise ConfigError(
            f"options of {card.title}: there are {len(options.channels)} sources for"
            f" {len(card.channels)} channels"
        )
    target = card.target_channel
    target_role = options.channels[target]
    if ":" in target_role:
        raise ConfigError(
            f"options of {card.title}: the target `{card.target}` must come from a file with a"
            f" column a zone, not from `{target_role}`"
        )
    times = regular_times(card, card.steps)
    zones = list(_read_timed(files[target_role], times).columns)
    channels = []
    for source in options.channels:
        role, city_wide, column = source.partition(":")
        frame = _read_timed(files[role], times)
        with reading(files[role], f"a csv with the columns of `{source}`"):
            channels.append(frame[[column] * len(zones) if city_wide else zones].to_numpy())
    table = np.stack(channels, axis=2)
    if options.scale == "share_of_chargers":
        table[:, :, target] /= chargers_of_zones(files["stations"], zones)
    if "distance" in files:
        weights = gaussian(read_matrix(files["distance"], zones), threshold=options.threshold)
    else:
        weights = read_matrix(files["adjacency"], zones)
    graph = symmetrised(weights, options.symmetrise)
    return raw_series(card, files[target_role], table, times, graph, zones)


def _read_timed(path: Path, times: NDArray[np.datetime64]) -> pd.DataFrame:
    """(T, columns) of a csv whose first column holds ``times``, like 2022/9/1 0:00."""
    frame = read_numbers(path, index=True)
    with reading(path, "a csv with a first column of times"):
        found = pd.to_datetime(frame.index, format="mixed").to_numpy()
    if len(found) != len(times) or (found != times).any():
        raise DataError(
            f"{path} must have a row for each of the {len(times)} steps from {times[0]} on, as the"
            " card says"
        )
    return frame


def chargers_of_zones(path: Path, zones: list[str]) -> NDArray[np.float64]:
    """(N,) number of chargers at all stations of each zone; stations elsewhere do not matter."""
    with reading(path, "a csv of charging stations"):
        frame = pd.read_csv(path, dtype={"TAZID": str})
        counts = frame.groupby(frame["TAZID"].str.strip())["charge_count"].sum()
        chargers = counts.reindex(zones, fill_value=0).to_numpy(np.float64)
    if not (chargers > 0).all():
        raise DataError(f"{path} has no charger in zone `{zones[int(np.argmin(chargers))]}`")
    return chargers
