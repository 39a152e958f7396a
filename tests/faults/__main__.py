"""`make faults`: disturb hundreds of processes, and exit 1 if anything is not as without."""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from faults.process import ROOT, End, Fault, import_everything, run
from faults.project import (
    MAY_STAY,
    PRUNERS,
    Project,
    Trial,
    contents,
    run_differences,
    steady_table,
    strays,
    training_times,
)

# Who is struck by what, and how often in a campaign of a hundred deaths.
STAGES = {
    "training": ("training", "death", 50),
    "preparation": ("preparation", "death", 16),
    "collection": ("collection", "death", 20),
    "block": ("block", "death", 6),
    "snakemake": ("snakemake", "death", 8),
    "signal": ("training", "signal", 10),
    "signal, block": ("block", "signal", 5),
    "damaged checkpoint": ("training", "damaged checkpoint", 10),
    "full disk, training": ("training", "full disk", 5),
    "full disk, collection": ("collection", "full disk", 5),
}
BLOCK = "toy/stid/s0"
SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}
INTERRUPTED = "stprune: interrupted; the same command continues where it stopped"
# How often a run is killed on its way, at most.
DEATHS = 3


class Campaign:
    """Trials in a project, each struck by faults and brought to its end by the same command."""

    def __init__(self, folder: Path, seed: int, victims: set[str]) -> None:
        self.project = Project(folder)
        self.chance = random.Random(seed)  # noqa: S311 - moments, no secrets
        self.tried: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.trials = 0
        self.reference = reference = self.project.trial("reference")
        # How long commands take that nothing happens to, and their operations on files.
        self.ends = {"preparation": self._undisturbed(reference.words("data", "prepare", "toy"))}
        self.ends["training"] = self._undisturbed(reference.train_words("el2n"))
        self.ends["block"] = self._undisturbed(reference.words("train-block", BLOCK))
        collecting = [self._undisturbed(words) for words in _collecting(reference)]
        self.ends["collection"] = max(collecting, key=lambda end: end.seconds)
        if "snakemake" in victims:
            words = self._snakemake(self.project.trial("undisturbed"))
            self.ends["snakemake"] = self._undisturbed(words)

    def strike(self, stage: str) -> None:
        """One trial: faults, the same command again, and a look at what there is then."""
        victim, injury, _ = STAGES[stage]
        trial, words = self._victim(victim)
        struck, problems, trained = 0, list[str](), dict[str, float]()
        deaths = self.chance.randint(1, DEATHS) if victim == "training" else 1
        for _ in range(deaths if injury == "death" else 1):
            end = run(words, self.project.root, self._fault(victim, injury))
            hit, found = self._judge(injury, trial, end)
            struck += hit
            problems += found + trained_again(trial, trained)
            trained = training_times(trial.results)
        end = run(words, self.project.root)
        problems += [f"exit status {end.code}: {end.said[-500:]}"] if end.code else []
        problems += trained_again(trial, trained) + self._differences(victim, trial, words)
        self.tried[stage] += max(struck, bool(problems))
        self.lost[stage] += max(struck, 1) if problems else 0
        sys.stderr.writelines(f"{stage}: {problem}\n" for problem in problems)
        trial.remove()

    def _victim(self, kind: str) -> tuple[Trial, list[str]]:
        """A new trial, and the command in it that is to be struck."""
        self.trials += 1
        name = f"trial{self.trials}"
        if kind == "preparation":
            trial = self.project.trial(name, data_directory=f"trials/{name}/data")
            data = self.project.root / "trials" / name / "data"
            data.mkdir(parents=True)
            shutil.copy(self.project.root / "data" / "toy.yaml", data)
            return trial, trial.words("data", "prepare", "toy")
        trial = self.project.trial(name)
        if kind == "training":
            return trial, trial.train_words(self.chance.choice(list(PRUNERS)))
        if kind == "block":
            return trial, trial.words("train-block", BLOCK)
        if kind == "snakemake":
            return trial, self._snakemake(trial)
        shutil.copytree(self.reference.results, trial.results)
        return trial, self.chance.choice(_collecting(trial))

    def _snakemake(self, trial: Trial) -> list[str]:
        target = str((trial.results / "summary.csv").relative_to(self.project.root))
        words = ["--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
        return ["snakemake", *words, "--configfile", trial.config.name, "--", target]

    def _fault(self, victim: str, injury: str) -> Fault:
        end = self.ends[victim]
        seconds = self.chance.random() * end.seconds
        if injury == "full disk":
            # From below the smallest file of a run to above the largest.
            return Fault(file_limit=int(10 ** self.chance.uniform(1.5, 5.0)))
        if injury == "signal":
            # Not before there is anybody to be told.
            number, alone = self.chance.choice(list(SIGNALS)), self.chance.random() < 0.5
            return Fault(max(0.1, seconds), number=number, alone=alone)
        if victim in ("block", "snakemake"):
            return Fault(seconds, alone=self.chance.random() < 0.3)
        if self.chance.random() < 0.5:
            return Fault(seconds)
        return Fault(operation=self.chance.randint(1, end.operations))

    def _judge(self, injury: str, trial: Trial, end: End) -> tuple[bool, list[str]]:
        """Whether the fault struck, and what is wrong right after it."""
        problems = []
        if injury == "signal":
            struck = end.code in SIGNALS.values()
            if end.code and (end.last_line != INTERRUPTED or "Traceback" in end.said):
                problems.append(f"exit status {end.code}: {end.said[-300:]}")
            half = ("checkpoints/*/last.pt", "checkpoints/*/previous.pt")
            return struck, problems + strays(trial.results, (*MAY_STAY, *half))
        if injury == "full disk":
            line = end.last_line
            if end.code and (end.code != 1 or "cannot be written: File too large" not in line):
                problems.append(f"exit status {end.code}: {end.said[-300:]}")
            problems += [f"left behind: {p}" for p in trial.results.rglob(".*.partial*")]
            return end.code == 1, problems
        killed = end.code == -signal.SIGKILL
        return (killed and self._damage(trial)) if injury != "death" else killed, []

    def _damage(self, trial: Trial) -> bool:
        """Cut the last checkpoint or change a bit of it, if there is one before it."""
        for last in trial.results.glob("checkpoints/**/last.pt"):
            if last.with_name("previous.pt").exists():
                content = bytearray(last.read_bytes())
                if self.chance.random() < 0.5:
                    content = content[: self.chance.randrange(len(content))]
                else:
                    content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
                last.write_bytes(content)
                return True
        return False

    def _differences(self, victim: str, trial: Trial, words: list[str]) -> list[str]:
        """What a trial that came to its end has not as the reference has it."""
        if victim == "preparation":
            folders = self.project.root / "trials" / trial.name / "data", self.project.root / "data"
            here, there = (contents(folder, ".npy", ".json", ".csv") for folder in folders)
            files = {*here, *there}
            return [f"{file} differs" for file in files if here.get(file) != there.get(file)]
        pruners = [name for name in PRUNERS if victim != "training" or name in words]
        problems = []
        for pruner in pruners:
            problems += run_differences(*(t.run_folder(pruner) for t in (self.reference, trial)))
        if victim == "snakemake":
            tables = [steady_table(t.results / "summary.csv") for t in (self.reference, trial)]
            problems += ["summary.csv differs"] if tables[0] != tables[1] else []
        if victim == "collection":
            here, there = (
                contents(t.results, ".csv", ".md", ".tex", ".png") for t in (trial, self.reference)
            )
            problems += [f"{file} differs" for file in there if here.get(file) != there[file]]
        return problems + strays(trial.results)

    def _undisturbed(self, words: list[str]) -> End:
        end = run(words, self.project.root)
        if end.code:
            raise SystemExit(f"without any fault, {' '.join(words)} fails: {end.said}")
        return end


def _collecting(trial: Trial) -> list[list[str]]:
    return [trial.words("summarise"), ["products", str(trial.results)]]


def trained_again(trial: Trial, before: dict[str, float]) -> list[str]:
    """Runs that were finished before and have trained since."""
    now = training_times(trial.results)
    return [f"trained again: {run}" for run in before if now.get(run, before[run]) != before[run]]


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="deaths to try (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES], help="only these")
    parsed = parser.parse_args(words)
    os.environ["PYTHONPATH"] = str(ROOT)
    import_everything()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stprune-faults-") as folder:
        victims = {STAGES[stage][0] for stage in parsed.stages}
        campaign = Campaign(Path(folder), parsed.seed, victims)
        for stage in parsed.stages:
            wanted = max(1, round(parsed.kills * STAGES[stage][2] / 100))
            # Some faults come too late, or fit on the disk.
            while campaign.tried[stage] < wanted:
                campaign.strike(stage)
            lost = campaign.lost[stage]
            sys.stdout.write(f"{stage:<24}{campaign.tried[stage]:>6} tried{lost:>6} lost\n")
            sys.stdout.flush()
    tried, lost, seconds = campaign.tried.total(), campaign.lost.total(), time.monotonic() - start
    sys.stdout.write(f"{'all':<24}{tried:>6} tried{lost:>6} lost\n")
    sys.stdout.write(f"{seconds:.0f} s, seed {parsed.seed}\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
