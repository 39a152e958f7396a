"""Every shipped card, from a mirror of short files to a trained run, through the real workflow.

The files are in the published format; the cards are the shipped ones but for sizes and hashes. A
new card needs a way to make such files, or this fails.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import made_up_files
import pytest
import shortened_simulations
import yaml

from stprune.__main__ import main
from stprune.base.layout import DataLayout, ExperimentLayout, RunKey
from stprune.data.canonical import read_canonical
from stprune.data.card import DatasetCard, dataset_ids, load_card
from stprune.records.run import read_epochs

# A minute or two on two idle cores, most of it the start of fifty processes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[1]
# The way to make short files of each format.
WAYS: dict[str, Callable[[str, Path], DatasetCard]] = {
    **dict.fromkeys(made_up_files.WAYS, made_up_files.fabricate),
    **dict.fromkeys(shortened_simulations.DAYS, shortened_simulations.fabricate),
}
# So many nodes, or a few more, are trained on.
NODES = 16


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What the workflow, run once on every card that there is a way to make, left and said."""
    root = tmp_path_factory.mktemp("every_card")
    data = root / "data"
    data.mkdir()
    entries = {}
    for dataset in dataset_ids():
        make = WAYS.get(load_card(dataset).format)
        if make is None:
            continue
        card = make(dataset, root / "mirror")
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
        "mirror": str(root / "mirror"),
    }
    (root / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    words = f"--cores 2 --keep-going --snakefile {ROOT}/Snakefile --directory {root}"
    words += f" --configfile {root}/config.yaml --until train"
    # Whatever mirror the user has.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STPRUNE_MIRROR": ""}
    command = [sys.executable, "-m", "snakemake", *words.split()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return root, done.stdout + done.stderr


@pytest.mark.parametrize("dataset", dataset_ids())
def test_a_card_leads_to_a_trained_run(workflow: tuple[Path, str], dataset: str) -> None:
    shipped = load_card(dataset)
    assert shipped.format in WAYS, f"`WAYS` has no way to make short files of {shipped.format}"
    root, output = workflow
    layout = ExperimentLayout(root / "results/every_card")
    key = RunKey(dataset, "stid", "full", 0.0, 0)
    log = root / "data/processed/logs" / f"{dataset}.log"
    why = f"{dataset} was not trained:\n{log.read_text() if log.is_file() else output[-3000:]}"
    assert layout.metrics(key).is_file(), why
    assert len(read_epochs(layout.run_epochs(key))) == 1
    scores = json.loads(layout.metrics(key).read_text())["test"]
    assert all(math.isfinite(scores[error]) for error in ("mae", "rmse"))
    prepared = read_canonical(DataLayout(root / "data").processed(dataset))
    card = prepared.card
    assert prepared.series.shape == (card.steps, card.nodes, len(card.channels))
    changed = {name for name, value in shipped if getattr(card, name) != value}
    made_small = {"title", "description", "nodes", "steps", "start", "files", "options"}
    assert changed <= made_small, "all else is as shipped"
    words = ["data", "verify", dataset, "--data-directory", str(root / "data")]
    assert main(words) == 0
