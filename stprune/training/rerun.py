"""A run made again from its record alone, in a folder of its own, and compared with the record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stprune.base.errors import RecordError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import data_layout, experiment_layout, run_spec
from stprune.data.prepare import prepare
from stprune.records.kept import read_kept
from stprune.records.run import RunRecord, read_epochs
from stprune.training.provenance import run_checksum
from stprune.training.run import RunListener, train

RESULTS = (
    *("test", "scores_by_rule", "test_groups", "transfer", "validation_mae", "best_epoch"),
    *("parameters", "cost", "data"),
)
# These depend on the clock, or on what else is in memory.
MEASURED = ("_seconds", "_joules", "_bytes")
CIRCUMSTANCES = ("fingerprint", "config", "source_digest", "environment")
# Where the second run took place does not matter.
IGNORED = ("environment.cores", "environment.energy")


@dataclass(frozen=True)
class Change:
    """A value that differs between two runs; its name is its place, such as `test.mae`."""

    name: str
    then: Any
    now: Any

    @property
    def relative(self) -> float:
        """Relative difference of two numbers; infinite for other values."""
        if not all(isinstance(value, int | float) for value in (self.then, self.now)):
            return math.inf
        return float(abs(self.now - self.then) / max(abs(self.then), abs(self.now)))

    @property
    def in_words(self) -> str:
        """Both values on one line."""
        texts = (str(value) for value in (self.then, self.now))
        then, now = (text if len(text) <= 32 else f"{text[:32]}..." for text in texts)
        return f"{self.name}: {then} then, {now} now"


@dataclass(frozen=True)
class Difference:
    """Two runs side by side.

    Args:
        numbers: How many values of the results both have.
        results: Those that differ, the largest difference first.
        circumstances: What else differs.
        not_compared: Files that one of the two does not have.
        one_sided: Values that only one of the two has, because versions record different ones.
    """

    numbers: int
    results: tuple[Change, ...]
    circumstances: tuple[Change, ...]
    not_compared: tuple[str, ...]
    one_sided: tuple[str, ...] = ()

    @property
    def bit_equal(self) -> bool:
        """Whether every number that both have is the same, to the last bit."""
        return not self.results


def rerun(
    metrics: Path,
    record: RunRecord,
    config: ExperimentConfig,
    listeners: Sequence[RunListener] = (),
) -> Difference:
    """Train a run again and compare the two.

    Args:
        metrics: The record's file; the epochs and kept windows beside it are compared too.
        record: Its content.
        config: From :func:`config_of_record`.
        listeners: Called as the run proceeds.

    Raises:
        RecordError: If the run's data are not those of the record, or there is a record of it
            where the new one would be.
        StpruneError: If a data set is not available, or the run cannot be trained.
    """
    key = RunKey(record.dataset, record.backbone, record.pruner, record.prune_ratio, record.seed)
    again = experiment_layout(config).metrics(key)
    if again.exists():
        raise RecordError(f"{again} is there already; give a folder without records")
    spec, layout = run_spec(config, key), data_layout(config)
    for card in spec.cards:
        if not (layout.processed(card) / "meta.json").exists():
            prepare(card, layout, config.mirror, progress=True, cards=layout.root)
    recorded, present = record.data.get("checksum"), run_checksum(spec, layout)
    if present != recorded:
        raise RecordError(
            f"{metrics} was made from {', '.join(spec.cards)} with checksum {recorded}, but what"
            f" {layout.root} holds has {present}; give the record's data by --data-directory"
        )
    return compare_runs((record, metrics), (train(config, key, listeners), again))


def config_of_record(
    record: RunRecord, where: str, data_directory: Path, results_directory: Path
) -> ExperimentConfig:
    """The configuration of one run: the inverse of :meth:`stprune.config.grid.RunSpec.resolved`.

    Args:
        record: The record.
        where: Names its file in messages.
        data_directory: Where the data sets are, or will be.
        results_directory: Where the run is made again.

    Raises:
        ConfigError: If this version cannot run it: an option or a component is gone.
        RecordError: If the record does not say what was run.
    """
    resolved = record.config
    try:
        dataset, backbone, pruner = (dict(resolved[k]) for k in ("dataset", "backbone", "pruner"))
        names = [part.pop("name") for part in (dataset, backbone, pruner)]
        ids = [part.pop("id") for part in (dataset, backbone, pruner)]
        if not dataset.get("union"):
            dataset["dataset"] = ids[0]
        values = {
            "experiment": record.experiment,
            "datasets": {names[0]: dataset},
            "backbones": {names[1]: backbone | {"backbone": ids[1]}},
            "pruners": {names[2]: pruner | {"pruner": ids[2]}},
            "prune_ratios": [resolved["prune_ratio"]],
            "seeds": [resolved["seed"]],
            "training": resolved["training"],
            "compute": resolved["compute"],
            **({"protocol": resolved["protocol"]} if "protocol" in resolved else {}),
            "data_directory": str(data_directory),
            "results_directory": str(results_directory),
            "tracking": {"mode": "disabled"},
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{where} does not say what was run: `config` lacks {error}") from None
    return parse_config(values, where)


def compare_runs(then: tuple[RunRecord, Path], now: tuple[RunRecord, Path]) -> Difference:
    """Compare two records with the files they are in, and the epochs and kept windows beside.

    Raises:
        RecordError: If a file beside them is damaged.
    """
    first, second = (_flat(record, RESULTS) for record, _ in (then, now))
    missing = []
    for name in ("epochs.csv", "kept.npz"):
        files = [metrics.with_name(name) for _, metrics in (then, now)]
        if all(file.exists() for file in files):
            first |= _beside(files[0])
            second |= _beside(files[1])
        else:
            missing.append(name)
    both = first.keys() & second.keys()
    results = [change for change in _changes(first, second) if change.name in both]
    around = [_flat(record, CIRCUMSTANCES) for record, _ in (then, now)]
    return Difference(
        numbers=len(both),
        results=tuple(sorted(results, key=lambda change: -change.relative)),
        circumstances=tuple(c for c in _changes(*around) if not c.name.startswith(IGNORED)),
        not_compared=tuple(missing),
        one_sided=tuple(name for name in dict.fromkeys((*first, *second)) if name not in both),
    )


def difference_text(difference: Difference, shown: int = 10) -> str:
    """How the second run differs from the record, a line each; of numbers the first ``shown``."""
    lines = []
    if difference.bit_equal:
        lines.append(f"bit-equal: all {difference.numbers} numbers of the results")
    for change in difference.results[:shown]:
        relative = "" if change.relative > 1e9 else f" (by {change.relative:.2g} of it)"
        lines.append(f"differs: {change.in_words}{relative}")
    if len(difference.results) > shown:
        lines.append(f"differs: {len(difference.results) - shown} more")
    lines += [f"not compared: {name}, which is not beside it" for name in difference.not_compared]
    if difference.one_sided:
        some = ", ".join(dict.fromkeys(name.partition(".")[0] for name in difference.one_sided))
        count = len(difference.one_sided)
        lines.append(f"not compared: {count} numbers that only one of the records has ({some})")
    lines += [f"other circumstances: {change.in_words}" for change in difference.circumstances]
    return "".join(f"{line}\n" for line in lines)


def _flat(record: RunRecord, names: tuple[str, ...]) -> dict[str, Any]:
    """Every plain value of these parts of a record, by its place."""
    values = record.model_dump(mode="json")
    return dict(item for name in names for item in _items(values[name], name))


def _beside(file: Path) -> dict[str, Any]:
    """Every value of the epochs or of the kept windows beside a record, by its place."""
    if file.suffix == ".csv":
        return dict(_items(read_epochs(file).to_dict("records"), "epochs"))
    archive = read_kept(file)
    windows = [" ".join(map(str, np.flatnonzero(row))) for row in archive.kept]
    scores = archive.score_quantiles.tolist()
    return dict(_items({"windows": windows, "deciles of scores": scores}, "kept"))


def _items(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _items(inner, f"{name}.{key}")
    elif not name.endswith(MEASURED):
        yield name, value


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*then, *now)):
        first, second = then.get(name, "absent"), now.get(name, "absent")
        both_nan = first != first and second != second
        if first != second and not both_nan:
            yield Change(name, first, second)
