"""Whether a run's record stands: whether the same would come out if it were trained now.

A finished run leaves a second name of each of its files beside its checkpoints, until the
experiment is summarised. Snakemake, killed before it took note of a finished run, deletes what it
declared and starts the run again; from there the record comes back without any training.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from stprune.base.errors import StpruneError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.records.run import RunRecord, read_record

FILES = ("kept.npz", "epochs.csv", "metrics.json")
SECOND_NAMES = "finished"


def reason_to_train(folder: Path, identity: Mapping[str, str]) -> str | None:
    """Why a run has to be trained (again); None if the record in ``folder`` stands."""
    if not all((folder / name).exists() for name in FILES):
        return "no record"
    try:
        record = read_record(folder / "metrics.json")
    except StpruneError:
        return "record not readable, or of another version"
    found = _recorded(record)
    names = [name for name, value in identity.items() if found[name] != value]
    return f"{' and '.join(names)} changed since the record" if names else None


def standing_record(
    layout: ExperimentLayout, key: RunKey, identity: Mapping[str, str]
) -> RunRecord | None:
    """The run's record if it stands, brought back if only its second names are left."""
    folder, second = layout.run(key), _second_names(layout, key)
    if reason_to_train(folder, identity) is not None:
        if reason_to_train(second, identity) is not None:
            shutil.rmtree(second, ignore_errors=True)
            return None
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            _link(second / name, folder / name)
            # Snakemake takes an output that is older than its job for one of before.
            os.utime(folder / name)
    return read_record(folder / "metrics.json")


def keep_second_names(layout: ExperimentLayout, key: RunKey) -> None:
    """Give the files of a finished run their second names."""
    second = _second_names(layout, key)
    second.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        _link(layout.run(key) / name, second / name)


def forget_second_names(layout: ExperimentLayout, keys: Iterable[RunKey]) -> None:
    """Remove the second names of runs whose records whoever started them has seen.

    What is empty then goes too.
    """
    for key in keys:
        second = _second_names(layout, key)
        shutil.rmtree(second, ignore_errors=True)
        with suppress(OSError):  # not empty, or not there
            (second.parent / ".lock").unlink(missing_ok=True)
            os.removedirs(second.parent)


def _second_names(layout: ExperimentLayout, key: RunKey) -> Path:
    # Not where Snakemake deletes.
    return layout.checkpoint(key).with_name(SECOND_NAMES)


def _recorded(record: RunRecord) -> dict[str, str | None]:
    return {
        "configuration": record.fingerprint,
        "source code": record.source_digest,
        "data": record.data.get("checksum"),
    }


def _link(source: Path, target: Path) -> None:
    """Let ``target`` be the same file; a copy where the disk knows no second names."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
