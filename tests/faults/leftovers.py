"""What must be equal after a fault and without one, and what must not be left."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

RUN_FILES = ("epochs.csv", "kept.npz", "metrics.json")
# Of a run's record: when and where it was made, and how long it took.
CIRCUMSTANCES = ("started", "finished", "resumed", "environment")
MEASURED = ("_seconds", "_joules", "_bytes", "_percent", "_ratio_sd", "_time_ratio")
# Locks end with their process, but their empty files may stay.
LOCKS = (".lock", ".workflow.lock")
TIMED_COLUMNS = ("started", "finished", "resumed", "git_commit")


def steady_record(path: Path) -> dict[str, Any]:
    """A record without its circumstances and times."""
    record = json.loads(path.read_text())
    cost = {k: v for k, v in record["cost"].items() if not k.endswith(MEASURED)}
    return {k: v for k, v in record.items() if k not in CIRCUMSTANCES} | {"cost": cost}


def steady_table(path: Path) -> list[dict[str, str]]:
    """Rows of a csv file without its times; as text, so that every digit counts."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    timed = [name for name in frame if _is_timed(str(name))]
    rows: list[dict[str, str]] = frame.drop(columns=timed).to_dict("records")
    return rows


def _is_timed(name: str) -> bool:
    return name in TIMED_COLUMNS or any(part in name for part in MEASURED) or "time" in name


def run_differences(reference: Path, folder: Path) -> list[str]:
    """How a run's files differ from those of the undisturbed run."""
    missing = [name for name in RUN_FILES if not (folder / name).is_file()]
    if missing:
        return [f"{folder} lacks {', '.join(missing)}"]
    problems = []
    if steady_record(folder / "metrics.json") != steady_record(reference / "metrics.json"):
        problems.append(f"{folder}: the record differs")
    if steady_table(folder / "epochs.csv") != steady_table(reference / "epochs.csv"):
        problems.append(f"{folder}: the epochs differ")
    if (folder / "kept.npz").read_bytes() != (reference / "kept.npz").read_bytes():
        problems.append(f"{folder}: the kept windows differ")
    return [*problems, *impossible_times(folder)]


def impossible_times(folder: Path) -> list[str]:
    """Times in a run's record that no clock can have shown."""
    record = json.loads((folder / "metrics.json").read_text())
    epochs = pd.read_csv(folder / "epochs.csv")
    seconds = {k: v for k, v in record["cost"].items() if k.endswith("_seconds") and v is not None}
    seconds |= {str(k): epochs[k].min() for k in epochs if str(k).endswith("_seconds")}
    problems = [f"{folder}: {name} is {value}" for name, value in seconds.items() if value < 0]
    if not epochs["elapsed_seconds"].is_monotonic_increasing:
        problems.append(f"{folder}: elapsed time runs backwards")
    return problems


def strays(folder: Path, allowed: Iterable[str]) -> list[str]:
    """Files below ``folder`` that no pattern of ``allowed`` names."""
    patterns = list(allowed)
    found = [path for path in folder.rglob("*") if path.is_file() and path.name not in LOCKS]
    below = [path.relative_to(folder).as_posix() for path in found]
    # An asterisk stands for any number of folders.
    return [f"left behind: {p}" for p in below if not any(fnmatchcase(p, a) for a in patterns)]


def contents(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Bytes of the files that match ``names``."""
    paths = {path for name in names for path in folder.rglob(name) if path.is_file()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def finished_records(results: Path) -> dict[str, bytes]:
    """The record of every run that is finished, by run."""
    root = results / "runs"
    paths = root.glob("*/*/*/p*/s*/metrics.json")
    return {path.parent.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def trained_again(results: Path, before: dict[str, bytes]) -> list[str]:
    """Runs that were finished before and have trained since: no two trainings take the same time.

    One that died right after its record may be tested again.
    """
    now = finished_records(results)
    problems = []
    for run, record in before.items():
        first, second = (json.loads(text)["cost"] for text in (record, now.get(run, record)))
        if first["train_seconds"] != second["train_seconds"]:
            problems.append(f"trained again: {run}")
    return problems
