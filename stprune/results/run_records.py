"""The records of an experiment's runs by key, read when asked for, and what follows from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stprune.base.layout import RunKey
from stprune.records.run import RunRecord
from stprune.results.columns import KEYS

HORIZON_COLUMNS = (*KEYS, "step", "mae", "rmse")
Environment = dict[str, Any]


class RunRecords(Mapping[RunKey, RunRecord]):
    """Records by key; each is read once, when it is first asked for.

    Args:
        keys: The runs, in the order in which they are gone through.
        read: Gives the record of a run, or raises what is wrong with it.
    """

    def __init__(self, keys: Sequence[RunKey], read: Callable[[RunKey], RunRecord]) -> None:
        self._known: dict[RunKey, RunRecord | None] = dict.fromkeys(keys)
        self._read = read

    def __getitem__(self, key: RunKey) -> RunRecord:
        record = self._known[key]
        if record is None:
            record = self._known[key] = self._read(key)
        return record

    def __iter__(self) -> Iterator[RunKey]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def run_keys_of(summary: pd.DataFrame) -> list[RunKey]:
    """The keys of the runs of a summary, in its order."""
    return [
        RunKey(dataset, backbone, pruner, float(ratio), int(seed))
        for dataset, backbone, pruner, ratio, seed in summary[KEYS].itertuples(
            index=False, name=None
        )
    ]


def horizons_of(records: Mapping[RunKey, RunRecord]) -> pd.DataFrame:
    """Test errors by step ahead.

    Returns:
        One row per run and step, columns ``HORIZON_COLUMNS``: ``step`` is 1 for the first step
        ahead, ``mae`` and ``rmse`` are those of the run's protocol in real units; NaN where
        nothing was observed.
    """
    rows = [
        (*key, step, mae, rmse)
        for key, record in records.items()
        for step, (mae, rmse) in enumerate(
            zip(record.test.mae_per_horizon, record.test.rmse_per_horizon, strict=True), start=1
        )
    ]
    frame = pd.DataFrame(rows, columns=list(HORIZON_COLUMNS))
    return frame.astype({"mae": np.float64, "rmse": np.float64})


def environments_of(records: Mapping[RunKey, RunRecord]) -> list[tuple[Environment, int]]:
    """The different environments, each with its number of runs; the most frequent first."""
    texts = Counter(json.dumps(record.environment, sort_keys=True) for record in records.values())
    ordered = sorted(texts.items(), key=lambda item: (-item[1], item[0]))
    return [(json.loads(text), count) for text, count in ordered]
