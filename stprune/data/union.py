"""Several data sets as one, to train a single model on.

All are reduced to their target channel: it is what they have in common, and what the published
pre-training of OpenCity (Li et al. 2024) reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.errors import ConfigError
from stprune.data.canonical import joint_checksum
from stprune.data.dataset import ForecastData
from stprune.data.union_store import Part, UnionStore
from stprune.data.windows import WindowStore


@dataclass(frozen=True)
class UnionData:
    """What a run on a union trains on, in the form of ``ForecastData``.

    Args:
        train: Training windows.
        validation: Validation windows.
        test: Test windows, of the same data sets or of others; touched once, at the end.
        adjacency: (N, N) float32 of the first data set; a backbone is built on it.
        channels: C, which is 1.
        steps_per_day: Time steps in a day, the same everywhere.
        mape_floor: The smallest of all; each data set is held to its own.
        train_times: (n,) datetime64[m], first target step of each training window.
        events: None; they belong to single data sets.
        description: Checksum and sizes for the record, by data set where they differ.
        held_out: By id, data sets that the model is tried on but not trained on.
    """

    train: UnionStore
    validation: UnionStore
    test: UnionStore
    adjacency: Tensor
    channels: int
    steps_per_day: int
    mape_floor: float
    train_times: NDArray[np.datetime64]
    events: pd.DataFrame
    description: dict[str, Any]
    held_out: Mapping[str, ForecastData]


def unite(
    members: Mapping[str, ForecastData],
    held_out: Mapping[str, ForecastData],
    tested_elsewhere: bool = False,
) -> UnionData:
    """Make one of several data sets, each opened with ``target_only``.

    Args:
        members: Data sets to train on, by id; at least one.
        held_out: Data sets to try the model on afterwards.
        tested_elsewhere: Whether the test windows are those of ``held_out``.

    Raises:
        ConfigError: If they differ in their time step.
    """
    everyone = {**members, **held_out}
    refuse_mixed_steps({name: 1440 // data.steps_per_day for name, data in everyone.items()})
    datasets = list(members.values())
    tested = held_out if tested_elsewhere else members
    return UnionData(
        train=_store(members, [data.train for data in datasets]),
        validation=_store(members, [data.validation for data in datasets]),
        test=_store(tested, [data.test for data in tested.values()]),
        adjacency=datasets[0].adjacency,
        channels=datasets[0].channels,
        steps_per_day=datasets[0].steps_per_day,
        mape_floor=min(data.mape_floor for data in datasets),
        train_times=np.concatenate([data.train_times for data in datasets]),
        events=pd.DataFrame(),
        description=_description(members, held_out, tested),
        held_out=held_out,
    )


def refuse_mixed_steps(step_minutes: Mapping[str, int], where: str = "") -> None:
    """Let only data sets of one time step share a model, whose history is a number of steps.

    Args:
        step_minutes: By data set.
        where: Begins the message.

    Raises:
        ConfigError: If they differ.
    """
    if len(set(step_minutes.values())) > 1:
        listed = ", ".join(f"{name}: {minutes} min" for name, minutes in step_minutes.items())
        raise ConfigError(f"{where}data sets of a union must have one time step, got {listed}")


def _store(members: Mapping[str, ForecastData], stores: Sequence[WindowStore]) -> UnionStore:
    parts, first = [], 0
    for (name, data), store in zip(members.items(), stores, strict=True):
        parts.append(Part(name, store, data.adjacency, data.mape_floor, first))
        first += len(store)
    return UnionStore(tuple(parts))


def _description(
    members: Mapping[str, ForecastData],
    held_out: Mapping[str, ForecastData],
    tested: Mapping[str, ForecastData],
) -> dict[str, Any]:
    """As of a single data set: sums where they mean something, else the values of each."""
    own = {name: data.description for name, data in members.items()}
    away = {name: data.description for name, data in held_out.items()}
    total = ("nodes", "steps", "train_windows", "validation_windows")
    each = ("node_stride", "days", "window_stride")
    units = dict.fromkeys(data.description["target_unit"] for data in tested.values())
    checksums = [values["checksum"] for values in (*own.values(), *away.values())]
    return {
        "checksum": joint_checksum(checksums),
        **{key: sum(values[key] for values in own.values()) for key in total},
        "test_windows": sum(len(data.test) for data in tested.values()),
        **{key: [values[key] for values in own.values()] for key in each},
        "target_unit": " and ".join(units),
        "members": own,
        "held_out": away,
    }
