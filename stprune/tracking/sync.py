"""From the records to Weights & Biases, as often as one likes: what is there already stays."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from stprune.base.errors import StpruneError
from stprune.base.settings import Tracking, TrackingSettings
from stprune.tracking.payload import (
    FinishedRun,
    log_epoch,
    open_run,
    results,
    run_settings,
)

#: What a run needs. ``conflict``: W&B holds the curves of another training of it.
Action = Literal["create", "update", "leave", "conflict"]
# W&B shows the end of a run a moment after it was sent: ask again after these seconds.
AGAIN = (1.0, 3.0, 10.0)
# Runs in one request, so that an answer stays well below a megabyte.
PAGE = 100
# Seconds to wait for one answer; W&B's own retries would go on for hours.
PATIENCE = 30
LATER = "or write files to send later with `stprune wandb sync --offline`"


class WandbError(StpruneError):
    """W&B, or what it holds, is not as it should be."""


class NoAccountError(WandbError):
    """W&B cannot be asked at all: no key, a wrong one, or no network."""

    exit_code: ClassVar[int] = 2


@contextmanager
def signed_in(entity: str | None) -> Iterator[tuple[Any, str]]:
    """W&B's public API while the block lasts; nothing is asked on the terminal.

    Args:
        entity: Team or user; None for the account's own.

    Yields:
        A ``wandb.Api`` and the team or user.

    Raises:
        NoAccountError: If there is no key, W&B refuses it or does not answer.
        WandbError: For whatever goes wrong later, in one line without the key.
    """
    import wandb

    # What `wandb.Api` raises where it does not turn it into an `Error`; there is no public name.
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    problems = (wandb.errors.Error, WandbApiFailedError, OSError)
    wandb.setup(run_settings(x_graphql_retry_max=3, x_graphql_retry_wait_min_seconds=0.5))
    try:
        try:
            if not wandb.login(prompt=False, verify=True):
                raise NoAccountError(
                    "there is no key of Weights & Biases: run `wandb login`, set WANDB_API_KEY,"
                    f" {LATER}"
                )
            api = wandb.Api(timeout=PATIENCE)
        except problems as error:
            raise NoAccountError(
                f"Weights & Biases refuses the key or does not answer: {without_key(error)};"
                f" check key and network, {LATER}"
            ) from None
        owner = entity or api.default_entity
        if not owner:
            raise WandbError("the account of this key has no team or user; give --entity")
        yield api, owner
    except problems as error:
        raise WandbError(f"Weights & Biases: {without_key(error)}") from None
    finally:
        wandb.teardown()


def without_key(error: BaseException) -> str:
    """The message of ``error`` on one line, without the key."""
    import wandb

    message = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    for key in (os.environ.get("WANDB_API_KEY"), wandb.setup().settings.api_key):
        message = message.replace(key, "(key)") if key else message
    return message


def sync(
    runs: Sequence[FinishedRun], api: Any, place: TrackingSettings, *, dry: bool = False
) -> tuple[dict[str, Action], list[str]]:
    """Create and update what W&B lacks, then compare every run there with its record.

    A run with the curves of another training is left as it is: W&B's history cannot be rewritten,
    and one training's curves above another one's results would be worse than none.

    Args:
        runs: The records.
        api: A ``wandb.Api``.
        place: Project, and entity, which must be known.
        dry: Change nothing.

    Returns:
        What each run needed, by its name, and one line for each that differs in the end.
    """
    remotes = _remote_runs(runs, api, place)
    actions = {run.name: _needed(run, remotes.get(run.identity)) for run in runs}
    if dry:
        return actions, []
    with tempfile.TemporaryDirectory() as directory:
        for run in runs:
            if actions[run.name] in ("create", "update"):
                _send(run, remotes.get(run.identity), "online", place, Path(directory))
    lines = [
        f"{name}: W&B keeps the curves of another training of this run; sync into another --project"
        for name, action in actions.items()
        if action == "conflict"
    ]
    rest = [run for run in runs if actions[run.name] != "conflict"]
    return actions, [*lines, *_mismatches(rest, api, place)]


def write_offline(
    runs: Sequence[FinishedRun], folder: Path, place: TrackingSettings, *, dry: bool = False
) -> dict[str, Action]:
    """Write a folder ``offline-run-<digest>-<id>`` for each run that has none of its record.

    Args:
        runs: The records.
        folder: Gets the folders; an older one of the same run goes.
        place: Project and entity.
        dry: Change nothing.

    Returns:
        What each run needed, by its name.

    Raises:
        WandbError: If W&B's library did not write a file.
    """
    import wandb

    actions: dict[str, Action] = {}
    targets: dict[Path, FinishedRun] = {}
    for run in runs:
        content = [run.config, run.name, run.tags, [*run.history.values()], results(run.record)]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
        target = folder / f"offline-run-{digest}-{run.identity}"
        if target.is_dir():
            actions[run.name] = "leave"
        else:
            older = any(folder.glob(f"offline-run-*-{run.identity}"))
            actions[run.name], targets[target] = "update" if older else "create", run
    if dry or not targets:
        return actions
    folder.mkdir(parents=True, exist_ok=True)
    # Inside the folder, so that each arrives by a rename: complete or not at all.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as staging:
        for run in targets.values():
            _send(run, None, "offline", place, Path(staging))
        # The library writes in the background; this waits until all is on disk.
        wandb.teardown()
        for target, run in targets.items():
            pattern = f"offline-run-*-{run.identity}"
            written = [file.parent for file in Path(staging, "wandb").glob(f"{pattern}/*.wandb")]
            if not written:
                raise WandbError(f"wandb wrote no offline file for {run.name}")
            for path in list(folder.glob(pattern)):
                shutil.rmtree(path)
            written[0].rename(target)
    return actions


def _send(
    run: FinishedRun, remote: Any, mode: Tracking, place: TrackingSettings, directory: Path
) -> None:
    """Create or complete one run, and wait until W&B has it."""
    opened = open_run(
        run,
        mode,
        place,
        directory,
        tags=(remote.tags or ()) if remote else (),
        allow_val_change=True,
        # Machine, packages and sources of today are not those that the run was trained with.
        disable_git=True,
        save_code=False,
        x_disable_meta=True,
        x_save_requirements=False,
    )
    for epoch in run.epochs[_rows(remote) if remote else 0 :]:
        log_epoch(opened, epoch)
    # Of epochs that are at W&B already, the last values are not written by logging.
    opened.summary.update(run.summary if remote else results(run.record))
    opened.finish()


def _remote_runs(runs: Sequence[FinishedRun], api: Any, place: TrackingSettings) -> dict[str, Any]:
    """Those of the runs that W&B has, by id; none if it does not have the project."""
    # Otherwise W&B's library would answer the same question from memory.
    api.flush()
    remotes: dict[str, Any] = {}
    try:
        for start in range(0, len(runs), PAGE):
            wanted = {"name": {"$in": [run.identity for run in runs[start : start + PAGE]]}}
            path = f"{place.entity}/{place.project}"
            page = api.runs(path, filters=wanted, per_page=PAGE, lazy=False)
            remotes |= {remote.id: remote for remote in page}
    except ValueError as error:
        if "Could not find project" not in str(error):
            raise
    return remotes


def _rows(remote: Any) -> int:
    return int(remote.history_line_count or 0)


def _needed(run: FinishedRun, remote: Any) -> Action:
    """What makes W&B's run that of the record."""
    if remote is None:
        return "create"
    if not _differences(run, remote):
        return "leave"
    # W&B leaves no row out if it is asked for as many as there are.
    rows = remote.history(samples=_rows(remote), pandas=False) if _rows(remote) else []
    history = run.history
    if any(history.get(int(row["_step"])) != _without_own(row) for row in rows):
        return "conflict"
    return "update"


def _differences(run: FinishedRun, remote: Any) -> list[str]:
    """Where a run at W&B is not what its record says, one line each."""
    lines = []
    for kind, local, there in (
        ("summary", run.summary, remote.summary_metrics),
        ("config", run.config, remote.config),
    ):
        ours, theirs = dict(_leaves(local)), dict(_leaves(_without_own(there)))
        lines += [
            f"{kind} {name} is {theirs.get(name)} at W&B, {ours.get(name)} in the record"
            for name in {**ours, **theirs}
            # What readers have added at W&B is theirs.
            if ours.get(name) != theirs.get(name) and name.partition(".")[0] in local
        ]
    if _rows(remote) != len(run.epochs):
        lines.append(f"{_rows(remote)} epochs at W&B, {len(run.epochs)} in the record")
    if (remote.name, remote.group) != (run.name, run.group):
        lines.append(f"name and group {remote.name}, {remote.group} at W&B")
    if missing := set(run.tags) - set(remote.tags or ()):
        lines.append(f"tags {', '.join(sorted(missing))} missing at W&B")
    return lines


def _mismatches(runs: Sequence[FinishedRun], api: Any, place: TrackingSettings) -> list[str]:
    """One line for each run that W&B does not show as its record has it."""
    for pause in (0.0, *AGAIN):
        time.sleep(pause)
        remotes = _remote_runs(runs, api, place)
        lines = []
        for run in runs:
            remote = remotes.get(run.identity)
            differences = _differences(run, remote) if remote else ["W&B does not have it"]
            if differences:
                more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
                lines.append(f"{run.name}: {differences[0]}{more}")
        if not lines:
            break
    return lines


def _without_own(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without W&B's own keys, which begin with an underscore."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Nested keys joined by dots, with their values as JSON, for W&B knows no other types."""
    for key, value in values.items():
        if isinstance(value, Mapping):  # an empty one does not reach W&B
            yield from _leaves(value, f"{path}{key}.")
        else:
            whole = isinstance(value, float) and value.is_integer()  # 1 and 1.0 are the same there
            yield f"{path}{key}", json.dumps(int(value) if whole else value, sort_keys=True)
