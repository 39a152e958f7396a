"""A project at Weights & Biases: which of our runs it holds, and how a run gets there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stprune.records.run import EpochRecord
from stprune.tracking.account import WandbError
from stprune.tracking.told import CLOCK, TrackedRun, log_epoch, run_settings

# Runs asked for at once: an answer stays well below a megabyte.
PAGE = 100


@dataclass(frozen=True)
class RemoteRun:
    """A run as W&B holds it.

    Args:
        identity: Its id.
        name: Shown.
        group: Its group.
        tags: Ours and whatever its readers have added.
        config: Without what W&B keeps for itself.
        summary: Likewise.
        rows: Rows of its history.
        handle: W&B's own object.
    """

    identity: str
    name: str | None
    group: str | None
    tags: frozenset[str]
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    rows: int
    handle: Any

    def history(self) -> dict[int, dict[str, Any]]:
        """All rows by their step, without what W&B keeps for itself."""
        if not self.rows:
            return {}
        # Asked for as many as there are, W&B leaves none out.
        rows = self.handle.history(samples=self.rows, pandas=False)
        return {int(row["_step"]): ours(row) for row in rows}


class WandbProject:
    """One project of an account.

    Args:
        api: A ``wandb.Api``.
        project: Name.
        entity: Team or user; None for the account's default.

    Raises:
        WandbError: If the account has no default.
    """

    def __init__(self, api: Any, project: str, entity: str | None) -> None:
        self.api, self.project = api, project
        chosen = entity or api.default_entity
        if not chosen:
            raise WandbError(
                "the account of this key has no team or user of its own; give --entity"
            )
        self.entity: str = chosen

    @property
    def path(self) -> str:
        """``entity/project``."""
        return f"{self.entity}/{self.project}"

    def runs(self, identities: Sequence[str]) -> dict[str, RemoteRun]:
        """Those of the runs that are there, by id; none if the project is not there."""
        # W&B's library would answer the same question from memory.
        self.api.flush()
        found: dict[str, RemoteRun] = {}
        for start in range(0, len(identities), PAGE):
            wanted = list(identities[start : start + PAGE])
            pages = self.api.runs(
                self.path, filters={"name": {"$in": wanted}}, per_page=PAGE, lazy=False
            )
            try:
                handles = list(pages)
            except ValueError as error:
                if "Could not find project" not in str(error):
                    raise
                return {}
            found |= {handle.id: _remote(handle) for handle in handles}
        return found


def ours(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` without W&B's own keys, which begin with an underscore."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def send_run(
    tracked: TrackedRun,
    epochs: Sequence[EpochRecord],
    summary: Mapping[str, Any],
    *,
    mode: Literal["online", "offline"],
    project: str,
    entity: str | None,
    directory: Path,
    tags: Sequence[str] = (),
) -> None:
    """Create or continue one run, and wait until W&B has it.

    Args:
        tracked: Address and configuration.
        epochs: The epochs that W&B does not have yet.
        summary: What to write into the summary.
        mode: ``offline`` writes a file instead.
        project: Name of the project.
        entity: Team or user; None for the account's default.
        directory: Where W&B may write.
        tags: Those it has already, to be kept.
    """
    import wandb

    run = wandb.init(
        mode=mode,
        project=project,
        entity=entity,
        dir=str(directory),
        id=tracked.identity,
        resume="allow" if mode == "online" else None,
        name=tracked.name,
        group=tracked.group,
        job_type="train",
        tags=sorted({*tags, *tracked.tags}),
        config=tracked.values,
        # What is here now - machine, packages, sources - is not what the run was trained with.
        settings=run_settings(
            allow_val_change=True,
            disable_git=True,
            save_code=False,
            x_disable_meta=True,
            x_save_requirements=False,
        ),
    )
    run.define_metric("*", step_metric=CLOCK)
    for epoch in epochs:
        log_epoch(run, epoch)
    run.summary.update(dict(summary))
    run.finish()


def _remote(handle: Any) -> RemoteRun:
    return RemoteRun(
        identity=handle.id,
        name=handle.name,
        group=handle.group,
        tags=frozenset(handle.tags or ()),
        config=ours(handle.config),
        summary=ours(handle.summary_metrics),
        rows=int(handle.history_line_count or 0),
        handle=handle,
    )
