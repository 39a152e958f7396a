"""A run made again from its record alone, in a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stprune.base.errors import RecordError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_spec
from stprune.data.prepare import prepare
from stprune.records.run import RunRecord
from stprune.training.events import RunListener
from stprune.training.provenance import run_checksum
from stprune.training.rerun_difference import Difference, compare_runs
from stprune.training.run import train


def rerun(
    metrics: Path,
    record: RunRecord,
    config: ExperimentConfig,
    listeners: Sequence[RunListener] = (),
) -> Difference:
    """Train a run again and compare the two.

    Args:
        metrics: The record's file; what lies beside it (epochs, kept windows) is compared too.
        record: What it says.
        config: As :func:`config_of_record` makes it.
        listeners: Are told how the run goes.

    Raises:
        RecordError: If the run's data are not those of the record, or there is a record of it
            where the new one would be.
        StpruneError: If a data set is not to be had, or the run cannot be trained.
    """
    key = key_of_record(record)
    again = experiment_layout(config).metrics(key)
    if again.exists():
        raise RecordError(f"{again} is there already; give a folder without records")
    spec = run_spec(config, key)
    _get_data(metrics, record, spec, config)
    made = train(config, key, listeners)
    return compare_runs((record, metrics), (made, again))


def key_of_record(record: RunRecord) -> RunKey:
    """Address of a recorded run."""
    return RunKey(record.dataset, record.backbone, record.pruner, record.prune_ratio, record.seed)


def config_of_record(
    record: RunRecord, where: str, data_directory: Path, results_directory: Path
) -> ExperimentConfig:
    """The configuration of one run that a record was made from.

    Args:
        record: The record.
        where: Names its file in messages.
        data_directory: Holds the data sets, or will.
        results_directory: Where the run is made again.

    Raises:
        ConfigError: If this version cannot run it: an option or a component is gone.
        RecordError: If the record does not say what was run.
    """
    try:
        values = _values(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{where} does not say what was run: `config` lacks {error}") from None
    values |= {
        "data_directory": str(data_directory),
        "results_directory": str(results_directory),
        "tracking": {"mode": "disabled"},
    }
    return parse_config(values, where)


def _values(record: RunRecord) -> dict[str, Any]:
    """The inverse of :meth:`stprune.config.grid.RunSpec.resolved`."""
    resolved = record.config
    dataset, backbone, pruner = (dict(resolved[kind]) for kind in ("dataset", "backbone", "pruner"))
    names = [part.pop("name") for part in (dataset, backbone, pruner)]
    if not dataset.get("union"):
        dataset["dataset"] = dataset["id"]
    del dataset["id"]
    backbone["backbone"], pruner["pruner"] = backbone.pop("id"), pruner.pop("id")
    protocol = {"protocol": resolved["protocol"]} if "protocol" in resolved else {}
    return {
        "experiment": record.experiment,
        "datasets": {names[0]: dataset},
        "backbones": {names[1]: backbone},
        "pruners": {names[2]: pruner},
        "prune_ratios": [resolved["prune_ratio"]],
        "seeds": [resolved["seed"]],
        "training": resolved["training"],
        "compute": resolved["compute"],
        **protocol,
    }


def _get_data(metrics: Path, record: RunRecord, spec: RunSpec, config: ExperimentConfig) -> None:
    """Prepare the run's data sets where they are not there yet, and refuse others.

    Raises:
        RecordError: If their checksum is not the record's.
    """
    layout = data_layout(config)
    for card in spec.cards:
        if not (layout.processed(card) / "meta.json").exists():
            prepare(card, layout, config.mirror, progress=True, cards=layout.root)
    wanted, found = record.data.get("checksum"), run_checksum(spec, layout)
    if found != wanted:
        raise RecordError(
            f"{metrics} was made from {', '.join(spec.cards)} with checksum {wanted}, but what"
            f" {layout.root} holds has {found}; give the record's data by --data-directory"
        )
