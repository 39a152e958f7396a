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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from stprune.base.errors import StpruneError
from stprune.base.files import write_json, write_text
from stprune.base.layout import RunKey
from stprune.base.text import read_json_file
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.records.kept import read_kept
from stprune.records.run import read_epochs, read_record
from stprune.training.provenance import run_checksum, run_sources, source_digest

logger = logging.getLogger(__name__)

RUN_FILES = ("kept.npz", "epochs.csv", "metrics.json")


@dataclass(frozen=True)
class Block:
    """Runs of one data set and backbone that one job trains.

    Args:
        path: Its name, ``<data set>/<backbone>/s<seed>``; with the last seed if there are several,
            with a number if there are several blocks of the seed.
        keys: The runs, in the order of training.
    """

    path: str
    keys: tuple[RunKey, ...]


def make_blocks(config: ExperimentConfig) -> dict[str, Block]:
    """The runs of an experiment in blocks, by path.

    A block has the runs of one seed. `compute.runs_per_job` cuts a seed that has more runs, and
    joins seeds that together have fewer.
    """
    groups: dict[tuple[str, str], dict[int, list[RunKey]]] = {}
    for key in run_keys(config):
        groups.setdefault((key.dataset, key.backbone), {}).setdefault(key.seed, []).append(key)
    blocks = {}
    for (dataset, backbone), seeds in groups.items():
        for name, keys in _named_parts(seeds, config.compute.runs_per_job):
            path = f"{dataset}/{backbone}/{name}"
            blocks[path] = Block(path, tuple(keys))
    return blocks


def _named_parts(
    seeds: Mapping[int, list[RunKey]], limit: int | None
) -> Iterable[tuple[str, list[RunKey]]]:
    joined: list[list[int]] = []
    for seed, keys in seeds.items():
        room = 0 if limit is None or not joined else limit - sum(len(seeds[s]) for s in joined[-1])
        if len(keys) <= room:
            joined[-1].append(seed)
        else:
            joined.append([seed])
    for group in joined:
        name = f"s{group[0]}" if len(group) == 1 else f"s{group[0]}-s{group[-1]}"
        keys = [key for seed in group for key in seeds[seed]]
        if limit is None or len(keys) <= limit:
            yield name, keys
            continue
        for start in range(0, len(keys), limit):
            yield f"{name}_{start // limit + 1}", keys[start : start + limit]


def reason_to_train(folder: Path, identity: Mapping[str, str]) -> str | None:
    """Why a run has to be trained (again); None if the record in ``folder`` is valid.

    Args:
        folder: Of the run.
        identity: What its result depends on, from `stprune.training.provenance.run_identity`.
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
    """The records of an experiment, compared with what would be trained now.

    Args:
        config: The experiment.
    """

    # A grid has thousands of runs but few cells: what runs share is worked out once.

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.layout, self.data = experiment_layout(config), data_layout(config)
        self._checksums: dict[str, str] = {}

    def missing(self, block: Block) -> dict[RunKey, str]:
        """Runs of the block that have to be trained, each with the reason.

        Raises:
            DataError: If their data are not prepared.
        """
        reasons = {}
        for key in block.keys:
            identity = {
                "configuration": run_spec(self.config, key).fingerprint,
                "source code": self.sources(key),
                "data": self._checksum(key),
            }
            reasons[key] = reason_to_train(self.layout.run(key), identity)
        return {key: reason for key, reason in reasons.items() if reason is not None}

    def sources(self, key: RunKey) -> str:
        """Digest of the source files that the run depends on, as they are now."""
        spec = self.cell(key.dataset, key.backbone, key.pruner)
        return source_digest(run_sources(spec.backbone, spec.pruner, spec.subset.task))

    def write_stamp(self, block: Block) -> None:
        """Note that all runs of the block have valid records."""
        write_json(self.layout.block(block.path), self._stamp(block))

    def outdated(self, block: Block) -> Path | None:
        """The note beside a stamp that says when and why it was found not to hold any more.

        The note is an input of the block's job: Snakemake runs the job when the note is new, and
        then leaves it alone until another one is written. None as long as there never was one.
        """
        stamp = self.layout.block(block.path)
        note = stamp.with_suffix(".outdated")
        why = self._why_outdated(block, stamp) if stamp.exists() else None
        if why is not None:
            logger.warning("%s: %s", block.path, why)
            write_text(note, f"{datetime.now(UTC).isoformat()} {why}\n")
        return note if note.exists() else None

    def _why_outdated(self, block: Block, stamp: Path) -> str | None:
        try:
            if read_json_file(stamp) == self._stamp(block):
                return None
            counts = Counter(self.missing(block).values())
        except (StpruneError, ValueError) as error:  # a damaged stamp, or data not prepared
            return str(error)
        reasons = [f"{count} to train: {reason}" for reason, count in counts.items()]
        return "; ".join(reasons) or "other runs than before"

    def _stamp(self, block: Block) -> dict[str, Any]:
        """Changes with whatever the runs depend on, and with their records."""
        runs = {}
        for key in block.keys:
            fingerprint, sources = self._cell_identity(key.dataset, key.backbone, key.pruner)
            runs[key.path] = [fingerprint, sources, _record_digest(self.layout.run(key))]
        return {"data": self._checksum(block.keys[0]), "runs": runs}

    @cache  # noqa: B019 - a process has one
    def cell(self, dataset: str, backbone: str, pruner: str) -> RunSpec:
        """A run of the cell; which one does not matter."""
        return run_spec(self.config, RunKey(dataset, backbone, pruner, 0.0, 0))

    @cache  # noqa: B019
    def _cell_identity(self, dataset: str, backbone: str, pruner: str) -> tuple[str, str]:
        key = RunKey(dataset, backbone, pruner, 0.0, 0)
        return self.cell(dataset, backbone, pruner).fingerprint, self.sources(key)

    def _checksum(self, key: RunKey) -> str:
        if key.dataset not in self._checksums:
            spec = self.cell(key.dataset, key.backbone, key.pruner)
            self._checksums[key.dataset] = run_checksum(spec, self.data)
        return self._checksums[key.dataset]


def _record_digest(folder: Path) -> str | None:
    """Of the record, and of the sizes of what is beside it; None if a file is missing."""
    try:
        sizes = [(folder / name).stat().st_size for name in RUN_FILES]
        digest = hashlib.sha256((folder / "metrics.json").read_bytes())
    except FileNotFoundError:
        return None
    digest.update(str(sizes).encode())
    return digest.hexdigest()
