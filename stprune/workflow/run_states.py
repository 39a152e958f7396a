"""Where each run of an experiment stands, from the files that it left and who writes them now."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from stprune.base.errors import RecordError, StpruneError
from stprune.base.files import folder_is_locked
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.base.schema import read_yaml, validate
from stprune.base.text import plain_line
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import run_keys
from stprune.records.run import read_record

State = Literal["done", "running", "failed", "stopped", "to do"]
# What training says after each epoch, and how a log ends that was not cut off.
EPOCH = re.compile(r"epoch (\d+)/(\d+):")
INTERRUPTED = "stprune: interrupted"
MISTAKE = "stprune: error: "
EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b")


class RunState(NamedTuple):
    """One run.

    ``done``: it has a record. ``running``: a process holds its lock. ``failed``: its log ends in an
    error, or its record cannot be read. ``stopped``: it was interrupted or killed. The note says
    why it failed, or how far it is.
    """

    key: RunKey
    state: State
    note: str = ""


def run_states(layout: ExperimentLayout) -> list[RunState]:
    """Where each run stands of the experiment as it was last started.

    Without its ``config.yaml``: where each run stands that left a record or a log. Raises
    ConfigError if that is damaged, or of another version.
    """
    if layout.config.exists():
        values = read_yaml(layout.config)
        keys = run_keys(validate(ExperimentConfig, values, str(layout.config)))
    else:
        begun = set[RunKey]()
        for folder, name in (("runs", "metrics.json"), ("logs", "train.log")):
            root = layout.root / folder
            for path in root.glob(f"*/*/*/p[0-9]*/s[0-9]*/{name}"):
                dataset, backbone, pruner, ratio, seed = path.relative_to(root).parts[:5]
                begun.add(RunKey(dataset, backbone, pruner, float(ratio[1:]), int(seed[1:])))
        keys = sorted(begun)
    return [run_state(layout, key) for key in keys]


def run_state(layout: ExperimentLayout, key: RunKey) -> RunState:
    """Where one run stands."""
    metrics, log = layout.metrics(key), layout.train_log(key)
    if metrics.exists():
        try:
            read_record(metrics)
        except StpruneError as error:
            return RunState(key, "failed", str(error))
        return RunState(key, "done")
    if not log.exists():
        if layout.checkpoint(key).exists():
            return RunState(key, "stopped", "a checkpoint and no log")
        return RunState(key, "to do")
    text = log.read_text(encoding="utf-8", errors="replace")
    passed = EPOCH.findall(text)
    progress = f"epoch {passed[-1][0]} of {passed[-1][1]}" if passed else ""
    if folder_is_locked(layout.checkpoint(key).parent):
        return RunState(key, "running", progress)
    last = text.rstrip().rpartition("\n")[2]
    if last.startswith(MISTAKE) or EXCEPTION.match(last):
        return RunState(key, "failed", last_line(log))
    note = "interrupted" if last.startswith(INTERRUPTED) else "its log ends abruptly (killed?)"
    return RunState(key, "stopped", f"{note}, after {progress}" if progress else note)


def last_line(log: Path) -> str:
    """The last line of a log that is not blank, without the program's name; empty if none."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return plain_line(text.rstrip().rpartition("\n")[2].strip().removeprefix(MISTAKE))


def refuse_missing(layout: ExperimentLayout, keys: Sequence[RunKey]) -> None:
    """Refuse runs without a record: how many they are and what became of the first that failed."""
    missing = [run_state(layout, key) for key in keys if not layout.metrics(key).exists()]
    if missing:
        first = next((run for run in missing if run.state == "failed"), missing[0])
        note = f": {first.note}" if first.note else ""
        such = f"such as {first.key.path}, which is `{first.state}`{note}"
        lists = f"`stprune show {layout.root}` lists them"
        raise RecordError(f"{len(missing)} of {len(keys)} runs have no record, {such}; {lists}")
