"""A block that is told to end, interrupted or killed keeps checkpoints and goes on from them."""

import signal
import subprocess
import sys
import time

import psutil
import pytest
import toy
from test_workflow import RUN, Project, assert_same_run, copy_project

from stprune.__main__ import main
from stprune.base.layout import DataLayout
from stprune.data.prepare import prepare
from stprune.records.run import read_record

LONG = {
    "pruners": {"st_prune": None},
    "seeds": [0],
    "training": {"epochs": 50, "batch_size": 8},
    # A run must not wait for whatever else holds cores on this machine.
    "compute": {"own_cores": False},
}
WORDS = ("-m", "stprune", "train-block", "toy/stid/s0", "--config", "ended.yaml")


def start(project: Project) -> subprocess.Popen[str]:
    """Start the block and wait until it has trained on."""
    checkpoints = project.root / "results" / "ended" / "checkpoints"

    def written() -> list[int]:
        return [path.stat().st_mtime_ns for path in checkpoints.rglob("last.pt")]

    before = written()
    options = {"cwd": project.root, "env": project.environment, "text": True}
    process = subprocess.Popen([sys.executable, *WORDS], stderr=subprocess.PIPE, **options)
    limit = time.monotonic() + 300
    while written() in ([], before):
        assert process.poll() is None, "it ended before it could be disturbed"
        assert time.monotonic() < limit
        time.sleep(0.02)
    return process


@pytest.mark.slow
def test_a_block_that_is_ended_again_and_again_continues_to_the_same_bits(tmp_path):
    project = copy_project(tmp_path)
    data, results = project.root / "data", project.root / "results"
    prepare(toy.DATASET, DataLayout(data), str(project.root / "mirror"))
    project.configure("ended", **LONG)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process = start(project)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
        assert "Traceback" not in said
        assert psutil.wait_procs(below, timeout=60)[1] == []
        assert not list(results.glob("ended/runs/**/metrics.json"))
    done = project.python(*WORDS)
    assert done.returncode == 0, done.stderr
    places = {"data_directory": str(data), "results_directory": str(results)}
    project.configure("undisturbed", **LONG, **places)
    assert main(["train", "--config", str(project.root / "undisturbed.yaml"), *RUN]) == 0
    assert_same_run(results / "ended", results / "undisturbed")
    (metrics,) = results.glob("ended/runs/**/metrics.json")
    assert read_record(metrics).resumed == 3
