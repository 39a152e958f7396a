"""Training on a union of data sets: every batch is of one, on its own graph and scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from stprune.config.grid import RunSpec
from stprune.data.dataset import ForecastData
from stprune.data.union import UnionData
from stprune.data.union_store import Part, UnionStore
from stprune.data.windows import Batch
from stprune.pruning.base import Pruner, PruningContext, Selection, absolute_errors
from stprune.pruning.batch_order import EpochOrder, order_epoch
from stprune.pruning.per_dataset import PerDatasetPruner
from stprune.records.run import Scores
from stprune.training.engine import Engine
from stprune.training.evaluation import evaluate_union, pooled
from stprune.training.metric_rules import RuleSums, rule_scores
from stprune.training.metrics import ErrorSums


class UnionEngine(Engine):
    """Trains one run on several data sets.

    With ``loss_units: real`` losses and scores are errors in each data set's own unit, as in the
    published pre-training; with ``standardised`` each is divided by the standard deviation of
    its data set's training inputs, so that units do not decide which windows are hard. The
    validation error, which the best weights have the lowest of, is pooled in the same units.
    Test errors are pooled in real units always.

    Args:
        spec: The run.
        data: The union, on the fabric's device.
        fabric: Device, precision and number of processes.
    """

    def __init__(self, spec: RunSpec, data: UnionData, fabric: Fabric) -> None:
        self.union, self.part = data, data.train.parts[0]
        self.standardised = spec.subset.loss_units == "standardised"
        # Of the same form wherever the loop looks; what is not is overridden here.
        super().__init__(spec, cast(ForecastData, data), fabric)

    def _build_pruner(self, context: PruningContext) -> Pruner:
        context = replace(context, adjacency=None)
        if self.spec.quota == "per_dataset":
            return PerDatasetPruner(context, self.union.train, super()._build_pruner)
        return super()._build_pruner(context)

    def _order(self, selection: Selection) -> EpochOrder:
        return order_epoch(
            selection,
            self.spec.training.batch_size,
            self.order_rng,
            self.fabric.device,
            self.union.train.firsts,
        )

    def _enter(self, group: int) -> None:
        self.part = self.union.train.parts[group]
        self.network.use_graph(self.part.name, self.part.adjacency)
        self.pruner.enter(group)

    def _gather(self, indices: Tensor) -> Batch:
        return self.part.store.gather(indices - self.part.first)

    def _errors(self, forecast: Tensor, batch: Batch) -> Tensor:
        restored = self.part.store.scaler.restore(forecast)
        errors = absolute_errors(restored, batch.targets, batch.mask)
        return errors / _deviation(self.part) if self.standardised else errors

    def validation_mae(self) -> float:
        """Error on the validation windows, by the rule that chooses the best epoch."""
        sums = self._evaluate_union(self.union.validation)
        if not self.standardised:
            return pooled(list(sums.values())).mae()
        return standardised_mae(self.union.validation, sums)

    def _test(self) -> tuple[dict[str, Scores], dict[str, float | None]]:
        rules = {part.name: self._rule_sums(part.store) for part in self.union.test.parts}
        sums = self._evaluate_union(self.union.test, rules)
        by_member = {name: part.scores().mae for name, part in sums.items()}
        paper = pooled(list(sums.values())).scores()
        return {"paper": paper, **rule_scores(list(rules.values()))}, by_member

    def _evaluate_union(
        self, store: UnionStore, rules: Mapping[str, RuleSums] | None = None
    ) -> dict[str, ErrorSums]:
        size = self.spec.training.evaluation_batch_size
        return evaluate_union(self.network, store, size, self.fabric, rules)


def standardised_mae(store: UnionStore, sums: Mapping[str, ErrorSums]) -> float:
    """Pooled masked MAE, each error over the deviation of its data set; NaN if none is observed."""
    rows = [(sums[part.name].sums.sum(1), _deviation(part)) for part in store.parts]
    total = torch.stack([row[0] / deviation for row, deviation in rows]).sum()
    return float(total / torch.stack([row[2] for row, _ in rows]).sum())


def _deviation(part: Part) -> Tensor:
    return part.store.scaler.std[part.store.target_channel]


NO_SCORING_MODELS = ", which is not done on a union of data sets; take a dynamic pruner"
