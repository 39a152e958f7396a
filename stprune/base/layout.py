"""The only place that knows where results and data lie.

``results/<experiment>/`` holds ``runs/<dataset>/<backbone>/<pruner>/p<ratio>/s<seed>/``
(``metrics.json``, ``epochs.csv``, ``kept.npz``, perhaps ``weights.pt``), the same tree under
``checkpoints/`` while a run is under way, ``timing/``, ``summary.csv``, ``store/``, ``tables/``,
``figures/``, ``report.html``, ``config.yaml``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

RUN_PATTERN = "{dataset}/{backbone}/{pruner}/p{prune_ratio}/s{seed}"
RUN_DEPTH = len(Path(RUN_PATTERN).parts)
# What is kept of our own experiments, and what is known of the data sets themselves.
RECORDS = Path("paper_figures/records")
DATA = "data"
# What is made of the kept experiments lies in the results directory under this name.
PAPER = "paper"
STORE_TABLES = ("summary", "epochs", "records", "calendars", "overlaps", "deciles", "timings")


class RunKey(NamedTuple):
    """What addresses a run within an experiment; the names are those of the configuration."""

    dataset: str
    backbone: str
    pruner: str
    prune_ratio: float
    seed: int

    @property
    def path(self) -> str:
        """Relative folder of the run, and its identity everywhere."""
        named = self._asdict() | {"prune_ratio": format_ratio(self.prune_ratio)}
        return RUN_PATTERN.format(**named)


def format_ratio(ratio: float) -> str:
    """A prune ratio as it stands in paths: shortest form, ``0`` for none."""
    return f"{ratio:.6g}"


def experiment_root(metrics: Path) -> Path:
    """Folder of the experiment that the record ``metrics`` is of, if it is where it was written."""
    parents = metrics.resolve().parents
    return parents[min(RUN_DEPTH + 1, len(parents) - 1)]


def recorded_runs(results: Path) -> list[Path]:
    """``metrics.json`` of all finished runs of all experiments in a results directory, sorted."""
    return sorted(results.glob("/".join(["*", "runs", *["*"] * RUN_DEPTH, "metrics.json"])))


class ExperimentLayout:
    """Paths of one experiment below ``root`` = ``<results_directory>/<experiment>``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.yaml"  # the resolved configuration of the last start
        self.summary = root / "summary.csv"  # one row a run, for people
        self.store = root / "store"  # Parquet tables of all runs; a copy keeps the experiment
        self.report = root / "report.html"
        self.tracking = root / "wandb"  # offline files of Weights & Biases

    @property
    def headline(self) -> tuple[Path, Path, Path]:
        """What to look at first: the main table, the trade-off plot, the report."""
        return self.table("main", "md"), self.figure("tradeoff", "png"), self.report

    def run(self, key: RunKey) -> Path:
        """Folder of a run's record."""
        return self.root / "runs" / key.path

    def metrics(self, key: RunKey) -> Path:
        """The run's record; its being there means that the run is complete."""
        return self.run(key) / "metrics.json"

    def kept(self, key: RunKey) -> Path:
        """Which windows each epoch of the run kept."""
        return self.run(key) / "kept.npz"

    def checkpoint(self, key: RunKey) -> Path:
        """State of a run under way, outside what Snakemake may delete."""
        return self.root / "checkpoints" / key.path / "last.pt"

    def train_log(self, key: RunKey) -> Path:
        """What training the run said."""
        return self.root / "logs" / key.path / "train.log"

    def timing(self, dataset: str, backbone: str) -> Path:
        """What epochs take there; every timed epoch stands in the csv beside it."""
        return self.root / "timing" / dataset / f"{backbone}.json"

    def block(self, path: str) -> Path:
        """Stamp of a block of runs: when it was written, each of them had a valid record."""
        return self.root / "blocks" / f"{path}.json"

    def table(self, name: str, extension: str) -> Path:
        """A table as ``csv``, ``md`` or ``tex``."""
        return self.root / "tables" / f"{name}.{extension}"

    def figure(self, name: str, extension: str) -> Path:
        """A figure as ``pdf`` or ``png``."""
        return self.root / "figures" / f"{name}.{extension}"


@dataclass(frozen=True)
class DataLayout:
    """Paths of data sets below ``root`` = ``<data_directory>``."""

    root: Path

    def raw(self, dataset: str, role: str, file_name: str) -> Path:
        """A downloaded file."""
        return self.root / "raw" / dataset / role / file_name

    def processed(self, dataset: str) -> Path:
        """Folder of the canonical data set."""
        return self.root / "processed" / dataset

    def described(self, dataset: str) -> Path:
        """Folder of the data set's description."""
        return self.root / "described" / dataset


def store_table(store: Path, name: str) -> Path:
    """A table of an experiment's store: one of ``STORE_TABLES``."""
    return store / f"{name}.parquet"


def store_parts(store: Path) -> list[Path]:
    """The stores that make up ``store``: itself, or those in it of an experiment kept in parts."""
    return sorted(path.parent for path in store.glob("*/summary.parquet")) or [store]


def store_config(store: Path) -> Path:
    """The experiment's resolved configuration, without the paths of a machine."""
    return store / "config.yaml"


def store_files(store: Path) -> list[Path]:
    """Everything that a store holds."""
    return [*(store_table(store, name) for name in STORE_TABLES), store_config(store)]


def kept_hashes(store: Path) -> Path:
    """The hashes that the tables and figures of a kept experiment should have."""
    return store / "hashes.json"


def kept_experiments(records: Path) -> list[str]:
    """Names of the experiments that are kept below ``records``, whole or in parts, sorted."""
    tables = [*records.glob("*/summary.parquet"), *records.glob("*/*/summary.parquet")]
    return sorted({path.relative_to(records).parts[0] for path in tables})
