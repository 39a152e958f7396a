"""What two records of the same run differ in: numbers, and circumstances that may explain them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stprune.records.kept import read_kept
from stprune.records.run import RunRecord, read_epochs

# Results; of `cost`, what does not depend on the clock or on what else is in memory.
RESULTS = (
    *("test", "scores_by_rule", "test_groups", "transfer", "validation_mae", "best_epoch"),
    *("parameters", "cost", "data"),
)
MEASURED = ("_seconds", "_joules", "_bytes")
CIRCUMSTANCES = ("fingerprint", "config", "source_digest", "environment")
# Where the run was this time: of no interest.
UNINTERESTING = ("environment.cores", "environment.energy")


@dataclass(frozen=True)
class Change:
    """One value that differs.

    Args:
        name: Where it stands, such as `test.mae`.
        then: In the first run.
        now: In the second.
    """

    name: str
    then: Any
    now: Any

    @property
    def relative(self) -> float:
        """By how much a number differs, as a share; infinite for what is no number."""
        if not all(isinstance(value, int | float) for value in (self.then, self.now)):
            return math.inf
        return float(abs(self.now - self.then) / max(abs(self.then), abs(self.now)))


@dataclass(frozen=True)
class Difference:
    """Two runs side by side.

    Args:
        numbers: How many values of the results both have.
        results: Those that differ, the most first.
        circumstances: What else differs.
        not_compared: Files that one of the two does not have.
        one_sided: Values that one of the two does not have: a version records what another
            does not.
    """

    numbers: int
    results: tuple[Change, ...]
    circumstances: tuple[Change, ...]
    not_compared: tuple[str, ...]
    one_sided: tuple[str, ...] = ()

    @property
    def bit_equal(self) -> bool:
        """Whether every number that both have is the same, to the last bit."""
        return not self.results


def compare_runs(then: tuple[RunRecord, Path], now: tuple[RunRecord, Path]) -> Difference:
    """Compare two records, and the epochs and kept windows beside them.

    Args:
        then: A record and its file.
        now: Another of the same run.

    Raises:
        RecordError: If a file beside them is damaged.
    """
    first, second = (dict(_flat(_part(record, RESULTS))) for record, _ in (then, now))
    missing = []
    for name, numbers in (("epochs.csv", _epochs), ("kept.npz", _kept)):
        files = [metrics.with_name(name) for _, metrics in (then, now)]
        if all(file.exists() for file in files):
            first |= numbers(files[0])
            second |= numbers(files[1])
        else:
            missing.append(name)
    both = first.keys() & second.keys()
    results = sorted(
        (change for change in _changes(first, second) if change.name in both),
        key=lambda change: -change.relative,
    )
    around = [dict(_flat(_part(record, CIRCUMSTANCES))) for record, _ in (then, now)]
    circumstances = [
        change for change in _changes(*around) if not change.name.startswith(UNINTERESTING)
    ]
    alone = tuple(name for name in dict.fromkeys((*first, *second)) if name not in both)
    return Difference(len(both), tuple(results), tuple(circumstances), tuple(missing), alone)


def _part(record: RunRecord, names: tuple[str, ...]) -> dict[str, Any]:
    values = record.model_dump(mode="json")
    return {name: values[name] for name in names}


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value of nested mappings and lists, with the way to it."""
    if isinstance(values, Mapping):
        items = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list):
        items = [(str(place), value) for place, value in enumerate(values)]
    else:
        if not name.endswith(MEASURED):
            yield name, values
        return
    for key, value in items:
        yield from _flat(value, f"{name}.{key}" if name else key)


def _epochs(table: Path) -> dict[str, Any]:
    frame = read_epochs(table)
    named = frame[[column for column in frame if not str(column).endswith(MEASURED)]]
    return {
        f"epoch {epoch}: {column}": value
        for epoch, row in enumerate(named.to_dict("records"))
        for column, value in row.items()
    }


def _kept(archive: Path) -> dict[str, Any]:
    read = read_kept(archive)
    deciles = {
        f"epoch {epoch}: decile {place} of scores": float(value)
        for epoch, row in enumerate(read.score_quantiles)
        for place, value in enumerate(row)
    }
    windows = {
        f"epoch {epoch}: windows kept": " ".join(map(str, np.flatnonzero(row)))
        for epoch, row in enumerate(read.kept)
    }
    return deciles | windows


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*then, *now)):
        change = Change(name, then.get(name, "absent"), now.get(name, "absent"))
        if not _same(change.then, change.now):
            yield change


def _same(first: Any, second: Any) -> bool:
    both_nan = isinstance(first, float) and isinstance(second, float) and first != first
    return bool(first == second or (both_nan and second != second))
