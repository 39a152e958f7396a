"""From the records to Weights & Biases, as often as one likes: what is there already stays."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stprune.tracking.finished_runs import RecordedRun
from stprune.tracking.project import RemoteRun, WandbProject, send_run

logger = logging.getLogger(__name__)

#: What is to be done with a run. ``conflict``: W&B holds the curves of another training of it.
Action = Literal["create", "update", "leave", "conflict"]
# W&B shows a run's end a moment after it has been told: asked again after these seconds.
AGAIN = (1.0, 3.0, 10.0)
# A sign of life now and then: a run takes a second or so.
REPORTED = 50


@dataclass(frozen=True)
class SyncReport:
    """What became of the runs.

    Args:
        actions: What each run needed, by path within the experiment.
        mismatches: Where W&B and the records differ in the end, one line each.
    """

    actions: Mapping[str, Action]
    mismatches: Sequence[str]

    def count(self, action: Action) -> int:
        """Runs that needed it."""
        return sum(needed == action for needed in self.actions.values())


def needed_action(run: RecordedRun, remote: RemoteRun | None) -> Action:
    """What makes W&B's run that of the record."""
    if remote is None:
        return "create"
    if not differences(run, remote):
        return "leave"
    known = run.history
    if any(known.get(step) != row for step, row in remote.history().items()):
        return "conflict"
    return "update"


def differences(run: RecordedRun, remote: RemoteRun) -> list[str]:
    """Where a run at W&B is not what its record says; empty if it is."""
    tracked = run.tracked
    found = [
        *_differing("summary", run.summary, remote.summary),
        *_differing("config", tracked.values, remote.config),
    ]
    if remote.rows != len(run.epochs):
        found.append(f"{remote.rows} epochs at W&B, {len(run.epochs)} in the record")
    if (remote.name, remote.group) != (tracked.name, tracked.group):
        found.append(f"name and group {remote.name}, {remote.group} at W&B")
    missing = set(tracked.tags) - remote.tags
    if missing:
        found.append(f"tags {', '.join(sorted(missing))} missing at W&B")
    return found


def sync(
    runs: Sequence[RecordedRun],
    project: WandbProject,
    *,
    dry: bool = False,
) -> SyncReport:
    """Create and update what W&B lacks, then compare every run's summary with its record.

    A run with the curves of another training is left as it is: W&B's history cannot be rewritten,
    and one training's curves under another one's results would be worse than none.

    Args:
        runs: The records.
        project: Where to.
        dry: Only say what would be done.

    Raises:
        wandb.errors.Error: If W&B fails; what has arrived stays, and is left alone next time.
    """
    remotes = project.runs([run.tracked.identity for run in runs])
    pairs = [(run, remotes.get(run.tracked.identity)) for run in runs]
    actions = [needed_action(run, remote) for run, remote in pairs]
    report = {run.tracked.name: action for run, action in zip(runs, actions, strict=True)}
    if dry:
        return SyncReport(report, [])
    outdated = [
        pair for pair, action in zip(pairs, actions, strict=True) if action in ("create", "update")
    ]
    _send(outdated, project)
    lines = [
        f"{name}: W&B keeps the curves of another training of this run; sync into another --project"
        for name, action in report.items()
        if action == "conflict"
    ]
    rest = [run for run in runs if report[run.tracked.name] != "conflict"]
    return SyncReport(report, [*lines, *_mismatches(rest, project)])


def _send(pairs: Sequence[tuple[RecordedRun, RemoteRun | None]], project: WandbProject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for done, (run, remote) in enumerate(pairs, start=1):
            send_run(
                run.tracked,
                run.epochs[remote.rows if remote else 0 :],
                # Where epochs are there already, their last values are not written by logging.
                run.summary if remote else run.written_summary,
                mode="online",
                project=project.project,
                entity=project.entity,
                directory=Path(directory),
                tags=sorted(remote.tags) if remote else (),
            )
            if done % REPORTED == 0:
                logger.info("%d of %d runs sent", done, len(pairs))


def _mismatches(runs: Sequence[RecordedRun], project: WandbProject) -> list[str]:
    """One line for each run that W&B does not show as its record has it."""
    for pause in (0.0, *AGAIN):
        time.sleep(pause)
        remotes = project.runs([run.tracked.identity for run in runs])
        lines = []
        for run in runs:
            remote = remotes.get(run.tracked.identity)
            found = differences(run, remote) if remote else ["W&B does not have it"]
            if found:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                lines.append(f"{run.tracked.name}: {found[0]}{more}")
        if not lines:
            break
    return lines


def _differing(kind: str, local: Mapping[str, Any], remote: Mapping[str, Any]) -> list[str]:
    """Lines for what differs; what W&B's users have added is theirs."""
    there, here = dict(_leaves(remote)), dict(_leaves(local))
    return [
        f"{kind} {name} is {_shown(there, name)} at W&B, {_shown(here, name)} in the record"
        for name in dict.fromkeys([*here, *there])
        if _shown(there, name) != _shown(here, name) and name.partition(".")[0] in local
    ]


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys joined by dots, with their values."""
    for key, value in values.items():
        if isinstance(value, Mapping):  # an empty one does not reach W&B
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _shown(values: Mapping[str, Any], name: str) -> str:
    # As JSON, for W&B knows no other types; 1 and 1.0 are the same number there.
    if name not in values:
        return "missing"
    value = values[name]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)
