"""The only training loop.

The series lives on the device; an epoch's order, its batches' errors and the pruner's scores
stay there too. The host waits for the device once an epoch.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stprune.config.grid import RunSpec
from stprune.data.dataset import ForecastData
from stprune.data.windows import Batch, WindowStore
from stprune.pruning.base import (
    PRUNERS,
    Observer,
    Probe,
    Pruner,
    PruningContext,
    Selection,
    absolute_errors,
)
from stprune.pruning.batch_order import EpochOrder, Gather, merge_window_state, order_epoch
from stprune.records.kept import KeptArchive
from stprune.records.run import EpochRecord, Scores
from stprune.training.budget import TrainingBudget
from stprune.training.devices import agreed
from stprune.training.divergence import refuse_divergence, refuse_no_validation_error
from stprune.training.engine_state import engine_state, restore_engine
from stprune.training.epoch_record import epoch_record
from stprune.training.error_groups import GroupErrors, window_groups
from stprune.training.evaluation import evaluate
from stprune.training.metric_rules import RULES, RuleSums
from stprune.training.metrics import ErrorSums
from stprune.training.micro_batch import parts, windows_at_a_time
from stprune.training.model import build_model
from stprune.training.optimisation import build_optimiser, build_scheduler, planned_steps
from stprune.training.outcome import Outcome
from stprune.training.timing import Clock


class Engine:
    """Trains one run, epoch by epoch; its whole state can be saved between epochs.

    Args:
        spec: The run.
        data: Its window stores, on the fabric's device.
        fabric: Device, precision and number of processes.
    """

    def __init__(self, spec: RunSpec, data: ForecastData, fabric: Fabric) -> None:
        self.spec, self.data, self.fabric = spec, data, fabric
        self.rules = RULES[spec.protocol]
        self.clock = Clock(fabric.device)
        torch.manual_seed(spec.key.seed)
        self.order_rng = np.random.default_rng([spec.key.seed, 1])
        self.network = build_model(spec, data, spec.key.seed)
        if fabric.global_rank:
            # Parts of a batch on several devices do not all drop the same units.
            seeds = np.random.SeedSequence([spec.key.seed, fabric.global_rank])
            torch.manual_seed(int(seeds.generate_state(1)[0]))
        self.model: nn.Module = self.network
        if self.network.trains:
            optimiser = build_optimiser(self.network, spec.optimisation)
            self.model, self.optimiser = fabric.setup(self.network, optimiser)
        else:
            # Nothing is learnt, but an optimiser cannot be without a parameter.
            self.network.to(fabric.device)
            self.optimiser = optimiser = build_optimiser(nn.Linear(1, 1), spec.optimisation)
        self.scheduler = build_scheduler(optimiser, spec.optimisation)
        self.micro_batch = None
        if not self.rules.whole_batches:
            asked = spec.compute.micro_batch
            self.micro_batch = windows_at_a_time(self.network, asked, fabric.device)
        context = PruningContext(
            windows=len(data.train),
            epochs=spec.training.epochs,
            prune_ratio=spec.key.prune_ratio,
            seed=spec.key.seed,
            device=fabric.device,
            store=data.train,
            adjacency=data.adjacency,
        )
        with self.clock.wall("preparation"):
            self.network.fit(data.train)
            self.pruner = self._build_pruner(context)
        self.records: list[EpochRecord] = []
        self.kept = KeptArchive(data.train_times)
        self.best_mae, self.best_epoch = math.inf, -1
        self.best_weights: dict[str, Tensor] = {}
        self.budget = TrainingBudget(spec.training, len(data.train))
        self.budget.plan(self.pruner, (), 0.0)
        self.preparation_seconds = 0.0
        self.checkpoint_seconds = 0.0
        self.batch_losses: list[Tensor] = []

    @property
    def epoch(self) -> int:
        """Number of the next epoch."""
        return len(self.records)

    @property
    def finished(self) -> bool:
        """Whether all planned epochs are trained, or patience has run out."""
        patience = self.spec.training.patience
        if patience is not None and self.records:
            since = [r for r in self.records[self.best_epoch + 1 :] if r.validation_mae is not None]
            if len(since) >= patience:
                return True
        return self.epoch >= self.planned_epochs

    @property
    def planned_epochs(self) -> int:
        """Epochs that the budget allows in all, as far as is known now."""
        if not self.network.trains:
            return 1
        return self.budget.planned_epochs(self.pruner)

    def prepare(self, probe: Probe) -> None:
        """Let the pruner score windows before training; charged to the run."""
        with self.clock.wall("preparation"):
            self.pruner.prepare(probe)
        self.preparation_seconds = agreed(self.fabric, self.clock.take()["preparation"])

    def train_epoch(self) -> EpochRecord:
        """Select, train, validate; returns the epoch's record, which is also kept.

        The one epoch of a backbone that does not train has no steps; its loss is what it comes
        to on the training windows.

        Raises:
            TrainingDivergedError: If the loss or the validation error is not finite any more.
        """
        start = time.perf_counter()
        self.data.train.begin_epoch(self.epoch)
        with self.clock.wall("selection"):
            selection = self.pruner.select(self.epoch)
            order = self._order(selection)
        ahead = range(self.epoch + 1, self.planned_epochs)
        size, drop_partial = self.spec.training.batch_size, self.rules.drops_partial_batches
        later_steps = planned_steps(self.pruner, ahead, size, drop_partial)
        self.scheduler.begin_epoch(len(order.sizes), later_steps)
        rate = self.optimiser.param_groups[0]["lr"]
        if not self.network.trains:
            order = replace(order, sizes=[])
            mean_loss = self._evaluate(self.data.train).mae()
        else:
            mean_loss = float(self._train_batches(order)) / len(order.sizes)
        self.clock.synchronise()
        train_seconds = time.perf_counter() - start
        refuse_divergence(mean_loss, self.batch_losses, self.spec.key, self.epoch)
        self.kept.add(order.indices, self.pruner.window_state.get("scores"))
        validation_mae = self._validate()
        record = epoch_record(
            order,
            epoch=self.epoch,
            training_windows=len(self.data.train),
            learning_rate=rate,
            train_loss=mean_loss,
            validation_mae=validation_mae,
            train_seconds=train_seconds,
            checkpoint_seconds=self.checkpoint_seconds,
            clocked=self.clock.take(),
            spent=self.records[-1].elapsed_seconds if self.records else self.preparation_seconds,
        )
        self.records.append(agreed(self.fabric, record))
        done = self.budget.schedule_epoch(self.records, self.preparation_seconds)
        while self.scheduler.last_epoch < done:
            self.scheduler.step()
        self.budget.plan(self.pruner, self.records, self.preparation_seconds)
        return record

    def _build_pruner(self, context: PruningContext) -> Pruner:
        return PRUNERS.load(self.spec.pruner)(context, self.spec.pruner_options)

    def _order(self, selection: Selection) -> EpochOrder:
        size, drop_partial = self.spec.training.batch_size, self.rules.drops_partial_batches
        return order_epoch(
            selection, size, self.order_rng, self.fabric.device, drop_partial=drop_partial
        )

    def _train_batches(self, order: EpochOrder) -> Tensor:
        rank, world = self.fabric.global_rank, self.fabric.world_size
        self.model.train()
        total = torch.zeros((), device=self.fabric.device)
        self.batch_losses.clear()
        batches = order.batches(rank, world)
        for group, (indices, weights, batch_size) in zip(order.groups, batches, strict=True):
            self._enter(group)
            # Gradients are averaged over devices, each of which sums its share of the batch.
            self.batch_losses.append(self._step(indices, weights, world / batch_size))
            total += self.batch_losses[-1]
        if world > 1:
            total = cast(Tensor, self.fabric.all_reduce(total, reduce_op="mean"))
            gather = cast(Gather, self.fabric.all_gather)
            merge_window_state(self.pruner.window_state, order, rank, world, gather)
        return total

    def _enter(self, group: int) -> None:
        """A batch of this data set follows; here there is only one."""

    def _gather(self, indices: Tensor) -> Batch:
        return self.data.train.gather(indices)

    def _errors(self, forecast: Tensor, batch: Batch) -> Tensor:
        restored = self.data.train.scaler.restore(forecast)
        return absolute_errors(restored, batch.targets, batch.mask)

    def _step(self, indices: Tensor, weights: Tensor, scale: float) -> Tensor:
        self.optimiser.zero_grad()
        loss = torch.zeros((), device=self.fabric.device)
        batch_parts = parts(indices, weights, self.micro_batch)
        for number, part in enumerate(batch_parts, start=1):
            last = number == len(batch_parts)
            with self.fabric.no_backward_sync(cast(Any, self.model), enabled=not last):
                loss += self._add_gradient(*part, scale)
        if self.spec.optimisation.clip_norm:
            self.fabric.clip_gradients(
                self.model,
                self.optimiser,
                max_norm=self.spec.optimisation.clip_norm,
                error_if_nonfinite=False,
            )
        self.optimiser.step()
        return loss

    def _add_gradient(self, indices: Tensor, weights: Tensor, scale: float) -> Tensor:
        """Add the gradient of some windows' loss; returns that loss."""
        with self.clock.phase("data"):
            batch = self._gather(indices)
        forecast = self.model(batch.inputs, batch.time_of_day, batch.day_of_week)
        errors = self._errors(forecast, batch)
        loss = (weights * self.rules.window_losses(errors, batch.mask)).sum() * scale
        self.fabric.backward(loss)
        with self.clock.phase("scoring"):
            self.pruner.observe(indices, errors.detach(), batch.mask)
        return loss.detach()

    def _validate(self) -> float | None:
        settings = self.spec.training
        last = self.epoch + 1 >= self.planned_epochs
        if (self.epoch + 1) % settings.validate_every and not last:
            return None
        with self.clock.wall("validation"):
            mae = self.validation_mae()
        refuse_no_validation_error(mae, self.spec.key, self.epoch)
        if mae < self.best_mae:
            self.best_mae, self.best_epoch = mae, self.epoch
            self.best_weights = copy.deepcopy(self.network.state_dict())
        return mae

    def validation_mae(self) -> float:
        """Error on the validation windows, by the rule that chooses the best epoch."""
        store = self.data.validation
        if self.rules.scores == "paper":
            return self._evaluate(store).mae()
        rules = self._rule_sums(store)
        self._evaluate(store, rules=rules)
        return rules.st_ttc_mae()

    def _rule_sums(self, store: WindowStore) -> RuleSums:
        return RuleSums(store, self.spec.training.batch_size)

    def _evaluate(
        self, store: WindowStore, observe: Observer | None = None, rules: RuleSums | None = None
    ) -> ErrorSums:
        batch_size = self.spec.training.evaluation_batch_size
        floor = self.data.mape_floor
        return evaluate(self.network, store, batch_size, floor, self.fabric, observe, rules)

    def test(self) -> Outcome:
        """Evaluate the test windows with the best-validation weights, as a whole and by groups."""
        self.network.load_state_dict(self.best_weights)
        with self.clock.wall("test"):
            by_rule, groups = self._test()
        return Outcome(by_rule[self.rules.scores], groups, self.clock.take()["test"], by_rule)

    def _test(self) -> tuple[dict[str, Scores], dict[str, float | None]]:
        store = self.data.test
        groups, rules = GroupErrors(store), self._rule_sums(store)
        sums = self._evaluate(store, groups.observe, rules)
        groups.merge(self.fabric)
        by_group = groups.scores(window_groups(store, self.data.events))
        return {"paper": sums.scores(), **rules.scores()}, by_group

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        return engine_state(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        restore_engine(self, state)
