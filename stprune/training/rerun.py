"""A finished run from its record: its model opened, or the run made again and compared."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.errors import CheckpointError, ConfigError, RecordError
from stprune.base.layout import DataLayout, experiment_root
from stprune.config.experiment import ExperimentConfig, load_config, parse_config
from stprune.config.grid import data_layout, experiment_layout, run_spec
from stprune.data.prepare import prepare
from stprune.data.windows import WindowStore
from stprune.records.kept import read_kept
from stprune.records.run import RunRecord, read_epochs, read_record
from stprune.training.checkpoint import load_checkpoint
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine
from stprune.training.provenance import run_checksum
from stprune.training.run import RunListener, open_run_data, train

RESULTS = {
    *("test", "scores_by_rule", "test_groups", "transfer", "validation_mae", "best_epoch"),
    *("parameters", "cost", "data"),
}
# These depend on the clock, or on what else is in memory.
MEASURED = ("_seconds", "_joules", "_bytes")
CIRCUMSTANCES = {"fingerprint", "config", "source_digest", "environment"}
# Where the second run took place does not matter.
IGNORED = ("environment.cores", "environment.energy")
# Windows times nodes whose errors are kept; of a larger split every k-th window is taken.
KEPT_ERRORS = 2**24
# Other devices and numbers of threads sum in another order.
SAME = 1e-3
# Results that a report of differences shows, the largest differences first.
SHOWN = 10


class Change(NamedTuple):
    """A value that differs between two runs, named by its place, such as `test.mae`."""

    name: str
    then: Any
    now: Any

    @property
    def relative(self) -> float:
        """Relative difference of two numbers; infinite for other values."""
        if not (isinstance(self.then, int | float) and isinstance(self.now, int | float)):
            return math.inf
        return abs(self.now - self.then) / max(abs(self.then), abs(self.now))

    def __str__(self) -> str:
        return f"{self.name}: {str(self.then)[:32]} then, {str(self.now)[:32]} now"


class Difference(NamedTuple):
    """Two runs side by side."""

    numbers: int  # how many values of the results both have
    results: list[Change]  # those that differ, the largest difference first
    circumstances: list[Change]  # what else differs
    not_compared: list[str]  # what only one has, because a file or a field of a version is missing

    @property
    def bit_equal(self) -> bool:
        """Whether every number that both have is the same, to the last bit."""
        return not self.results

    def text(self) -> str:
        """How the second run differs from the record, a line each."""
        equal = f"bit-equal: all {self.numbers} numbers of the results"
        some = f"differ: {len(self.results)} of {self.numbers} numbers of the results"
        lines = [f"differs: {change}" for change in self.results[:SHOWN]]
        lines.append(equal if self.bit_equal else some)
        if self.not_compared:
            parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in self.not_compared))
            lines.append(f"not compared: {len(self.not_compared)} values of {parts}")
        lines += [f"other circumstances: {change}" for change in self.circumstances]
        return "".join(f"{line}\n" for line in lines)


def rerun(
    metrics: Path,
    record: RunRecord,
    config: ExperimentConfig,
    listeners: Sequence[RunListener] = (),
) -> Difference:
    """Train the run of ``record``, whose file is ``metrics``, again by ``config`` and compare.

    Raises RecordError if the data are not those of the record, or the new record exists already.
    """
    key = record.key
    again = experiment_layout(config).metrics(key)
    if again.exists():
        raise RecordError(f"{again} is there already; give a folder without records")
    spec, layout = run_spec(config, key), data_layout(config)
    for card in spec.cards:
        if not (layout.processed(card) / "meta.json").exists():
            prepare(card, layout, config.mirror)
    recorded, present = record.data.get("checksum"), run_checksum(spec.cards, layout)
    if present != recorded:
        made = f"{metrics} was made from {', '.join(spec.cards)} with checksum {recorded}"
        advice = "give the record's data by --data-directory"
        raise RecordError(f"{made}, not the {present} that {layout.root} holds; {advice}")
    return compare_runs((record, metrics), (train(config, key, listeners), again))


def config_of_record(
    record: RunRecord, where: str, data_directory: Path, results_directory: Path
) -> ExperimentConfig:
    """The configuration of one run: the inverse of :meth:`stprune.config.grid.RunSpec.resolved`.

    Messages name the record as ``where``. Raises ConfigError if this version cannot run it, and
    RecordError if it does not say what was run.
    """
    resolved = record.config
    try:
        entries = {}
        for kind in ("dataset", "backbone", "pruner"):
            entry = dict(resolved[kind])
            name, component = entry.pop("name"), entry.pop("id")
            own = {} if entry.get("union") else {kind: component}
            entries[f"{kind}s"] = {name: entry | own}
        values = {
            "experiment": record.experiment,
            **entries,
            "prune_ratios": [resolved["prune_ratio"]],
            "seeds": [resolved["seed"]],
            "training": resolved["training"],
            "compute": resolved["compute"],
            "protocol": resolved.get("protocol", "paper"),
            "data_directory": str(data_directory),
            "results_directory": str(results_directory),
            "tracking": {"mode": "disabled"},
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{where} does not say what was run: `config` lacks {error}") from None
    return parse_config(values, where)


def compare_runs(then: tuple[RunRecord, Path], now: tuple[RunRecord, Path]) -> Difference:
    """Compare two records with their files, and the epochs and kept windows beside these."""
    first, second = _results(*then), _results(*now)
    both = first.keys() & second.keys()
    results = [change for change in _changes(first, second) if change.name in both]
    results.sort(key=lambda change: -change.relative)
    around = (record.model_dump(mode="json", include=CIRCUMSTANCES) for record, _ in (then, now))
    changes = _changes(*(dict(_items(values)) for values in around))
    circumstances = [change for change in changes if not change.name.startswith(IGNORED)]
    missing = [name for name in first | second if name not in both]
    return Difference(len(both), results, circumstances, missing)


def _results(record: RunRecord, metrics: Path) -> dict[str, Any]:
    """Every value of the results, the epochs and the kept windows of a run, by its place."""
    values = record.model_dump(mode="json", include=RESULTS)
    table, archive = metrics.with_name("epochs.csv"), metrics.with_name("kept.npz")
    if table.exists():
        values["epochs"] = read_epochs(table).to_dict("records")
    if archive.exists():
        kept = read_kept(archive)
        windows = [" ".join(map(str, np.flatnonzero(row))) for row in kept.kept]
        values["kept"] = {"windows": windows, "deciles of scores": kept.score_quantiles.tolist()}
    return dict(_items(values))


def _items(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Plain values with their places; what was measured is left out."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _items(inner, f"{name}.{key}" if name else key)
    elif not name.endswith(MEASURED):
        yield name, value


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name in {**then, **now}:
        change = Change(name, then.get(name, "absent"), now.get(name, "absent"))
        if repr(change.then) != repr(change.now):  # by which NaN equals NaN
            yield change


def open_recorded_model(
    metrics: Path, config_path: Path | None = None, data_directory: Path | None = None
) -> Engine:
    """The engine of a run on one data set, with the best-validation weights kept beside its record.

    The configuration is by default the one that the workflow wrote beside the runs. Raises a
    StpruneError if record, configuration, weights or data are missing or do not fit each other.
    """
    record, path = read_record(metrics), config_path or experiment_root(metrics) / "config.yaml"
    if not path.exists():
        raise ConfigError(f"there is no {path}; name the configuration of the run with --config")
    config, key = load_config(path), record.key
    spec = run_spec(config, key)
    if spec.subset.union:
        raise ConfigError(f"run {key.path} is of a union; take one of a single data set")
    layout = DataLayout(data_directory or config.data_directory)
    identity = {
        "configuration": spec.fingerprint,
        "source code": record.source_digest,
        "data": run_checksum(spec.cards, layout),
    }
    weights, reason = load_checkpoint(metrics.with_name("weights.pt"), identity)
    if weights is None:
        problem = f"the weights of {metrics} cannot be used ({reason})"
        advice = "name its configuration and data, or train it again with `keep_weights: true`"
        raise CheckpointError(f"{problem}: {advice}")
    fabric = fabric_on(spec.compute)
    engine = Engine(spec, open_run_data(spec, layout, fabric.device), fabric)
    try:
        engine.network.load_state_dict(weights)
        mae = engine.validation_mae()
    except RuntimeError:  # a weight is missing, or of another shape
        mae = math.nan
    if not math.isclose(mae, record.validation_mae, rel_tol=SAME):
        numbers = f"{mae:.6g}, not the {record.validation_mae:.6g} of the record"
        problem = f"its weights have a validation MAE of {numbers}: the code has changed since"
        raise RecordError(f"run {key.path}: {problem}; train the run again")
    return engine


def node_errors(
    engine: Engine, split: Literal["train", "validation", "test"]
) -> tuple[NDArray[np.float64], int]:
    """Mean absolute errors of a split's windows at nodes, (n, N), real units.

    NaN where no target was observed. The second value is k if every k-th window is taken.
    """
    ((name, data),) = engine.members
    whole: WindowStore = getattr(data, split)
    nodes = data.adjacency.shape[0]
    stride = math.ceil(len(whole) * nodes / KEPT_ERRORS)
    store = whole.split(range(0, len(whole), stride))
    sums = torch.zeros(len(store), nodes, device=store.device)
    counts = torch.zeros_like(sums)

    def observe(indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        sums[indices] = errors.float().sum(1)
        counts[indices] = mask.expand_as(errors).sum(1).float()

    engine.evaluate(name, data, store, observe)
    means = torch.where(counts > 0, sums / counts.clamp(min=1), math.nan)
    return means.double().cpu().numpy(), stride
