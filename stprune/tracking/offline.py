"""The records as offline files of Weights & Biases, for `wandb sync` where there is a key."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stprune.base.settings import TrackingSettings
from stprune.tracking.account import WandbError
from stprune.tracking.finished_runs import RecordedRun
from stprune.tracking.project import send_run
from stprune.tracking.sync import Action, SyncReport


def write_offline(
    runs: Sequence[RecordedRun], folder: Path, settings: TrackingSettings, *, dry: bool = False
) -> SyncReport:
    """Write a folder for each run that has none of its present record.

    Args:
        runs: The records.
        folder: Gets one ``offline-run-<digest>-<id>`` a run; an older one of the same run goes.
        settings: Project and entity, which an offline file may name.
        dry: Only say what would be done.

    Raises:
        WandbError: If W&B's library did not write a file.
    """
    report: dict[str, Action] = {}
    outdated = []
    for run in runs:
        target = _target(run, folder)
        report[run.tracked.name] = action = (
            "leave" if target.is_dir() else "update" if _older(run, folder) else "create"
        )
        if action != "leave":
            outdated.append((run, target))
    if outdated and not dry:
        _write(outdated, folder, settings)
    return SyncReport(report, [])


def _write(
    outdated: Sequence[tuple[RecordedRun, Path]], folder: Path, settings: TrackingSettings
) -> None:
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    # Beside the targets, so that each arrives there by a rename: whole or not at all.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as name:
        staging = Path(name)
        for run, _ in outdated:
            send_run(
                run.tracked,
                run.epochs,
                run.written_summary,
                mode="offline",
                project=settings.project,
                entity=settings.entity,
                directory=staging,
            )
        # The library writes behind our back; this waits until all is on disk.
        wandb.teardown()
        for run, target in outdated:
            written = sorted((staging / "wandb").glob(f"offline-run-*-{run.tracked.identity}"))
            if not written or not list(written[-1].glob("*.wandb")):
                raise WandbError(f"wandb wrote no offline file for {run.tracked.name}")
            for older in _older(run, folder):
                shutil.rmtree(older)
            written[-1].rename(target)


def _target(run: RecordedRun, folder: Path) -> Path:
    told = [
        run.tracked.values,
        run.tracked.name,
        run.tracked.group,
        run.tracked.tags,
        run.history,
        run.written_summary,
    ]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"offline-run-{digest}-{run.tracked.identity}"


def _older(run: RecordedRun, folder: Path) -> list[Path]:
    return sorted(folder.glob(f"offline-run-*-{run.tracked.identity}"))
