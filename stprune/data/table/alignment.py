"""Sensors of one file in the order of another's, told apart by their ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError


def aligned(path: Path, ids: list[str], nodes: list[str]) -> NDArray[np.int64]:
    """Where each of ``nodes`` stands among ``ids``: (N,) int64.

    Args:
        path: The file that the ids are of.
        ids: Its sensors.
        nodes: The sensors of the series, in order.

    Raises:
        DataError: If an id stands twice, or only one of the two has it.
    """
    refuse_repeated(path, ids)
    position = {name: index for index, name in enumerate(ids)}
    for name in nodes:
        if name not in position:
            raise DataError(f"{path} has no sensor `{name}`, which the series has")
    if len(ids) > len(nodes):
        known = set(nodes)
        extra = next(name for name in ids if name not in known)
        raise DataError(f"{path} has the sensor `{extra}`, which the series has not")
    return np.array([position[name] for name in nodes], np.int64)


def refuse_repeated(path: Path, ids: list[str]) -> None:
    """Let each sensor have one id of its own.

    Raises:
        DataError: If one is empty or stands twice.
    """
    seen: dict[str, int] = {}
    for number, name in enumerate(ids):
        if not name:
            raise DataError(f"{path}: sensor {number + 1} has no id")
        if name in seen:
            raise DataError(
                f"{path}: sensors {seen[name] + 1} and {number + 1} have the same id `{name}`"
            )
        seen[name] = number
