"""Deaths of whole experiments under way: of the jobs that train blocks, and of Snakemake."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from faults.leftovers import (
    RUN_FILES,
    finished_records,
    run_differences,
    steady_table,
    strays,
    trained_again,
)
from faults.project import Project, Trial
from faults.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
GRID: dict[str, Any] = {"pruners": {"st_prune": None}, "seeds": [0, 1]}
RUNS = [(pruner, seed) for pruner in GRID["pruners"] for seed in GRID["seeds"]]
TABLE = "tables/main.csv"
WHOLE = "snakemake"
AFTER_ALL = (
    *(f"runs/*/{name}" for name in RUN_FILES),
    *("config.yaml", "blocks/*", "logs/*.log", "benchmarks/*.tsv"),
    *("summary.csv", "store/*", "tables/main.*"),
)
GIVE_UP_SECONDS = 1800


class Grids:
    """Experiments that are killed again and again until they are done.

    Args:
        project: Where.
        chance: Decides what happens when.
        tally: Takes the counts.
    """

    def __init__(self, project: Project, chance: random.Random, tally: Tally) -> None:
        self.project, self.chance, self.tally = project, chance, tally
        self.names: Iterator[int] = iter(range(10**6))
        self.reference = project.trial("grid", **GRID)
        self.seconds: dict[str, float] = {}
        start = time.monotonic()
        said = self._finish(WHOLE, self.reference)
        if said is not None:
            raise SystemExit(f"without any fault, {said}")
        self.seconds["snakemake"] = time.monotonic() - start
        # The first of two blocks.
        self.seconds["block"] = self.seconds["snakemake"] / 3

    def kill(self, stage: str, deaths: int) -> None:
        """Kill ``stage`` so many times on its way, and let it come to its end each time."""
        while deaths > 0:
            trial = self.project.trial(f"{stage}{next(self.names)}", **GRID)
            struck, problems = self._killed_until_done(stage, trial, deaths)
            deaths -= struck
            self.tally.note(stage, struck, problems)
            if problems:
                return
            trial.remove()

    def _killed_until_done(self, stage: str, trial: Trial, deaths: int) -> tuple[int, list[str]]:
        struck, problems = 0, list[str]()
        before: dict[str, bytes] = {}
        while struck < deaths:
            died = self._start_and_kill(stage, trial)
            problems += trained_again(trial.results, before)
            before = finished_records(trial.results)
            if not died:
                break
            struck += 1
        said = self._finish(stage, trial)
        problems += trained_again(trial.results, before)
        if said is not None:
            return struck, [*problems, said]
        return struck, [*problems, *self._differences(trial)]

    def _differences(self, trial: Trial) -> list[str]:
        problems = []
        for pruner, seed in RUNS:
            folders = (t.run_folder(pruner, seed) for t in (self.reference, trial))
            problems += run_differences(*folders)
        for name in ("summary.csv", TABLE):
            if steady_table(trial.results / name) != steady_table(self.reference.results / name):
                problems.append(f"{name} differs")
        return problems + strays(trial.results, AFTER_ALL)

    def _start_and_kill(self, stage: str, trial: Trial) -> bool:
        process = self._process(self._commands(stage, trial)[0])
        try:
            process.wait(timeout=self.chance.uniform(0.1, 1.0) * self.seconds[stage])
            return False
        except subprocess.TimeoutExpired:
            kill_tree(process, everyone=self.chance.random() < 0.7)
            process.communicate()
            return True

    def _finish(self, stage: str, trial: Trial) -> str | None:
        """The same command again, and what comes after it; returns what went wrong."""
        for command in self._commands(stage, trial):
            process = self._process(command)
            said, _ = process.communicate(timeout=GIVE_UP_SECONDS)
            if process.returncode:
                return f"{' '.join(command)}: exit status {process.returncode}: {said[-800:]}"
        return None

    def _commands(self, stage: str, trial: Trial) -> list[Sequence[str]]:
        target = str((trial.results / "summary.csv").relative_to(self.project.root))
        snakemake = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
        workflow = [*snakemake, "--configfile", trial.config.name, "--", target]
        table = ["stprune", *trial.words("table", "main")]
        if stage == "snakemake":
            return [workflow, table]
        return [
            *(["stprune", *trial.words("train-block", f"toy/stid/s{n}")] for n in GRID["seeds"]),
            ["stprune", *trial.words("summarise")],
            table,
        ]

    def _process(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.project.root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def kill_tree(process: subprocess.Popen[str], everyone: bool) -> None:
    """`kill -9` a process, with all that it started or alone."""
    victims = [psutil.Process(process.pid)]
    if everyone:
        victims += victims[0].children(recursive=True)
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
