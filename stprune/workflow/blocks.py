"""Blocks: the runs that one job trains, and which of them have a valid record.

A record is valid while its run would give the same result: same configuration, source code and
data. Records are a cache. The workflow does not declare them as outputs, or it would delete them
before it trains a run again; it declares a *stamp* of each block instead, which says that all runs
of the block had valid records when it was written.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from stprune.base.errors import StpruneError
from stprune.base.files import write_json, write_text
from stprune.base.layout import RunKey
from stprune.base.text import read_json_file
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import (
    RunSpec,
    data_layout,
    experiment_layout,
    place_specs,
    run_keys,
    run_spec,
)
from stprune.records.kept import read_kept
from stprune.records.run import read_epochs, read_record
from stprune.records.timing import read_timing
from stprune.training.provenance import (
    run_checksum,
    run_sources,
    source_digest,
    timing_identity,
)

logger = logging.getLogger(__name__)

RUN_FILES = ("kept.npz", "epochs.csv", "metrics.json")


def make_blocks(config: ExperimentConfig) -> dict[str, list[RunKey]]:
    """The runs of an experiment by block ``<data set>/<backbone>/<part>``, in order of training.

    A block has the runs of one seed (``s0``). `compute.runs_per_job` cuts a seed that has more runs
    (``s0_1``, ``s0_2``), and joins seeds that together have fewer (``s0-s4``).
    """
    limit = config.compute.runs_per_job
    blocks = {}
    for place, keys in groupby(run_keys(config), lambda key: key[:2]):
        seeds: dict[int, list[RunKey]] = {}
        for key in keys:
            seeds.setdefault(key.seed, []).append(key)
        joined: list[list[RunKey]] = []
        for runs in seeds.values():
            if joined and limit is not None and len(joined[-1]) + len(runs) <= limit:
                joined[-1] += runs
            else:
                joined.append(runs)
        for runs in joined:
            first, last = runs[0].seed, runs[-1].seed
            path = "/".join([*place, f"s{first}" if first == last else f"s{first}-s{last}"])
            size = limit or len(runs)
            parts = [runs[start : start + size] for start in range(0, len(runs), size)]
            for number, part in enumerate(parts, start=1):
                blocks[path if len(parts) == 1 else f"{path}_{number}"] = part
    return blocks


def reason_to_train(folder: Path, identity: Mapping[str, str]) -> str | None:
    """Why a run has to be trained (again); None if the record in its ``folder`` is valid.

    ``identity`` is what its result depends on: `stprune.training.provenance.run_identity`.
    """
    if not all((folder / name).exists() for name in RUN_FILES):
        return "no record"
    try:
        record = read_record(folder / "metrics.json")
        whole = len(read_epochs(folder / "epochs.csv")) == record.cost.epochs
        read_kept(folder / "kept.npz")
    except StpruneError:
        whole = False
    if not whole:
        return "record damaged or of another version"
    recorded = {
        "configuration": record.fingerprint,
        "source code": record.source_digest,
        "data": record.data.get("checksum"),
    }
    changed = [name for name, value in identity.items() if recorded[name] != value]
    return f"{' and '.join(changed)} changed since the record" if changed else None


class ExperimentRecords:
    """The records of an experiment, compared with what would be trained now."""

    # A grid has thousands of runs but few cells: what runs share is worked out once, and what a
    # block lacks is looked up once.

    def __init__(self, config: ExperimentConfig) -> None:
        self.config, self.blocks = config, make_blocks(config)
        self.layout, self.data = experiment_layout(config), data_layout(config)
        self._checksums: dict[str, str] = {}

    @cache  # noqa: B019 - a process has one of them
    def missing(self, path: str) -> dict[RunKey, str]:
        """Runs of a block that have to be trained, each with the reason.

        Raises:
            DataError: If their data are not prepared.
        """
        reasons = {}
        checksum = self._checksum(self.blocks[path][0])
        for key in self.blocks[path]:
            fingerprint = run_spec(self.config, key).fingerprint
            identity = {"configuration": fingerprint, "source code": self.sources(key)}
            reason = reason_to_train(self.layout.run(key), identity | {"data": checksum})
            if reason is not None:
                reasons[key] = reason
        return reasons

    def sources(self, key: RunKey) -> str:
        """Digest of the source files that the run depends on, as they are now."""
        spec = self._cell(key._replace(prune_ratio=0.0, seed=0))
        return source_digest(run_sources(spec.backbone, spec.pruner, spec.subset.task))

    def write_stamp(self, path: str) -> None:
        """Note that all runs of the block have valid records."""
        write_json(self.layout.block(path), self._stamp(path))

    @cache  # noqa: B019
    def outdated(self, path: str) -> Path | None:
        """The note beside a stamp that says when and why it was found not to hold any more.

        The note is an input of the block's job: Snakemake runs the job when the note is new, and
        then leaves it alone until another one is written. None as long as there never was one.
        """
        stamp = self.layout.block(path)
        return _note(path, stamp, partial(self._why_outdated, path))

    @cache  # noqa: B019
    def outdated_timing(self, dataset: str, backbone: str) -> Path | None:
        """The same of the timing of a data set and backbone."""

        def why(path: Path) -> str | None:
            try:
                timed = read_timing(path).identity
                now = timing_identity(place_specs(self.config, dataset, backbone), self.data)
            except StpruneError as error:
                return str(error)
            changed = [name for name in now if now[name] != timed[name]]
            return f"{' and '.join(changed)} changed since the timing" if changed else None

        path = self.layout.timing(dataset, backbone)
        return _note(f"timing of {dataset}/{backbone}", path, why)

    def _why_outdated(self, path: str, stamp: Path) -> str | None:
        try:
            if read_json_file(stamp) == self._stamp(path):
                return None
            counts = Counter(self.missing(path).values())
        except (StpruneError, ValueError) as error:  # a damaged stamp, or data not prepared
            return str(error)
        reasons = [f"{count} to train: {reason}" for reason, count in counts.items()]
        return "; ".join(reasons) or "other runs than before"

    def _stamp(self, path: str) -> dict[str, Any]:
        """Changes with whatever the runs depend on, and with their records."""
        runs = {}
        for key in self.blocks[path]:
            fingerprint, sources = self._cell_identity(key._replace(prune_ratio=0.0, seed=0))
            runs[key.path] = [fingerprint, sources, _record_digest(self.layout.run(key))]
        return {"data": self._checksum(self.blocks[path][0]), "runs": runs}

    @cache  # noqa: B019
    def _cell(self, key: RunKey) -> RunSpec:
        return run_spec(self.config, key)

    @cache  # noqa: B019
    def _cell_identity(self, key: RunKey) -> tuple[str, str]:
        return self._cell(key).fingerprint, self.sources(key)

    def _checksum(self, key: RunKey) -> str:
        if key.dataset not in self._checksums:
            self._checksums[key.dataset] = run_checksum(run_spec(self.config, key), self.data)
        return self._checksums[key.dataset]


def _note(name: str, made: Path, why_outdated: Callable[[Path], str | None]) -> Path | None:
    """The note beside a file of the workflow, written anew if the file does not hold any more."""
    note = made.with_suffix(".outdated")
    why = why_outdated(made) if made.exists() else None
    if why is not None:
        logger.warning("%s: %s", name, why)
        write_text(note, f"{datetime.now(UTC).isoformat()} {why}\n")
    return note if note.exists() else None


def _record_digest(folder: Path) -> str | None:
    """Of the record, and of the sizes of what is beside it; None if a file is missing."""
    try:
        sizes = [(folder / name).stat().st_size for name in RUN_FILES]
        digest = hashlib.sha256((folder / "metrics.json").read_bytes())
    except FileNotFoundError:
        return None
    digest.update(str(sizes).encode())
    return digest.hexdigest()
