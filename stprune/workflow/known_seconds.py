"""What a window of each cell of an experiment costs: as recorded, else as measured, else scaled.

``records``: this processor has trained a run of the cell with these settings. ``measured``: on
made-up data, now or before. ``scaled``: in proportion to the values of a window, from the nearest
size of the same backbone; graph products grow faster than that, so it may be far too little.
``no training``: there is nothing to measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stprune.backbones.base import BACKBONES
from stprune.base.layout import DataLayout, ExperimentLayout, step_seconds_file
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout
from stprune.data.card import load_card
from stprune.records.run import RunRecord, read_epochs, read_record
from stprune.training.provenance import environment
from stprune.workflow.made_up_data import nodes_of
from stprune.workflow.step_seconds import Setting, StepSeconds, measure_all, read_kept, write_kept


def run_nodes(spec: RunSpec, data: DataLayout) -> int:
    """N; of a union, of its largest data set."""
    if not spec.subset.union:
        return nodes_of(load_card(spec.dataset, data.root), spec.subset)
    return max(nodes_of(load_card(m.dataset, data.root), m) for m in spec.subset.union)


def known_seconds(
    config: ExperimentConfig,
    specs: Mapping[tuple[str, str], RunSpec],
    nodes: Mapping[str, int],
    seconds: float,
) -> dict[tuple[str, str], tuple[StepSeconds | None, str]]:
    """What a window of each cell costs, and where that is from.

    Args:
        config: The experiment.
        specs: One run of each cell, by data set and backbone.
        nodes: N, by data set.
        seconds: For how long to measure what is not known.

    Returns:
        By cell; None if it is not known, with the reason in place of the source.
    """
    data, file = data_layout(config), step_seconds_file(config.results_directory)
    found: dict[tuple[str, str], tuple[StepSeconds | None, str]] = {}
    waiting: dict[tuple[str, str], Setting] = {}
    kept = read_kept(file)
    for place, spec in specs.items():
        setting = Setting(spec, nodes[place[0]])
        recorded = recorded_seconds(spec, experiment_layout(config))
        if not BACKBONES.load(spec.backbone).trains:
            found[place] = StepSeconds(train=0, evaluate=0, parameters=0, batch=1), "no training"
        elif recorded is not None:
            found[place] = recorded, "records"
        elif (step := kept.get(setting.key(data))) is not None:
            found[place] = step, "measured"
        else:
            waiting[place] = setting
    places, settings = list(waiting), list(waiting.values())
    measured = measure_all(settings, data, seconds)
    for position, result in measured.items():
        if isinstance(result, StepSeconds):
            found[places[position]] = result, "measured"
            if result.undisturbed:
                kept[settings[position].key(data)] = result
        else:
            found[places[position]] = None, result
    if measured:
        write_kept(file, kept)
    known = {place: step for place, (step, _) in found.items() if step is not None and step.train}
    sizes = {place: Setting(spec, nodes[place[0]]).values for place, spec in specs.items()}
    for place in places:
        found.setdefault(place, _scaled(place, known, sizes))
    return found


def _scaled(
    place: tuple[str, str],
    known: Mapping[tuple[str, str], StepSeconds],
    sizes: Mapping[tuple[str, str], int],
) -> tuple[StepSeconds | None, str]:
    """In proportion to the values of a window, from the nearest size of the same backbone."""
    same = [other for other in known if other[1] == place[1]]
    if not same:
        return None, "not measured yet"
    ratios = {other: sizes[place] / sizes[other] for other in same}
    nearest = min(same, key=lambda other: max(ratios[other], 1 / ratios[other]))
    step, ratio = known[nearest], ratios[nearest]
    changes = {"train": step.train * ratio, "evaluate": step.evaluate * ratio}
    return step.model_copy(update=changes), "scaled"


def recorded_seconds(
    spec: RunSpec, layout: ExperimentLayout, *, any_machine: bool = False
) -> StepSeconds | None:
    """What a window cost the first run of the same cell and settings that has a record.

    Args:
        spec: A run of the cell.
        layout: Where the records lie.
        any_machine: Take one of another processor too.
    """
    for metrics, record in records_like(spec, layout):
        here = record.environment.get("processor") == environment()["processor"]
        if not (any_machine or here):
            continue
        epochs = read_epochs(metrics.with_name("epochs.csv"))
        validated = epochs["validation_mae"].count()
        validation = record.data.get("validation_windows")
        worked = (epochs["data_seconds"] + epochs["step_seconds"]).sum()
        if not validation or not validated or not worked:
            continue
        return StepSeconds(
            train=worked / epochs["windows"].sum(),
            evaluate=epochs["validation_seconds"].sum() / validated / validation,
            parameters=record.parameters,
            batch=spec.training.batch_size,
        )
    return None


def records_like(spec: RunSpec, layout: ExperimentLayout) -> Iterator[tuple[Path, RunRecord]]:
    """Records of the same data set, backbone and settings, and their files."""
    wanted = _timed_settings(spec.resolved())
    for metrics in sorted(layout.run(spec.key).parents[2].glob("*/p*/s*/metrics.json")):
        record = read_record(metrics)
        if _timed_settings(record.config) == wanted:
            yield metrics, record


def _timed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("history", "horizon", "batch_size", "evaluation_batch_size")
    training = {name: config.get("training", {}).get(name) for name in names}
    return {name: config.get(name) for name in ("dataset", "backbone", "compute")} | training
