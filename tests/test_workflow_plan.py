"""What the shipped grid of the whole study holds."""

from __future__ import annotations

import yaml

from stprune.config.experiment import load_config
from stprune.config.grid import run_keys
from stprune.training.provenance import REPOSITORY


def test_the_whole_study_has_every_published_data_set() -> None:
    config = yaml.safe_load((REPOSITORY / "config" / "paper.yaml").read_text())
    published = ("pems03", "pems04", "pems07", "pems08", "metr_la", "pems_bay", "urban_ev")
    large = ("largest_sd", "largest_gba", "largest_gla", "largest_ca")
    assert {*published, *large} <= set(config["datasets"])
    assert {"full", "full_fewer_epochs", "random_dynamic", "st_prune"} <= set(config["pruners"])
    # `snakemake -n` looks at the record of every one.
    assert len(run_keys(load_config(REPOSITORY / "config" / "paper.yaml"))) < 10_000
