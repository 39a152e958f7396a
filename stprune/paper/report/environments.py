"""What all runs have in common of the machine and the versions they ran on, and what not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any


def compare_environments(
    environments: Sequence[tuple[dict[str, Any], int]],
) -> tuple[list[tuple[str, str]], list[str]]:
    """Every recorded key with its value, or all its values with the number of runs.

    Args:
        environments: Distinct environments, each with the number of runs that recorded it.

    Returns:
        Pairs of key and text, sorted; and the keys whose values differ between runs.
    """
    flat = [(dict(_flat(environment)), runs) for environment, runs in environments]
    rows, differing = [], []
    for key in sorted({key for values, _ in flat for key in values}):
        counts: Counter[str] = Counter()
        for values, runs in flat:
            counts[values.get(key, "not recorded")] += runs
        if len(counts) == 1:
            rows.append((key, next(iter(counts))))
        else:
            differing.append(key)
            rows.append((key, "; ".join(_counted(v, n) for v, n in sorted(counts.items()))))
    return rows, differing


def _counted(value: str, runs: int) -> str:
    return f"{value} ({runs} run{'' if runs == 1 else 's'})"


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
