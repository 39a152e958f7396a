"""Blocks: the runs that one job trains, and which of them have a valid record.

A record is valid while its run would give the same result: same configuration, source code and
data. Records are no outputs of the workflow, or it would delete them before it trains a run again;
it declares a *stamp* of each block: when it was written, all its runs had valid records.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from stprune.base.errors import StpruneError
from stprune.base.files import write_json, write_text
from stprune.base.layout import RunKey
from stprune.base.text import read_json_file
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import data_layout, experiment_layout, place_specs, run_keys, run_spec
from stprune.records.kept import read_kept
from stprune.records.run import read_epochs, read_record
from stprune.records.timing import read_timing
from stprune.training.provenance import run_checksum, run_sources, source_digest, timing_identity

logger = logging.getLogger(__name__)

RUN_FILES = ("kept.npz", "epochs.csv", "metrics.json")


def make_blocks(config: ExperimentConfig) -> dict[str, list[RunKey]]:
    """The runs of an experiment by block ``<data set>/<backbone>/<part>``, in order of training.

    A block has the runs of one seed (``s0``). `compute.runs_per_job` cuts a seed that has more runs
    (``s0_1``, ``s0_2``), and joins seeds that together have fewer (``s0-s4``).
    """
    limit, blocks = config.compute.runs_per_job or 0, {}

    def place(key: RunKey) -> int:
        return config.seeds.index(key.seed)

    for (dataset, backbone), keys in groupby(run_keys(config), lambda key: key[:2]):
        joined: list[list[RunKey]] = []
        for _, seed in groupby(sorted(keys, key=place), place):
            runs = list(seed)
            if joined and len(joined[-1]) + len(runs) <= limit:
                joined[-1] += runs
            else:
                joined.append(runs)
        for runs in joined:
            seeds = "-".join(f"s{seed}" for seed in dict.fromkeys((runs[0].seed, runs[-1].seed)))
            size = limit or len(runs)
            parts = [runs[start : start + size] for start in range(0, len(runs), size)]
            for number, part in enumerate(parts, start=1):
                name = seeds if len(parts) == 1 else f"{seeds}_{number}"
                blocks[f"{dataset}/{backbone}/{name}"] = part
    return blocks


def reason_to_train(folder: Path, identity: Mapping[str, str]) -> str | None:
    """Why a run has to be trained (again); None if its record is valid for ``identity``."""
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

    def __init__(self, config: ExperimentConfig) -> None:
        self.config, self.blocks = config, make_blocks(config)
        self.layout, self.data = experiment_layout(config), data_layout(config)

    @cache  # noqa: B019 - a process has one of them
    def missing(self, path: str) -> dict[RunKey, str]:
        """Runs of a block to be trained, each with the reason; a DataError without their data."""
        reasons = {}
        for key in self.blocks[path]:
            identity = {
                "configuration": run_spec(self.config, key).fingerprint,
                "source code": self._cell(*key[:3])[1],
                "data": self._checksum(key.dataset),
            }
            reason = reason_to_train(self.layout.run(key), identity)
            if reason is not None:
                reasons[key] = reason
        return reasons

    def write_stamp(self, path: str) -> None:
        """Note that all runs of the block have valid records."""
        write_json(self.layout.block(path), self._stamp(path))

    @cache  # noqa: B019
    def outdated(self, path: str) -> Path | None:
        """The note beside a stamp that says when and why it was found not to hold any more.

        The note is an input of the block's job: Snakemake runs the job when the note is new, and
        then leaves it alone until another one is written. None as long as there never was one.
        """

        def why(stamp: Path) -> str:
            if read_json_file(stamp) == self._stamp(path):
                return ""
            counts = Counter(self.missing(path).values())
            reasons = [f"{count} to train: {reason}" for reason, count in counts.items()]
            return "; ".join(reasons) or "other runs than before"

        return _note(path, self.layout.block(path), why)

    @cache  # noqa: B019
    def outdated_timing(self, dataset: str, backbone: str) -> Path | None:
        """The same of the timing of a data set and backbone."""

        def why(timing: Path) -> str:
            timed = read_timing(timing).identity
            now = timing_identity(place_specs(self.config, dataset, backbone), self.data)
            changed = [name for name in now if now[name] != timed[name]]
            return f"{' and '.join(changed)} changed since the timing" if changed else ""

        return _note(f"timing of {dataset}/{backbone}", self.layout.timing(dataset, backbone), why)

    def _stamp(self, path: str) -> dict[str, Any]:
        """Changes with whatever the runs depend on, and with their records."""
        keys = self.blocks[path]
        runs = {
            key.path: [*self._cell(*key[:3]), _record_digest(self.layout.run(key))] for key in keys
        }
        return {"data": self._checksum(keys[0].dataset), "runs": runs}

    @cache  # noqa: B019
    def _cell(self, dataset: str, backbone: str, pruner: str) -> tuple[str, str]:
        """Digests of what the runs of a cell share, which are many: configuration and sources."""
        spec = run_spec(self.config, RunKey(dataset, backbone, pruner, 0.0, 0))
        sources = run_sources(spec.backbone, spec.pruner, spec.subset.task)
        return spec.fingerprint, source_digest(sources)

    @cache  # noqa: B019
    def _checksum(self, dataset: str) -> str:
        return run_checksum(self.config.datasets[dataset].cards(dataset), self.data)


def _note(name: str, made: Path, why_outdated: Callable[[Path], str]) -> Path | None:
    """The note beside a file of the workflow, written anew if the file does not hold any more."""
    note, why = made.with_suffix(".outdated"), ""
    if made.exists():
        try:
            why = why_outdated(made)
        except (StpruneError, ValueError) as error:  # it is damaged, or data are not prepared
            why = str(error)
    if why:
        logger.warning("%s: %s", name, why)
        write_text(note, f"{datetime.now(UTC).isoformat()} {why}\n")
    return note if note.exists() else None


def _record_digest(folder: Path) -> str | None:
    """Digest the record and the sizes of what is beside it; None if a file is missing."""
    try:
        sizes = [(folder / name).stat().st_size for name in RUN_FILES]
        content = (folder / "metrics.json").read_bytes()
    except FileNotFoundError:
        return None
    return hashlib.sha256(content + str(sizes).encode()).hexdigest()
