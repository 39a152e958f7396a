"""What the workflow's rules need to know: which files there are to be and what they depend on."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from stprune.base.errors import ConfigError, DataError
from stprune.base.files import naming_failure, write_text
from stprune.base.gpus import visible_gpus
from stprune.base.layout import DATA, PAPER, RECORDS, kept_experiments, kept_hashes, store_files
from stprune.base.registry import Registry
from stprune.config.experiment import parse_config
from stprune.config.grid import data_layout, experiment_layout, place_specs
from stprune.data.card import card_path, load_card, local_paths
from stprune.describe import FILES as DESCRIPTION_FILES
from stprune.paper import DATA_FIGURES, DATA_TABLES, FIGURES, STYLE_SHEET, TABLES
from stprune.training.provenance import dataset_sources, import_closure
from stprune.workflow.blocks import ExperimentRecords

if TYPE_CHECKING:
    from stprune.workflow.estimate import RunRequests

PACKAGE = Path(__file__).parents[1]
CANONICAL_FILES = (
    *("series.npy", "mask.npy", "timestamps.npy", "adjacency.npy"),
    *("nodes.json", "events.csv", "meta.json"),
)


class WorkflowPlan:
    """Files, parameters and resources of the rules; a ConfigError for a wrong configuration."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.config = parse_config(dict(values), "the configuration")
        self.layout, self.data = experiment_layout(self.config), data_layout(self.config)
        self._records = ExperimentRecords(self.config)
        self.blocks = self._records.blocks
        self.stamps = [self.block_stamp(path) for path in self.blocks]
        places = dict.fromkeys(key[:2] for keys in self.blocks.values() for key in keys)
        timed = places if self.config.timing.rounds else ()
        self.timings = [path for place in timed for path in self.timing(*place)]
        # The store that everything after training reads, and the summary for people.
        self.summaries = [str(self.layout.summary), *map(str, store_files(self.layout.store))]
        # What the experiment is for; first the stamps, so that a missing one is noticed.
        root = self.layout.root
        made = [self.layout.report, root / "tables", root / "figures"]
        self.products = [*self.stamps, *self.timings, *self.summaries, *map(str, made)]
        # Of rules after training, and of preparing data; benchmarks are Snakemake's own times.
        self.logs, self.benchmarks = root / "logs", root / "benchmarks"
        self.data_logs = self.data.root / "processed" / "logs"
        self.data_benchmarks = self.data.root / "processed" / "benchmarks"
        # Stores of kept experiments with descriptions of data sets, and what is made of them.
        kept = sorted(path for path in RECORDS.rglob("*.*") if path != kept_hashes(path.parent))
        self.kept = [str(path) for path in kept]
        self.paper_folder = self.config.results_directory / PAPER
        names = kept_experiments(RECORDS)
        self.paper_reports = [str(self.paper_folder / name / "report.html") for name in names]
        kinds = product([*names, DATA], ("tables", "figures"))
        self.paper_products = [str(self.paper_folder / name / kind) for name, kind in kinds]
        # A block has the runs on one GPU at a time, on as many as one of them is trained on.
        compute = self.config.compute
        self.block_threads = compute.threads * compute.devices * compute.runs_at_once
        self.block_gpus = 0 if compute.accelerator == "cpu" else compute.devices
        # Snakemake, which only counts GPUs, starts as many blocks as this machine has.
        self.local_gpus = max(1, len(visible_gpus())) if compute.accelerator == "cuda" else 1

    def write_config(self) -> None:
        """Write the resolved configuration that the commands of the rules read."""
        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        path = self.layout.config
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)

    def claim(self) -> None:
        """Keep other workflows out of the experiment for as long as this process lives.

        Snakemake's own lock is a file that outlives a killed one, so the profiles switch it off.
        Raises ConfigError if another one is at work there, WriteError if its folder is read-only.
        """
        path = self.layout.root / ".workflow.lock"
        self._lock = FileLock(path)
        try:
            with naming_failure(path):
                self.layout.root.mkdir(parents=True, exist_ok=True)
                self._lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(
                f"another Snakemake works in {self.layout.root}; wait for it or end it"
            ) from None

    def processed(self, dataset: str) -> list[str]:
        """Canonical files of a data set (an id or a wildcard)."""
        return [str(self.data.processed(dataset) / name) for name in CANONICAL_FILES]

    def dataset_card(self, wildcards: Any) -> str:
        """The card of ``wildcards.dataset``."""
        return str(card_path(wildcards.dataset, self.data.root))

    def dataset_code(self, wildcards: Any) -> list[str]:
        """Source files that the canonical data set depends on."""
        return _texts(dataset_sources(load_card(wildcards.dataset, self.data.root).format))

    def dataset_files(self, wildcards: Any) -> list[str]:
        """The user's own raw files of the data set that are there."""
        return _texts(local_paths(load_card(wildcards.dataset, self.data.root), self.data))

    def described(self, dataset: str) -> list[str]:
        """Files of a description of a data set (an id or a wildcard); tables lie beside them."""
        return [str(self.data.described(dataset) / name) for name in DESCRIPTION_FILES]

    def block_stamp(self, block: str) -> str:
        """What a block leaves for the workflow (of a path or wildcards)."""
        return str(self.layout.block(block))

    def timing(self, dataset: str, backbone: str) -> list[str]:
        """The record of a timing and its table (of names or wildcards)."""
        record = self.layout.timing(dataset, backbone)
        return [str(record), str(record.with_suffix(".csv"))]

    def block_data(self, wildcards: Any) -> list[str]:
        """Files that say that a block's data are ready, and a note if its records were outdated."""
        return self._ready(wildcards.dataset, self._records.outdated(_block_path(wildcards)))

    def timing_data(self, wildcards: Any) -> list[str]:
        """The same of a timing."""
        place = wildcards.dataset, wildcards.backbone
        return self._ready(wildcards.dataset, self._records.outdated_timing(*place))

    def _ready(self, dataset: str, note: Path | None) -> list[str]:
        cards = self.config.datasets[dataset].cards(dataset)
        files = [self.data.processed(card) / "meta.json" for card in cards]
        return _texts(files if note is None else [*files, note])

    @property
    def summary_code(self) -> list[str]:
        """Source files of the summary."""
        return _closure("results/summarise.py")

    @property
    def product_code(self) -> list[str]:
        """Source files of the tables, the figures and the report."""
        beside = [STYLE_SHEET, *sorted((PACKAGE / "paper" / "templates").iterdir())]
        return [*_closure("paper/products.py", FIGURES, TABLES), *_texts(beside)]

    @property
    def data_code(self) -> list[str]:
        """Source files of the tables and figures of the data sets."""
        return [*_closure("describe/products.py", DATA_FIGURES, DATA_TABLES), str(STYLE_SHEET)]

    def block_minutes(self, wildcards: Any, attempt: int) -> int:
        """Minutes that a block asks a cluster for."""
        path = _block_path(wildcards)
        try:
            keys = list(self._records.missing(path))
        except DataError:  # not prepared yet
            keys = self.blocks[path]
        return self._requests.minutes(keys, attempt)

    def timing_minutes(self, wildcards: Any, attempt: int) -> int:
        """Minutes that a timing asks a cluster for: those of all runs of one seed."""
        specs = place_specs(self.config, wildcards.dataset, wildcards.backbone)
        return self._requests.minutes([spec.key for spec in specs], attempt)

    def block_megabytes(self, wildcards: Any, attempt: int) -> int:
        """Memory that a block asks a cluster for; more after an attempt that failed."""
        each = self._requests.megabytes(wildcards.dataset, wildcards.backbone, attempt)
        return each * self.config.compute.runs_at_once

    @cached_property
    def _requests(self) -> "RunRequests":
        # Imported late: it loads the engine, which a plan without runs does not need.
        from stprune.workflow.estimate import RunRequests

        return RunRequests(self.config)


def _block_path(wildcards: Any) -> str:
    return f"{wildcards.dataset}/{wildcards.backbone}/{wildcards.part}"


def _closure(file: str, *registries: Registry[Any]) -> list[str]:
    """A file of the package and all components of the registries, with what they import."""
    start = [registry.path(name) for registry in registries for name in registry.ids()]
    return _texts(import_closure([PACKAGE / file, *start]))


def _texts(paths: Iterable[Path]) -> list[str]:
    return [str(path) for path in paths]
