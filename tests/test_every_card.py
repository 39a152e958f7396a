"""Every shipped card, from an address to a trained run, through the real workflow.

The files are short, in the published format, and served over HTTP as a mirror; the cards are the
shipped ones but for sizes and hashes. A new card needs a way to make such files, or this fails.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import made_up_files
import pytest
import shortened_simulations
import yaml

from stprune.__main__ import main
from stprune.base.layout import DataLayout
from stprune.data.canonical import read_canonical
from stprune.data.card import DatasetCard, dataset_ids, load_card
from stprune.records.run import read_epochs

# A minute or two on two idle cores, most of it the start of fifty processes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[1]
Fabricate = Callable[[str, Path], DatasetCard]
# The way to make short files of each format.
WAYS: dict[str, Fabricate] = {
    **dict.fromkeys(made_up_files.WAYS, made_up_files.fabricate),
    "simulated_charging": shortened_simulations.fabricate,
    "simulated_freeway": shortened_simulations.fabricate,
}
# So many nodes, or a few more, are trained on.
NODES = 16


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path_factory.mktemp("mirror")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Workflow:
    """What one run of the workflow on all cards left.

    Args:
        root: Holds ``data`` and ``results``.
        said: What Snakemake and its rules said.
    """

    root: Path
    said: str

    def run(self, dataset: str) -> Path:
        """Folder of the run on one card."""
        folder = self.root / "results/every_card/runs" / dataset / "stid/full/p0/s0"
        done = (folder / "metrics.json").is_file()
        assert done, f"{dataset} was not trained:\n{self.told(dataset)}\n{self.said[-2000:]}"
        return folder

    def told(self, dataset: str) -> str:
        """What preparing and training said."""
        logs = (
            self.root / "data/processed/logs" / f"{dataset}.log",
            self.root / "results/every_card/logs" / dataset / "stid/full/p0/s0/train.log",
        )
        return "".join(log.read_text() for log in logs if log.is_file())


@pytest.fixture(scope="module")
def workflow(mirror: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow, run once on every card that there is a way to make."""
    served, address = mirror
    root = tmp_path_factory.mktemp("every_card")
    data = root / "data"
    data.mkdir()
    entries = {}
    for dataset in dataset_ids():
        make = WAYS.get(load_card(dataset).format)
        if make is None:
            continue
        card = make(dataset, served)
        text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False)
        (data / f"{dataset}.yaml").write_text(text, encoding="utf-8")
        entries[dataset] = {"node_stride": max(1, card.nodes // NODES)}
    config = {
        "experiment": "every_card",
        "datasets": entries,
        "backbones": {"stid": {"options": {"series_width": 8, "node_width": 8}}},
        "pruners": {"full": None},
        "prune_ratios": [0.0],
        "seeds": [0],
        "training": {"epochs": 1, "batch_size": 64},
        "compute": {"own_cores": False},
        "tracking": {"mode": "disabled"},
        "mirror": address,
    }
    (root / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return Workflow(root, snakemake(root))


def snakemake(root: Path) -> str:
    """Prepare and train all with the Snakefile of the project; what it said."""
    # Whatever mirror and proxy the user has.
    variables = {"PYTHONPATH": str(ROOT), "STPRUNE_MIRROR": "", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(root)]
    command += ["--configfile", str(root / "config.yaml"), "--until", "train"]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("dataset", dataset_ids())
def test_a_card_leads_to_a_trained_run(workflow: Workflow, dataset: str) -> None:
    shipped = load_card(dataset)
    assert shipped.format in WAYS, f"`WAYS` has no way to make short files of {shipped.format}"
    run = workflow.run(dataset)
    assert len(read_epochs(run / "epochs.csv")) == 1
    scores = json.loads((run / "metrics.json").read_text())["test"]
    assert all(math.isfinite(scores[error]) for error in ("mae", "rmse"))
    prepared = read_canonical(DataLayout(workflow.root / "data").processed(dataset))
    card = prepared.card
    assert prepared.series.shape == (card.steps, card.nodes, len(card.channels))
    changed = {key for key, value in shipped if getattr(card, key) != value}
    made_small = {"title", "description", "nodes", "steps", "start", "files", "options"}
    assert changed <= made_small, "all else is as shipped"
    assert {role: _address(file) for role, file in card.files.items()} == {
        role: _address(file) for role, file in shipped.files.items()
    }


@pytest.mark.parametrize("dataset", dataset_ids())
def test_what_was_fetched_and_prepared_verifies(
    workflow: Workflow, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = workflow.root / "data"
    assert main(["data", "verify", dataset, "--data-directory", str(data)]) == 0
    assert capsys.readouterr().out == f"{dataset}: all is right\n"


def _address(file: Any) -> Any:
    """What says where a file is to be had, without its hash."""
    return file.model_dump(exclude={"git_blob_sha1", "sha256"})
