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
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.chargers import chargers_of_zones
from stprune.data.graph_weights import Symmetrise, gaussian, symmetrised
from stprune.data.matrix_csv import positions, read_matrix
from stprune.data.raw_values import observed, regular_times
from stprune.data.roles import check_roles
from stprune.data.timed_csv import TimedTable, read_timed_csv

# Of chargers in use no more than all can be; rounding and chargers built later leave some above.
IMPLAUSIBLE_SHARE = 0.1


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
    """Read target, exogenous channels and graph.

    Args:
        card: Its options follow `Options`, with a source for each channel.
        files: Paths by role.

    Returns:
        Values and mask of shape (T, N, C); zones in the order of the target's file, to which the
        others are aligned by id. The adjacency has a zero diagonal, whatever the file says.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format, contradicts the card, or is of other zones.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    _check_roles(card, options, files)
    times = regular_times(card, card.steps)
    tables = {
        role: read_timed_csv(files[role], times)
        for role in {source.partition(":")[0] for source in options.channels}
    }
    zones = tables[options.channels[card.target_channel]].names
    channels = [_channel(source, tables, zones) for source in options.channels]
    values = np.stack([table for table, _ in channels], axis=2)
    places = [columns for _, columns in channels]

    def place(at: tuple[int, ...]) -> str:
        role = options.channels[at[2]].partition(":")[0]
        return tables[role].place(at[0], places[at[2]][at[1]])

    mask = observed(values, card, place)
    values[~mask] = 0.0
    if options.scale == "share_of_chargers":
        values[:, :, card.target_channel] = _shares(
            values[:, :, card.target_channel], files["stations"], zones, card
        )
    return RawSeries(
        values=values.astype(np.float32),
        mask=mask,
        timestamps=times,
        adjacency=_graph(files, zones, options),
        node_ids=zones,
    )


def _check_roles(card: DatasetCard, options: Options, files: dict[str, Path]) -> None:
    if len(options.channels) != len(card.channels):
        raise ConfigError(
            f"options of {card.title}: there are {len(options.channels)} sources for"
            f" {len(card.channels)} channels"
        )
    target = options.channels[card.target_channel]
    if ":" in target:
        raise ConfigError(
            f"options of {card.title}: the target `{card.target}` comes from `{target}`, the same"
            " number for all zones; take a file with a column a zone"
        )
    wanted = {source.partition(":")[0] for source in options.channels}
    if options.scale == "share_of_chargers":
        wanted.add("stations")
    # Of the two graphs that there may be, the one that the card gives.
    check_roles(card, files, [*sorted(wanted), "distance" if "distance" in files else "adjacency"])


def _channel(
    source: str, tables: dict[str, TimedTable], zones: list[str]
) -> tuple[NDArray[np.float64], list[int]]:
    """(T, N) float64 of a channel, and which column of its file each zone's numbers are."""
    role, city_wide, column = source.partition(":")
    table = tables[role]
    if not city_wide:
        columns = positions(table.path, table.names, zones)
    elif column in table.names:
        columns = [table.names.index(column)] * len(zones)
    else:
        raise DataError(f"{table.path} has no column `{column}`; it has {', '.join(table.names)}")
    return table.values[:, columns], columns


def _shares(
    busy: NDArray[np.float64], stations: Path, zones: list[str], card: DatasetCard
) -> NDArray[np.float64]:
    """(T, N) chargers in use as shares of all chargers of each zone."""
    shares = busy / chargers_of_zones(stations, zones)
    above = float((shares > 1).mean())
    if above > IMPLAUSIBLE_SHARE:
        raise DataError(
            f"{card.title}: {above:.0%} of the shares of chargers are above 1, so `{card.target}`"
            " does not count chargers; take `scale: raw`"
        )
    return shares


def _graph(files: dict[str, Path], zones: list[str], options: Options) -> NDArray[np.float32]:
    if "distance" in files:
        weights = gaussian(read_matrix(files["distance"], zones), threshold=options.threshold)
    else:
        weights = read_matrix(files["adjacency"], zones)
    np.fill_diagonal(weights, 0.0)
    return symmetrised(weights, options.symmetrise).astype(np.float32)
