"""What a run's rule depends on: its own configuration and sources, found out once a cell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from stprune.base.layout import RunKey, format_ratio
from stprune.config.experiment import ExperimentConfig, load_config
from stprune.config.grid import run_keys
from stprune.training.provenance import REPOSITORY, run_sources, source_digest
from stprune.workflow.plan import WorkflowPlan


def wildcards() -> Any:
    """Those of one run."""
    run = {"dataset": "toy", "backbone": "stid", "pruner": "st_prune"}
    return SimpleNamespace(**run, prune_ratio="0.5", seed="0")


def of(key: RunKey) -> Any:
    values = key._asdict() | {"prune_ratio": format_ratio(key.prune_ratio), "seed": str(key.seed)}
    return SimpleNamespace(**values)


def test_each_run_has_a_fingerprint_of_its_own(all_pruners: ExperimentConfig) -> None:
    plan = WorkflowPlan(all_pruners.model_dump(mode="json"))
    keys = run_keys(all_pruners)
    assert len({plan.run_fingerprint(of(key)) for key in keys}) == len(keys)


def test_an_option_changes_only_the_fingerprints_that_it_concerns(
    toy_values: dict[str, Any],
) -> None:
    before = WorkflowPlan(toy_values)
    toy_values["pruners"]["random_dynamic"] = None
    toy_values["seeds"] = [3, 0]
    toy_values["prune_ratios"] = [0.1, 0.5]
    wider = WorkflowPlan(toy_values)
    assert before.run_fingerprint(wildcards()) == wider.run_fingerprint(wildcards())
    toy_values["pruners"]["st_prune"] = {"options": {"delta": 0.5}}
    other = WorkflowPlan(toy_values)
    assert before.run_fingerprint(wildcards()) != other.run_fingerprint(wildcards())
    toy_values["pruners"]["st_prune"] = None
    toy_values["training"]["epochs"] += 1
    longer = WorkflowPlan(toy_values)
    assert before.run_fingerprint(wildcards()) != longer.run_fingerprint(wildcards())


def test_sources_are_those_of_the_record(toy_values: dict[str, Any]) -> None:
    plan = WorkflowPlan(toy_values)
    assert plan.run_digest(wildcards()) == source_digest(run_sources("stid", "st_prune"))
    assert [
        Path(path).relative_to(REPOSITORY).as_posix() for path in plan.run_code(wildcards())
    ] == [
        "stprune/backbones/stid.py",
        "stprune/pruning/st_prune.py",
        "stprune/data/tasks/forecast.py",
    ]


def test_the_whole_study_has_every_published_data_set() -> None:
    config = yaml.safe_load((REPOSITORY / "config" / "paper.yaml").read_text())
    published = ("pems03", "pems04", "pems07", "pems08", "metr_la", "pems_bay", "urban_ev")
    large = ("largest_sd", "largest_gba", "largest_gla", "largest_ca")
    assert {*published, *large} <= set(config["datasets"])
    assert {"full", "full_fewer_epochs", "random_dynamic", "st_prune"} <= set(config["pruners"])
    # Every one is planned job by job: `snakemake -n` takes 2 ms for each of them.
    assert len(run_keys(load_config(REPOSITORY / "config" / "paper.yaml"))) < 10_000
