"""What a block of runs asks of a cluster: minutes and memory, by what runs like them took before.

A window's cost is that of a record of the same data set, backbone and settings, on any machine. How
many windows a run visits is counted from its pruner and budget, so that a heavily pruned run asks
for less time than a full one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from itertools import islice

from stprune.backbones.base import BACKBONES
from stprune.base.errors import StpruneError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_spec
from stprune.workflow.cost import WindowCost, recorded_costs, run_windows, run_workload
from stprune.workflow.estimate import data_bytes

# A node may be slower or busier than the one that was measured. A run that is ended by its time
# limit goes on from its checkpoint, so what is asked for need not be what the worst case takes.
TIME_FACTOR = 3.0
# Starting Python and torch on a busy shared disk, and the wait for cores.
START_MINUTES = 10
UNKNOWN_MINUTES = 720
MEMORY_FACTOR = 1.5
# Snakemake runs beside the training, twice, with all that its rules import.
BESIDE_MB = 800
UNKNOWN_MB = 4000
# Records of a cell that are read; seeds hardly differ.
RECORDS = 20


class RunRequests:
    """Requests of an experiment's runs.

    Args:
        config: The experiment.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.layout, self.data = experiment_layout(config), data_layout(config)

    def minutes(self, keys: Iterable[RunKey], attempt: int = 1) -> int:
        """Minutes for runs one after another; more with each attempt."""
        work = sum(self._minutes(key._replace(seed=0)) for key in keys)
        return attempt * (START_MINUTES + math.ceil(work))

    def megabytes(self, dataset: str, backbone: str, attempt: int = 1) -> int:
        """Memory for a run; twice as much with each attempt, for one may have been too little."""
        peak = max((cost.peak_bytes for cost in self._costs(dataset, backbone)), default=0)
        if peak:
            wanted = BESIDE_MB + MEMORY_FACTOR * peak / 1e6
        else:
            # The series and its mask may be in memory twice while they are opened.
            cards = self._cell(dataset, backbone).cards
            wanted = UNKNOWN_MB + 2 * sum(data_bytes(card, self.data) for card in cards) / 1e6
        return int(2 ** (attempt - 1)) * 100 * math.ceil(wanted / 100)

    @cache  # noqa: B019 - there is one plan, as long as its process
    def _minutes(self, key: RunKey) -> float:
        spec = run_spec(self.config, key)
        costs = self._costs(key.dataset, key.backbone)
        if BACKBONES.load(spec.backbone).trains and not costs:
            return UNKNOWN_MINUTES
        try:
            work = run_workload(spec, run_windows(spec, self.data))
        except StpruneError:
            # The run's own log says what is wrong with it.
            return UNKNOWN_MINUTES
        return TIME_FACTOR * costs[0].seconds(work) / 60 if costs else 0.0

    @cache  # noqa: B019
    def _costs(self, dataset: str, backbone: str) -> list[WindowCost]:
        costs = recorded_costs(self._cell(dataset, backbone), self.layout, any_machine=True)
        return list(islice(costs, RECORDS))

    def _cell(self, dataset: str, backbone: str) -> RunSpec:
        """A run on the data set with the backbone; which one does not matter."""
        pruner = next(iter(self.config.pruners))
        return run_spec(self.config, RunKey(dataset, backbone, pruner, 0.0, 0))
