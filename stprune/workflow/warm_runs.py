"""Runs in processes of their own that start at once, for all they import is imported already.

A small run takes no longer than starting Python, torch and Lightning. A server imports them
once, and each run is a fork of it that does what ``stprune train`` does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from stprune.base.layout import ExperimentLayout, RunKey, format_ratio
from stprune.base.text import plain_line

# What `stprune train` imports once it is called.
PRELOADED = ("stprune.training.run", "stprune.workflow.progress", "stprune.tracking.live")
GRACE_SECONDS = 20.0


class WarmRuns:
    """The runs under way.

    Args:
        layout: Where the experiment's resolved configuration and logs lie.
        modules: Names of what else to import beforehand, such as backbones and pruners.
    """

    def __init__(self, layout: ExperimentLayout, modules: Sequence[str]) -> None:
        self.layout = layout
        self.running: dict[RunKey, ForkServerProcess] = {}
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload([*PRELOADED, *modules])

    def start(self, key: RunKey) -> None:
        """Start a run; what it says goes to its log, which it empties first."""
        log = self.layout.train_log(key)
        log.parent.mkdir(parents=True, exist_ok=True)
        words = _train_words(self.layout.config, key)
        process = self.context.Process(target=_train, args=(words, log), name=key.path)
        process.start()
        self.running[key] = process

    def wait(self) -> list[tuple[RunKey, str | None]]:
        """Wait until a run ends.

        Returns:
            All that have, each with None or what went wrong, in one line.
        """
        wait([process.sentinel for process in self.running.values()])
        ended = [key for key, process in self.running.items() if not process.is_alive()]
        return [(key, self._problem(key, self.running.pop(key))) for key in ended]

    def end(self) -> None:
        """Interrupt the runs under way and wait for them; whoever lingers is killed."""
        alive = [process for process in self.running.values() if process.is_alive()]
        for process in alive:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        limit = time.monotonic() + GRACE_SECONDS
        for process in alive:
            process.join(max(0.0, limit - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        self.running.clear()

    def _problem(self, key: RunKey, process: ForkServerProcess) -> str | None:
        process.join()
        code = process.exitcode
        if code == 0:
            return None
        log = self.layout.train_log(key)
        if code is not None and code < 0:
            why = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
            return f"killed by signal {-code}{why} (log: {log})"
        return f"{last_line(log) or f'exit status {code}'} (log: {log})"


def last_line(log: Path) -> str:
    """The last line of a log that says anything, without who says it; empty if there is none."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    said = (line.strip() for line in reversed(text.split("\n")) if line.strip())
    return plain_line(next(said, "").removeprefix("stprune: error: "))


def _train_words(config: Path, key: RunKey) -> list[str]:
    """The words after ``stprune`` that train the run."""
    return [
        *("train", "--config", str(config)),
        *("--dataset", key.dataset, "--backbone", key.backbone, "--pruner", key.pruner),
        *("--prune-ratio", format_ratio(key.prune_ratio), "--seed", str(key.seed)),
    ]


def _train(words: list[str], log: Path) -> None:
    """What a run's process does, from its fork on."""
    from stprune import __main__ as program

    with log.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    # Lightning starts the processes of further devices as this one would have been started.
    sys.modules["__main__"] = program
    sys.argv[1:] = words
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(program.main(words))


def _end_with_parent() -> None:
    """End this run when whoever started it is gone: next time it would be trained twice."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
        # An interrupt can be lost in a library's callback; the checkpoint is written atomically.
        time.sleep(GRACE_SECONDS)
        os._exit(1)
