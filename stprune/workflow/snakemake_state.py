"""What Snakemake knows of data sets and runs, kept true when it did not make them itself.

Snakemake judges a file by its time and by what it noted when it made it. A record that was made
outside the workflow is newer than its sources, but nothing is noted of it, so a later change of
the configuration would go unseen; and what is noted of an older record would have the new one
made again. Touching the record through Snakemake notes what it would have noted.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from stprune.base.atomic import naming_failure
from stprune.base.errors import StpruneError
from stprune.base.layout import DataLayout, ExperimentLayout
from stprune.config.grid import RunSpec
from stprune.data.card import card_path, load_card, local_paths
from stprune.data.prepare import is_prepared, prepare
from stprune.training.provenance import REPOSITORY, dataset_sources, run_sources
from stprune.workflow.plan import CANONICAL_FILES
from stprune.workflow.warm_runs import last_line

logger = logging.getLogger(__name__)

# A command line has room for some 20,000 paths.
AT_ONCE = 2000


class WorkflowStateError(StpruneError):
    """Snakemake refused what it was asked."""


class WorkflowState:
    """Snakemake's view of an experiment, where a plain ``snakemake`` would run this project.

    Args:
        layout: Where the experiment lies, with its resolved configuration in place.
        data: Where its data lie.
    """

    def __init__(self, layout: ExperimentLayout, data: DataLayout) -> None:
        self.layout, self.data = layout, data
        self.here = Path("Snakefile").resolve() == REPOSITORY / "Snakefile"
        self.journal = layout.root / ".train-all.pending"

    def prepare(self, dataset: str, mirror: str | None) -> None:
        """Prepare a data set unless it is there and, for Snakemake, newer than its sources.

        Raises:
            StpruneError: If it cannot be prepared.
        """
        cards = self.data.root
        if not self.here:
            prepare(dataset, self.data, mirror, progress=True, cards=cards)
            return
        files = [self.data.processed(dataset) / name for name in CANONICAL_FILES]
        card = load_card(dataset, cards)
        sources = [card_path(dataset, cards), *dataset_sources(card.format)]
        sources += local_paths(card, self.data)
        if not is_prepared(dataset, self.data, cards) or _older(files, sources):
            log = self.data.root / "processed" / "logs" / f"{dataset}.log"
            logger.info("preparing data set %s (log: %s)", dataset, log)
            problem = self._snakemake([files[-1]])
            if problem is not None:
                said = last_line(log) or problem
                raise WorkflowStateError(f"data set {dataset} cannot be prepared: {said}")

    def note(self, spec: RunSpec) -> None:
        """Note, before a run starts, that Snakemake will have to be told of it."""
        with naming_failure(self.journal):
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(f"{spec.key.path}\n")

    def hand_over(self, current: Iterable[RunSpec]) -> None:
        """Tell Snakemake that these records are as it would make them now.

        Only of those that were noted, or that it would take for older than their sources.

        Raises:
            WorkflowStateError: If Snakemake fails, perhaps since another one is at work.
        """
        if not self.here:
            return
        noted = set(self.journal.read_text("utf-8").split()) if self.journal.exists() else set()
        targets = [
            self.layout.metrics(spec.key)
            for spec in current
            if spec.key.path in noted or self._looks_old(spec)
        ]
        for start in range(0, len(targets), AT_ONCE):
            part = targets[start : start + AT_ONCE]
            logger.info(
                "telling Snakemake of %d of %d finished runs (about two minutes a thousand)",
                start + len(part),
                len(targets),
            )
            problem = self._snakemake(part, "--touch", "--force", "--allowed-rules", "train")
            if problem is not None:
                raise WorkflowStateError(
                    f"Snakemake could not be told of {len(targets) - start} finished run(s), and"
                    f" may train them again; repeat the command to tell it: {problem}"
                )
        self.journal.unlink(missing_ok=True)

    def _looks_old(self, spec: RunSpec) -> bool:
        layout, key = self.layout, spec.key
        metas = [self.data.processed(card) / "meta.json" for card in spec.cards]
        return _older(
            [layout.metrics(key), layout.run_epochs(key), layout.kept(key)],
            [*metas, *run_sources(spec.backbone, spec.pruner, spec.subset.task)],
        )

    def _snakemake(self, targets: list[Path], *options: str) -> str | None:
        """Make ``targets``; returns None, or Snakemake's error if it failed."""
        # `--quiet all` would hide its errors too.
        quiet = ("--quiet", "host", "progress", "reason", "rules")
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *quiet]
        words = [*command, "--configfile", str(self.layout.config), *options, "--"]
        done = subprocess.run(  # noqa: S603 - our own workflow, our own files
            [*words, *map(str, targets)], capture_output=True, text=True, check=False
        )
        if not done.returncode:
            return None
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("Error: ") for line in said if line.startswith("Error: ")]
        return (errors or said[-1:] or [f"exit status {done.returncode}"])[0]


def _older(files: list[Path], sources: list[Path]) -> bool:
    """Whether one of ``files`` is missing, or older than one of ``sources``."""
    if not all(path.exists() for path in files):
        return True
    oldest = min(path.stat().st_mtime_ns for path in files)
    return oldest < max(path.stat().st_mtime_ns for path in sources)
