"""Faults of single commands: training, preparation, collection; death, signals, damage, limits."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator

from faults.leftovers import (
    RUN_FILES,
    contents,
    finished_records,
    run_differences,
    strays,
    trained_again,
)
from faults.project import PRUNERS, Project, Trial
from faults.tally import Tally
from faults.victim import End, Fault, run

AFTER_TRAINING = tuple(f"runs/*/{name}" for name in RUN_FILES)
COLLECTED = ("summary.csv", "store/*", "tables/*", "figures/*")
COLLECTING = (("summarise",), ("table", "main"), ("table", "equivalence"), ("figure", "tradeoff"))
SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}
INTERRUPTED = "stprune: interrupted; the same command continues where it stopped"
# How often a trial is killed again on its way, at most.
DEATHS = 3


class SingleCommands:
    """Trials of one command at a time.

    Args:
        project: Where.
        chance: Decides what happens when.
        tally: Takes the counts.
    """

    def __init__(self, project: Project, chance: random.Random, tally: Tally) -> None:
        self.project, self.chance, self.tally = project, chance, tally
        self.names: Iterator[int] = iter(range(10**6))
        self.reference = project.trial("reference")
        self.ends: dict[tuple[str, ...], End] = {}
        self._undisturbed(self.reference, "prepare", ("data", "prepare", "toy"))
        for pruner in PRUNERS:
            self._undisturbed(self.reference, pruner, tuple(self._train(self.reference, pruner)))
        for command in COLLECTING:
            self._undisturbed(self.reference, " ".join(command), command)

    def kill_training(self) -> None:
        """Kill a run, perhaps several times, and train it to its end."""
        trial, pruner = self._trial(), self.chance.choice(list(PRUNERS))
        faults, problems = 0, []
        before: dict[str, bytes] = {}
        for _ in range(self.chance.randint(1, DEATHS)):
            end = self._run(trial, pruner, self._train(trial, pruner), self._death(pruner))
            faults += end.code == -signal.SIGKILL
            problems += trained_again(trial.results, before)
            before = finished_records(trial.results)
        problems += self._to_the_end(trial, pruner)
        problems += trained_again(trial.results, before)
        self._close(trial, "training", faults, problems)

    def kill_preparation(self) -> None:
        """Kill the preparation of the data set, and prepare it."""
        name = self._name()
        data = self.project.root / "trials" / name / "data"
        trial = self.project.trial(name, data_directory=str(data.relative_to(self.project.root)))
        data.mkdir(parents=True)
        shutil.copy(self.project.root / "data" / "toy.yaml", data)
        words = trial.words("data", "prepare", "toy")
        end = self._run(trial, "prepare", words, self._death("prepare"))
        again = run(words, self.project.root)
        problems = _failed(again)
        ours, theirs = (
            contents(place, ("processed/**/*.*", "raw/**/*.*"))
            for place in (data, self.project.root / "data")
        )
        problems += [f"{file} differs" for file in theirs if ours.get(file) != theirs[file]]
        problems += [f"left behind: {file}" for file in ours if file not in theirs]
        self._close(trial, "preparation", end.code == -signal.SIGKILL, problems)

    def kill_collection(self) -> None:
        """Kill a command that collects results, over an older product or none."""
        command = self.chance.choice(COLLECTING)
        trial, name = self._collected(), " ".join(command)
        if self.chance.random() < 0.5:
            for product in self._products(command):
                (trial.results / product).unlink()
        end = self._run(trial, name, trial.words(*command), self._death(name))
        problems = _failed(run(trial.words(*command), self.project.root))
        problems += self._collection_differences(trial)
        self._close(trial, "collection", end.code == -signal.SIGKILL, problems)

    def tell_to_end(self) -> None:
        """Send SIGTERM or SIGINT to a run: exit code, last words, nothing half-written."""
        trial, pruner = self._trial(), self.chance.choice(list(PRUNERS))
        number = self.chance.choice(list(SIGNALS))
        # Not before there is anybody to be told.
        moment = max(0.02, self._share(pruner))
        fault = Fault(processor_seconds=moment, number=number)
        end = self._run(trial, pruner, self._train(trial, pruner), fault)
        struck = end.code == SIGNALS[number]
        problems: list[str] = []
        if not struck and end.code:
            problems.append(f"exit status {end.code} after signal {number}: {end.last_line}")
        if struck and (end.last_line != INTERRUPTED or "Traceback" in end.said):
            problems.append(f"last words: {end.said[-300:]}")
        half = [*AFTER_TRAINING, "checkpoints/*/last.pt", "checkpoints/*/previous.pt"]
        problems += strays(trial.results, half) if trial.results.exists() else []
        problems += self._to_the_end(trial, pruner)
        self._close(trial, "SIGTERM, SIGINT", struck, problems)

    def damage_checkpoint(self) -> None:
        """Kill a run, cut its last checkpoint or change a bit of it, and train it to its end."""
        trial, pruner = self._trial(), self.chance.choice(list(PRUNERS))
        last = trial.checkpoints(pruner) / "last.pt"
        previous = last.with_name("previous.pt")
        for _ in range(20):
            self._run(trial, pruner, self._train(trial, pruner), self._death(pruner))
            if previous.exists() and last.exists():
                break
            trial.remove()
            trial = self._trial()
            last = trial.checkpoints(pruner) / "last.pt"
            previous = last.with_name("previous.pt")
        content = bytearray(last.read_bytes())
        if self.chance.random() < 0.5:
            content = content[: self.chance.randrange(len(content))]
        else:
            content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
        last.write_bytes(content)
        problems = self._to_the_end(trial, pruner)
        self._close(trial, "damaged checkpoint", 1, problems)

    def fill_disk(self) -> None:
        """Let no file grow beyond a few bytes: one line that names the file, nothing else left."""
        pruner = self.chance.choice(list(PRUNERS))
        if self.chance.random() < 0.5:
            trial, words, stage = self._trial(), None, pruner
        else:
            command = self.chance.choice(COLLECTING)
            trial, stage = self._collected(), " ".join(command)
            words = trial.words(*command)
            for product in self._products(command):
                (trial.results / product).unlink()
        words = words or self._train(trial, pruner)
        # From below the smallest file of a run to above the largest.
        fault = Fault(file_limit=int(10 ** self.chance.uniform(1.5, 5.0)))
        end = self._run(trial, stage, words, fault)
        problems: list[str] = []
        if end.code:
            line = end.last_line
            if end.code != 1 or "cannot be written: File too large" not in line:
                problems.append(f"exit status {end.code}: {end.said[-300:]}")
            if "Traceback" in end.said:
                problems.append("a traceback")
            problems += [f"left behind: {p}" for p in trial.results.rglob(".*.partial*")]
        if stage == pruner:
            problems += self._to_the_end(trial, pruner)
        else:
            problems += _failed(run(words, self.project.root))
            problems += self._collection_differences(trial)
        self._close(trial, "full disk", end.code == 1, problems)

    def _name(self) -> str:
        return f"trial{next(self.names)}"

    def _trial(self) -> Trial:
        return self.project.trial(self._name())

    def _train(self, trial: Trial, pruner: str) -> list[str]:
        return trial.train_words(pruner)

    def _collected(self) -> Trial:
        trial = self._trial()
        shutil.copytree(self.reference.results, trial.results)
        return trial

    def _products(self, command: tuple[str, ...]) -> list[str]:
        if command == ("summarise",):
            return ["summary.csv", "store/summary.parquet", "store/epochs.parquet"]
        kinds = ("csv", "md", "tex") if command[0] == "table" else ("pdf", "png")
        return [f"{command[0]}s/{command[1]}.{kind}" for kind in kinds]

    def _undisturbed(self, trial: Trial, name: str, command: tuple[str, ...]) -> None:
        words = list(command) if "--config" in command else trial.words(*command)
        end = run(words, self.project.root)
        if end.code:
            raise SystemExit(f"without any fault, {' '.join(words)} fails: {end.said}")
        self.ends[(name,)] = end

    def _run(self, trial: Trial, name: str, words: list[str], fault: Fault) -> End:
        return run(words, self.project.root, fault)

    def _share(self, name: str) -> float:
        return self.chance.random() * self.ends[(name,)].processor_seconds

    def _death(self, name: str) -> Fault:
        if self.chance.random() < 0.5:
            return Fault(processor_seconds=self._share(name))
        return Fault(operation=self.chance.randint(1, self.ends[(name,)].operations))

    def _to_the_end(self, trial: Trial, pruner: str) -> list[str]:
        problems = _failed(run(self._train(trial, pruner), self.project.root))
        reference = self.reference.run_folder(pruner)
        problems += run_differences(reference, trial.run_folder(pruner))
        return problems + strays(trial.results, AFTER_TRAINING)

    def _collection_differences(self, trial: Trial) -> list[str]:
        ours, theirs = (
            contents(t.results, ("*.csv", "*.md", "*.tex", "*.png"))
            for t in (trial, self.reference)
        )
        problems = [f"{file} differs" for file in theirs if ours.get(file) != theirs[file]]
        return problems + strays(trial.results, (*AFTER_TRAINING, *COLLECTED))

    def _close(self, trial: Trial, stage: str, faults: int, problems: list[str]) -> None:
        self.tally.note(stage, int(faults), problems)
        if problems:
            return  # left to be looked at
        trial.remove()


def _failed(end: End) -> list[str]:
    return [f"exit status {end.code}: {end.said[-500:]}"] if end.code else []
