"""A short fault campaign, and faults that it does not draw at random."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from faults import process
from faults.process import SEARCHED, End, Fault, import_everything
from faults.project import Project, Trial, impossible_times, run_differences
from toy_runs import Command

from stprune.records.run import read_record

NOBODY = 65534


Run = Callable[..., End]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a command in a process of its own, forked from one that has no threads as this has."""
    with ProcessPoolExecutor(1, get_context("spawn"), import_everything) as pool:
        yield lambda *words: pool.submit(process.run, *words).result()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Project:
    """A project with its data prepared."""
    made = Project(tmp_path_factory.mktemp("faults"))
    words = made.trial("prepared").words("data", "prepare", "toy")
    assert run(words, made.root).code == 0
    return made


def one_line(end: End) -> str:
    """The error that a command ended with."""
    assert end.code == 1, end.said
    assert "Traceback" not in end.said
    assert end.last_line.startswith("stprune: error: ")
    return end.last_line.removeprefix("stprune: error: ")


@pytest.mark.slow
def test_a_short_campaign_loses_nothing():
    """In a process of its own, since it forks many that must not share threads with this one."""
    stages = ["training", "preparation", "collection", "block", "signal", "signal, block"]
    words = ["--kills", "4", "--stages", *stages, "damaged checkpoint", "full disk, training"]
    command, environment = [sys.executable, "-m", "faults", *words], {**os.environ, **SEARCHED}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^all +\d+ tried +0 lost$", done.stdout, re.MULTILINE)


def test_a_campaign_notices_what_is_lost(project, run):
    trial = project.trial("noticed")
    run(trial.train_words("full"), project.root)
    folder = trial.run_folder("full")
    assert run_differences(folder, folder) == []
    metrics = folder / "metrics.json"
    values = json.loads(metrics.read_text())
    values["test"]["mae"] += 1e-12
    values["cost"]["test_seconds"] = -0.5
    reference = project.trial("reference")
    run(reference.train_words("full"), project.root)
    metrics.write_text(json.dumps(values))
    assert len(run_differences(reference.run_folder("full"), folder)) == 2


def test_memory_that_is_refused_is_told_with_the_run(project, run):
    wide = {"stid": {"options": {"series_width": 4096, "node_width": 4096}}}
    trial = project.trial("memory", backbones=wide, training={"epochs": 2, "batch_size": 300})
    end = run(trial.train_words("full"), project.root, Fault(memory_limit=400 * 2**20))
    assert "run toy/stid/full/p0/s0 is out of memory" in one_line(end)


@pytest.mark.parametrize(
    "command",
    [*("data prepare toy", "train", "summarise"), pytest.param("products", marks=pytest.mark.slow)],
)
def test_a_full_disk_is_a_line_and_leaves_no_file(project, run, summarised, command):
    """Each of these writes a file of more than 20 bytes first."""
    name = command.replace(" ", "_")
    changes = {"pruners": {"full": None}, "data_directory": f"trials/{name}/data"}
    trial = project.trial(name, **changes)
    data = project.root / "trials" / name / "data"
    shutil.copytree(project.root / "data", data)
    shutil.copytree(summarised.results, trial.results)
    words = trial.words(*command.split())
    if command == "products":
        words = [command, str(trial.results)]
    elif command == "data prepare toy":
        shutil.rmtree(data / "processed")
        shutil.rmtree(data / "raw")
    elif command == "train":
        words = trial.train_words("full")
        (trial.run_folder("full") / "metrics.json").unlink()
    before = set(project.root.rglob("*"))
    line = one_line(run(words, project.root, Fault(file_limit=20)))
    assert "File too large" in line
    assert str(trial.results.parent.relative_to(project.root)) in line
    new = {path.name for path in set(project.root.rglob("*")) - before if path.is_file()}
    assert new <= {".lock"}


@pytest.fixture(scope="module")
def summarised(project: Project, run: Run) -> Trial:
    """An experiment of one run, with its summary."""
    trial = project.trial("one_run", pruners={"full": None})
    for words in (trial.train_words("full"), trial.words("summarise")):
        assert run(words, project.root).code == 0
    return trial


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without rights")
def test_results_that_cannot_be_written_are_a_line(project, run):
    for folder in (project.root, *project.root.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/tmp"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o055)
    trial = project.trial("read_only")
    end = run(trial.train_words("full"), project.root, Fault(account=NOBODY))
    assert "cannot be written: Permission denied" in one_line(end)


def test_a_second_process_waits_for_the_first(project, run):
    """And finds the run done."""
    trial = project.trial("two", training={"epochs": 20, "batch_size": 32})
    files = [project.root / name for name in ("first", "second")]
    both = [Command([trial.train_words("full")], project.root, file, {}) for file in files]
    for command in both:
        command.start()
    ends = [command.end() for command in both]
    assert [code for code, _ in ends] == [0, 0], ends
    said = [text for _, text in ends]
    assert sorted("nothing to train" in text for text in said) == [False, True]
    assert sorted("epoch 1/20" in text for text in said) == [False, True]
    folder = trial.run_folder("full")
    assert read_record(folder / "metrics.json").resumed == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(trial.train_words("full"), project.root).code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_clock_that_jumps_gives_no_impossible_time(project, run):
    """Durations come from a clock that nobody sets."""
    trial = project.trial("clock")
    fault = Fault(jumping_clock=True)
    assert run(trial.train_words("st_prune"), project.root, fault).code == 0
    assert impossible_times(trial.run_folder("st_prune")) == []
