"""Sensors that measured nothing, or always the same."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard
from stprune.data.table.options import Options

log = logging.getLogger(__name__)

SHOWN = 8


def kept_sensors(
    values: NDArray[np.float64], nodes: list[str], card: DatasetCard, options: Options
) -> NDArray[np.bool_]:
    """Which sensors stay: (N,) bool. Those that do not, and constant ones, are named in the log.

    Args:
        values: (T, N, C), NaN where missing.
        nodes: N ids.
        card: Says the target.
        options: The rules for empty and for constant sensors.

    Raises:
        DataError: If there are such sensors and the rule is to refuse them, or none is left.
    """
    there = ~np.isnan(values)
    some: NDArray[np.bool_] = np.any(there, axis=0)
    empty: NDArray[np.bool_] = ~np.all(some, axis=1)
    if empty.any() and options.empty_sensors == "refuse":
        node = int(np.argmax(empty))
        channel = card.channels[int(np.argmin(some[node]))].name
        raise DataError(
            f"{card.title}: {int(empty.sum())} sensor(s) without any value, the first is"
            f" {nodes[node]} in channel {channel}; say `empty_sensors: drop` to do without"
        )
    target = values[:, :, card.target_channel]
    seen = there[:, :, card.target_channel]
    lowest = np.where(seen, target, np.inf).min(axis=0)
    highest = np.where(seen, target, -np.inf).max(axis=0)
    constant: NDArray[np.bool_] = (lowest == highest) & ~empty
    if constant.any():
        listed = _listed(nodes, constant)
        if options.constant_sensors == "refuse":
            raise DataError(
                f"{card.title}: the {card.target} of {listed} is the same throughout; say"
                " `constant_sensors: warn` or `drop`"
            )
        verb = "dropped: " if options.constant_sensors == "drop" else ""
        log.warning("%s: %s%s has one %s throughout", card.title, verb, listed, card.target)
    kept = ~empty
    if empty.any():
        log.warning("%s: dropped: %s has no value", card.title, _listed(nodes, empty))
    if options.constant_sensors == "drop":
        kept &= ~constant
    if not kept.any():
        raise DataError(f"{card.title}: no sensor is left without the empty and constant ones")
    return kept


def _listed(nodes: list[str], chosen: NDArray[np.bool_]) -> str:
    names = [nodes[node] for node in np.flatnonzero(chosen)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"sensor {', '.join(names[:SHOWN])}{more}"
