"""A run at Weights & Biases: what it gets there, and its logging while it trains."""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey, recorded_runs
from stprune.base.settings import Tracking, TrackingSettings
from stprune.records.run import EpochRecord, RunRecord, read_epochs, read_record
from stprune.records.store import run_keys_of
from stprune.results.summarise import summary_so_far
from stprune.results.summary import relative_to_full

logger = logging.getLogger(__name__)

# Metrics are drawn over it, or over the epoch.
CLOCK = "elapsed_seconds"


@dataclass(frozen=True)
class Payload:
    """A run as W&B gets it; the path of ``key`` is its name."""

    experiment: str
    key: RunKey
    config: dict[str, Any]  # of the run, with the experiment's name
    history: dict[int, dict[str, Any]] = field(default_factory=dict)  # rows by step
    results: dict[str, Any] = field(default_factory=dict)  # once it has finished
    notes: str = ""  # of its experiment

    @property
    def identity(self) -> str:
        """The same for the same run, however often it is trained or sent: 16 hex digits."""
        return hashlib.sha256(f"{self.experiment}/{self.key.path}".encode()).hexdigest()[:16]

    @property
    def group(self) -> str:
        """Its cell: everything but the seed."""
        return f"{self.experiment}/{self.key.path.rpartition('/')[0]}"

    @property
    def tags(self) -> list[str]:
        """Experiment, data set, backbone, pruner and prune ratio; each once."""
        *names, ratio, _ = self.key
        return list(dict.fromkeys([self.experiment, *map(str, names), f"p{ratio:g}"]))

    @property
    def summary(self) -> dict[str, Any]:
        """The last value of each column, and the results."""
        last = {name: value for row in self.history.values() for name, value in row.items()}
        return last | self.results


def record_files(layout: ExperimentLayout) -> list[Path]:
    """The records of an experiment's finished runs, sorted; a RecordError if there is none."""
    root = layout.root.resolve()
    files = [path for path in recorded_runs(root.parent) if root in path.parents]
    if not files:
        raise RecordError(f"there is no finished run in {layout.root}; train one first")
    return files


def finished_runs(layout: ExperimentLayout) -> list[Payload]:
    """All finished runs, by path, compared with full training; a RecordError without any."""
    runs, files = [], record_files(layout)
    compared = against_full(summary_so_far(layout, files))
    for path in files:
        run, epochs = read_record(path), read_epochs(path.with_name("epochs.csv"))
        rows = {row["epoch"]: _known(row) for row in epochs.to_dict("records")}
        config = {"experiment": run.experiment, **run.config}
        runs.append(
            Payload(run.experiment, run.key, config, rows, results(run) | compared[run.key])
        )
    return runs


def results(record: RunRecord) -> dict[str, Any]:
    """What is written into the summary; W&B adds the last value of everything in the history."""
    return {
        "test": record.test.model_dump(include={"mae", "rmse", "mape"}),
        **record.model_dump(include={"validation_mae", "best_epoch", "parameters", "cost"}),
        "data_checksum": record.data["checksum"],
        "git_commit": record.environment["git_commit"],
    }


def against_full(summary: pd.DataFrame) -> dict[RunKey, dict[str, Any]]:
    """What of each run is known beside its own record: how it compares with full training.

    ``against_full.error_percent``, change of the test MAE against full training's mean;
    ``.total_percent``, its total time by the timing; ``.steps_percent``, its gradient steps; and
    ``timing``, how far to trust the time. What is not known is left out.
    """
    names = {"test_mae": "error", "total_seconds": "total", "gradient_steps": "steps"}
    known = relative_to_full(summary)[list(names)].rename(columns=names).add_suffix("_percent")
    known["error_percent"] -= 100
    found = {}
    rows = zip(run_keys_of(summary), known.to_dict("records"), summary["timing"], strict=True)
    for key, row, timing in rows:
        values = _known(row)
        found[key] = ({"against_full": values} if values else {}) | _known({"timing": timing})
    return found


def _known(values: Mapping[Any, Any]) -> dict[str, Any]:
    """The values that are there."""
    return {name: value for name, value in values.items() if not pd.isna(value)}


def permitted_mode(mode: Tracking) -> Tracking:
    """``mode``, unless ``WANDB_MODE`` says that less may leave this machine."""
    limit = os.environ.get("WANDB_MODE", "").replace("dryrun", "offline")
    strictest_first: tuple[Tracking, ...] = ("disabled", "offline", "online")
    return next(kind for kind in strictest_first if kind in (mode, limit))


def open_run(
    payload: Payload,
    mode: Tracking,
    place: TrackingSettings,
    directory: Path,
    tags: Iterable[str] = (),
    notes: str | None = None,
) -> Any:
    """Create or continue one ``wandb.Run`` with its files in ``directory``; ``tags`` are kept.

    None for ``notes`` leaves those that it has.
    """
    import wandb

    settings = wandb.Settings(
        console="off",
        silent=True,
        # How long W&B may delay a run: at its start, and at its end until all is sent.
        init_timeout=30.0,
        finish_timeout=60.0,
        finish_timeout_raises=True,
        allow_val_change=True,
        # The record has machine, packages and sources: a sync may be on another machine.
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
    )
    run = wandb.init(
        mode=mode,
        project=place.project,
        entity=place.entity,
        dir=str(directory),
        id=payload.identity,
        resume="allow" if mode == "online" else None,
        name=payload.key.path,
        group=payload.group,
        job_type="train",
        tags=sorted({*tags, *payload.tags}),
        notes=notes,
        config=payload.config,
        settings=settings,
    )
    run.define_metric("*", step_metric=CLOCK)
    return run


def log_row(run: Any, row: Mapping[str, Any]) -> None:
    """Log one epoch to an open ``wandb.Run``."""
    # Commit at once. Otherwise W&B holds the last row back until the run is closed, and its values
    # then replace those of the same name in the summary.
    run.log(row, step=row["epoch"], commit=True)


class WandbTracking:
    """Logs one run. The first failure of the service is logged and ends the tracking only."""

    def __init__(self, settings: TrackingSettings, directory: Path) -> None:
        self.settings, self.directory = settings, directory
        self.run: Any = None

    def run_started(self, spec: Any, epochs: int, done: list[EpochRecord]) -> None:
        """Open the run of a ``RunSpec``; finished epochs are logged again, for offline files."""
        with self._tolerant():
            import wandb

            self.directory.mkdir(parents=True, exist_ok=True)
            mode = permitted_mode(self.settings.mode)
            wandb.setup(wandb.Settings(silent=True))
            # Without a key, W&B would ask for one on the terminal, and the run would wait.
            if mode == "online" and not wandb.login(prompt=False, verify=False):
                raise PermissionError("there is no key; `stprune wandb sync` sends records later")
            config = {"experiment": spec.experiment, **spec.resolved()}
            payload = Payload(spec.experiment, spec.key, config)
            self.run = open_run(payload, mode, self.settings, self.directory)
        for epoch in done:
            self.epoch_finished(epoch)

    def epoch_finished(self, record: EpochRecord) -> None:
        """Log one epoch."""
        with self._tolerant():
            if self.run is not None:
                log_row(self.run, record.model_dump(exclude_none=True))

    def run_finished(self, record: RunRecord) -> None:
        """Write the summary and close."""
        self._close(0, results(record))

    def run_failed(self, error: BaseException) -> None:
        """Close the run as failed."""
        self._close(1, {})

    def _close(self, exit_code: int, summary: dict[str, Any]) -> None:
        with self._tolerant():
            if self.run is not None:
                self.run.summary.update(summary)
                self.run.finish(exit_code=exit_code)
        self.run = None

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever the service raises must not end the run
            logger.warning("Weights & Biases is left out for this run: %s", error)
            self.run = None
