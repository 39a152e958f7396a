"""What the workflow's rules need to know: which files there are to be and what they depend on.

The rules themselves only name files, so everything here can be tested without Snakemake.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stprune.backbones.base import BACKBONES
from stprune.base import atomic
from stprune.base.layout import RUN_PATTERN, RunKey, store_files
from stprune.config.experiment import parse_config
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.data.card import card_path, load_card, local_paths
from stprune.data.tasks.base import TASKS
from stprune.paper.figures import FIGURES, STYLE_SHEET
from stprune.paper.tables import TABLES
from stprune.pruning.base import PRUNERS
from stprune.training.provenance import dataset_sources, import_closure, run_sources, source_digest

if TYPE_CHECKING:
    from stprune.workflow.requests import RunRequests

PACKAGE = Path(__file__).parents[1]
CANONICAL_FILES = (
    "series.npy",
    "mask.npy",
    "timestamps.npy",
    "adjacency.npy",
    "nodes.json",
    "events.csv",
    "meta.json",
)


class WorkflowPlan:
    """Files, parameters and resources of the rules, from one configuration.

    Args:
        values: The configuration as Snakemake holds it.

    Raises:
        ConfigError: If it is not a valid configuration.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.config = parse_config(dict(values), "the configuration")
        self.layout = experiment_layout(self.config)
        self.data = data_layout(self.config)
        self.keys = run_keys(self.config)

    def write_config(self) -> None:
        """Write the resolved configuration that the commands of the rules read."""
        text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        path = self.layout.config
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            atomic.write_text(path, text)

    def processed(self, dataset: str) -> list[str]:
        """Canonical files of a data set (an id or a wildcard)."""
        return [str(self.data.processed(dataset) / name) for name in CANONICAL_FILES]

    def dataset_card(self, wildcards: Any) -> str:
        """The card of ``wildcards.dataset``."""
        return str(card_path(wildcards.dataset, self.data.root))

    def dataset_code(self, wildcards: Any) -> list[str]:
        """Source files that the canonical data set depends on."""
        return [
            str(path)
            for path in dataset_sources(load_card(wildcards.dataset, self.data.root).format)
        ]

    def dataset_files(self, wildcards: Any) -> list[str]:
        """The user's own raw files of the data set that are there."""
        card = load_card(wildcards.dataset, self.data.root)
        return [str(path) for path in local_paths(card, self.data)]

    def log(self, name: str) -> str:
        """Log of a rule after training."""
        return str(self.layout.root / "logs" / f"{name}.log")

    def benchmark(self, name: str) -> str:
        """Snakemake's own wall time and memory of a rule after training."""
        return str(self.layout.root / "benchmarks" / f"{name}.tsv")

    def data_log(self, dataset: str) -> str:
        """Log of preparing a data set."""
        return str(self.data.root / "processed" / "logs" / f"{dataset}.log")

    def data_benchmark(self, dataset: str) -> str:
        """Snakemake's own wall time and memory of preparing a data set."""
        return str(self.data.root / "processed" / "benchmarks" / f"{dataset}.tsv")

    def run_file(self, name: str, folder: str = "runs") -> str:
        """Pattern of a file of a run, with the wildcards of ``RUN_PATTERN``."""
        return str(self.layout.root / folder / RUN_PATTERN / name)

    def run_data(self, wildcards: Any) -> list[str]:
        """The files whose being there means that the run's data sets are ready."""
        return self._prepared(wildcards.dataset)

    def run_code(self, wildcards: Any) -> list[str]:
        """Source files of the run's own backbone, pruner and task."""
        spec = self._cell(wildcards)
        return self._components(spec.backbone, spec.pruner, spec.subset.task)

    def run_digest(self, wildcards: Any) -> str:
        """Changes with any source file that the run depends on, imports followed."""
        spec = self._cell(wildcards)
        return self._digest(spec.backbone, spec.pruner, spec.subset.task)

    def run_fingerprint(self, wildcards: Any) -> str:
        """Changes when, and only when, the run's own configuration does."""
        fingerprint = self._cell_fingerprint(*_cell_name(wildcards))
        return f"{fingerprint} p{wildcards.prune_ratio} s{wildcards.seed}"

    @property
    def records(self) -> list[str]:
        """The record of every run."""
        return [str(self.layout.metrics(key)) for key in self.keys]

    @property
    def run_epochs(self) -> list[str]:
        """The epochs of every run."""
        return [str(self.layout.run_epochs(key)) for key in self.keys]

    @property
    def summaries(self) -> list[str]:
        """The store that everything after training reads, and the summary for people."""
        return [str(self.layout.summary), *map(str, store_files(self.layout.store))]

    def figure_code(self, wildcards: Any) -> list[str]:
        """Source files of a figure, and the style sheet."""
        return [*_closure(FIGURES.path(wildcards.name)), str(STYLE_SHEET)]

    def table_code(self, wildcards: Any) -> list[str]:
        """Source files of a table."""
        return _closure(TABLES.path(wildcards.name))

    @property
    def summary_code(self) -> list[str]:
        """Source files of the summary."""
        return _closure(PACKAGE / "results" / "summarise.py")

    @property
    def report_code(self) -> list[str]:
        """Source files of the report and its templates."""
        templates = map(str, sorted((PACKAGE / "paper" / "templates").iterdir()))
        return [*_closure(*(PACKAGE / "paper" / "report").glob("*.py")), *templates]

    @property
    def figures(self) -> list[str]:
        """Every figure in both formats."""
        names = FIGURES.ids()
        return [str(self.layout.figure(name, kind)) for name in names for kind in ("pdf", "png")]

    @property
    def tables(self) -> list[str]:
        """Every table in all formats."""
        names = TABLES.ids()
        kinds = ("csv", "md", "tex")
        return [str(self.layout.table(name, kind)) for name in names for kind in kinds]

    @property
    def products(self) -> list[str]:
        """What the experiment is for."""
        return [*self.summaries, *self.tables, *self.figures, str(self.layout.report)]

    @property
    def run_threads(self) -> int:
        """Threads of a run: of all its processes, where its devices are processes."""
        compute = self.config.compute
        return compute.threads * (compute.devices if compute.accelerator == "cpu" else 1)

    @property
    def run_gpus(self) -> int:
        """Devices that a run takes from the scheduler."""
        compute = self.config.compute
        return 0 if compute.accelerator == "cpu" else compute.devices

    def run_minutes(self, wildcards: Any, attempt: int) -> int:
        """Minutes that a run asks a cluster for."""
        return self._requests.minutes(_run_key(wildcards), attempt)

    def run_megabytes(self, wildcards: Any, attempt: int) -> int:
        """Memory that a run asks a cluster for; more after an attempt that failed."""
        return self._requests.megabytes(_run_key(wildcards), attempt)

    @cached_property
    def _requests(self) -> RunRequests:
        # Imported late: it loads the engine, which a plan without runs does not need.
        from stprune.workflow.requests import RunRequests

        return RunRequests(self.config)

    # A grid has thousands of runs but few cells: what its runs share is found out once.

    def _cell(self, wildcards: Any) -> RunSpec:
        """The first run of the same data set, backbone and pruner."""
        return self._cell_of(*_cell_name(wildcards))

    @cache  # noqa: B019 - there is one plan, as long as its process
    def _cell_of(self, dataset: str, backbone: str, pruner: str) -> RunSpec:
        return run_spec(self.config, RunKey(dataset, backbone, pruner, 0.0, 0))

    @cache  # noqa: B019
    def _cell_fingerprint(self, dataset: str, backbone: str, pruner: str) -> str:
        return self._cell_of(dataset, backbone, pruner).fingerprint

    @cache  # noqa: B019
    def _prepared(self, dataset: str) -> list[str]:
        cards = self.config.datasets[dataset].cards(dataset)
        return [str(self.data.processed(card) / "meta.json") for card in cards]

    @cache  # noqa: B019
    def _components(self, backbone: str, pruner: str, task: str) -> list[str]:
        paths = BACKBONES.path(backbone), PRUNERS.path(pruner), TASKS.path(task)
        return [str(path) for path in paths]

    @cache  # noqa: B019
    def _digest(self, backbone: str, pruner: str, task: str) -> str:
        return source_digest(run_sources(backbone, pruner, task))


def _cell_name(wildcards: Any) -> tuple[str, str, str]:
    return wildcards.dataset, wildcards.backbone, wildcards.pruner


def _run_key(wildcards: Any) -> RunKey:
    ratio, seed = float(wildcards.prune_ratio), int(wildcards.seed)
    return RunKey(*_cell_name(wildcards), ratio, seed)


def _closure(*start: Path) -> list[str]:
    return [str(path) for path in import_closure(list(start))]
