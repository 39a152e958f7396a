"""The only training loop; the host never waits for the device inside a batch loop.

A run on one data set is a union of one. Every batch is of a single data set, with its own graph and
scale. With ``loss_units: standardised`` training and validation errors are divided by the standard
deviation of the data set's training inputs, so that units do not decide which windows are hard.

A batch may be computed in parts, whose gradients add up to its own: it takes less memory, and on a
processor less time once a batch's tensors exceed its caches.
"""

import copy
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask
from stprune.base.errors import TrainingDivergedError
from stprune.config.grid import RunSpec
from stprune.data.dataset import ForecastData, RunData
from stprune.data.windows import WindowStore
from stprune.pruning.base import (
    PRUNERS,
    Observer,
    Probe,
    Pruner,
    PruningContext,
    absolute_errors,
    window_mae,
)
from stprune.pruning.batch_order import Gather, merge_window_state, order_epoch
from stprune.pruning.per_dataset import PerDatasetPruner
from stprune.records.kept import KeptArchive
from stprune.records.run import EpochRecord, Scores
from stprune.training import evaluation
from stprune.training.budget import TrainingBudget
from stprune.training.cost import Clock
from stprune.training.devices import (
    agreed,
    compile_network,
    fitting_windows,
    has_batch_statistics,
    windows_at_a_time,
)
from stprune.training.optimisation import RateSchedule, build_optimiser, planned_steps


class Outcome(NamedTuple):
    """Test results, named as in the run's record."""

    test: Scores
    scores_by_rule: dict[str, Scores]
    test_groups: dict[str, float | None]


class Engine:
    """Trains one run, epoch by epoch, on the device of ``fabric``, where ``data`` are, too."""

    def __init__(self, spec: RunSpec, data: RunData, fabric: Fabric) -> None:
        self.spec, self.data, self.fabric = spec, data, fabric
        self.members = list(data.members.items())
        self.firsts, self.windows = data.firsts.tolist(), sum(data.sizes)
        self.legacy = spec.protocol == "legacy"
        self.standardised = data.union and spec.subset.loss_units == "standardised"
        self.clock = Clock(fabric.device)
        torch.manual_seed(spec.key.seed)
        self.order_rng = np.random.default_rng([spec.key.seed, 1])
        self.network = build_network(spec, self.members[0][1])
        if fabric.global_rank:
            # Devices must not all drop the same units of their parts of a batch.
            seeds = np.random.SeedSequence([spec.key.seed, fabric.global_rank])
            torch.manual_seed(int(seeds.generate_state(1)[0]))
        self.model: nn.Module = self.network
        if self.network.trains:
            optimiser = build_optimiser(self.network, spec.optimisation)
            self.model, self.optimiser = fabric.setup(self.network, optimiser)
        else:
            self.network.to(fabric.device)
            # Dummy parameters: torch optimisers reject an empty list.
            self.optimiser = optimiser = build_optimiser(nn.Linear(1, 1), spec.optimisation)
        self.scheduler = RateSchedule(optimiser, spec.optimisation)
        asked, self.micro_batch = spec.compute.micro_batch, None
        if not self.legacy:  # there the mask of a batch depends on all of it
            self.micro_batch = windows_at_a_time(self.network, asked, fabric.device)
        self.evaluation_batch = spec.training.evaluation_batch_size
        with self.clock.wall("preparation"):
            for name, member in self.members:
                self.network.fit(member.train)
                if data.union:  # what it derives of the graph may be made on the host
                    self.network.use_graph(name, member.adjacency)
            self.pruner = self._build_pruner()
        if asked == "auto" and fabric.device.type == "cuda":
            self._fit_to_memory()
        self.records, self.kept = list[EpochRecord](), KeptArchive(data.train_times)
        self.best_mae, self.best_epoch, self.best_weights = math.inf, -1, dict[str, Tensor]()
        self.budget = TrainingBudget(spec.training, self.windows)
        self.budget.plan(self.pruner, (), 0.0)
        self.preparation_seconds = self.checkpoint_seconds = 0.0

    def _fit_to_memory(self) -> None:
        """Set how many windows are computed at a time by what a few of the largest graph take."""
        opened = [*self.members, *self.data.tested.items(), *self.data.held_out.items()]
        with torch.random.fork_rng([self.fabric.device]):
            if self.network.trains and not has_batch_statistics(self.network):
                fits = self._fitting(self.members, self.spec.training.batch_size, train=True)
                self.micro_batch = agreed(self.fabric, fits)
            fits = self._fitting(opened, self.evaluation_batch, train=False)
            self.evaluation_batch = agreed(self.fabric, fits)

    def _fitting(self, parts: Sequence[tuple[str, ForecastData]], most: int, train: bool) -> int:
        """At most ``most`` windows that fit into the device's free memory, of any of ``parts``."""
        name, data = max(parts, key=lambda part: len(part[1].adjacency))
        store, device = data.train, self.fabric.device
        if self.data.union:
            self.network.use_graph(name, data.adjacency)
        self.network.train(train)

        def work(windows: int) -> None:
            indices = torch.arange(windows, device=device) % len(store)
            with torch.inference_mode(not train), self.fabric.autocast():
                loss = evaluation.window_errors(self.network, store, indices)[0].sum()
            if train:
                loss.backward()

        fits = fitting_windows(work, most, device, self.spec.compute.runs_per_gpu)
        self.optimiser.zero_grad()
        return fits

    def _build_pruner(self) -> Pruner:
        kind, options = PRUNERS.load(self.spec.pruner), self.spec.pruner_options
        members = [member for _, member in self.members]
        context = PruningContext(
            windows=self.windows,
            epochs=self.spec.training.epochs,
            prune_ratio=self.spec.key.prune_ratio,
            seed=self.spec.key.seed,
            device=self.fabric.device,
            stores=tuple(member.train for member in members),
            adjacency=None if self.data.union else members[0].adjacency,
            times=self.data.train_times,
        )
        if self.data.union and self.spec.quota == "per_dataset":
            graphs = [member.adjacency for member in members]
            return PerDatasetPruner(context, graphs, lambda own: kind(own, options))
        return kind(context, options)

    @property
    def epoch(self) -> int:
        """Number of the next epoch."""
        return len(self.records)

    @property
    def planned_epochs(self) -> int:
        """Epochs that the budget allows in all, as far as is known now."""
        return self.budget.planned_epochs(self.pruner) if self.network.trains else 1

    @property
    def finished(self) -> bool:
        """Whether all planned epochs are trained, or patience has run out."""
        since = [r for r in self.records[self.best_epoch + 1 :] if r.validation_mae is not None]
        patience = self.spec.training.patience or math.inf
        return len(since) >= patience or self.epoch >= self.planned_epochs

    def prepare(self, probe: Probe) -> None:
        """Let the pruner score windows before training, in training time."""
        with self.clock.wall("preparation"):
            self.pruner.prepare(probe)
        self.preparation_seconds = agreed(self.fabric, self.clock.take()["preparation"])

    def train_epoch(self) -> EpochRecord:
        """Select, train, validate; the record is also kept.

        A backbone that does not train has one epoch without steps; its loss is its training error.
        Raises TrainingDivergedError if that or the validation error is no longer finite.
        """
        for _ in self.epoch_in_slices(1):
            pass
        return self.records[-1]

    def epoch_in_slices(self, slices: int) -> Iterator[None]:
        """Train an epoch, but stop between ``slices``; meanwhile the clock stands still."""
        start = time.perf_counter()
        train_seconds = 0.0
        for _, member in self.members:
            member.train.begin_epoch(self.epoch)
        size, drop_partial = self.spec.training.batch_size, self.legacy
        with self.clock.wall("selection"):
            selection = self.pruner.select(self.epoch)
            firsts, device = self.data.firsts if self.data.union else None, self.fabric.device
            order = order_epoch(selection, size, self.order_rng, device, firsts, drop_partial)
        steps = len(order.sizes) if self.network.trains else 0
        ahead = range(self.epoch + 1, self.planned_epochs)
        later_steps = planned_steps(self.pruner, ahead, size, drop_partial)
        self.scheduler.begin_epoch(len(order.sizes), later_steps)
        rate = self.optimiser.param_groups[0]["lr"]
        if steps:
            rank, world = self.fabric.global_rank, self.fabric.world_size
            batches = zip(order.groups, order.batches(rank, world), strict=True)
            total = torch.zeros((), device=device)
            for number in range(slices):
                if number:
                    self.clock.synchronise()
                    train_seconds += time.perf_counter() - start
                    yield
                    start = time.perf_counter()
                count = steps * (number + 1) // slices - steps * number // slices
                total += self._train_batches(islice(batches, count))
            if world > 1:
                total = cast(Tensor, self.fabric.all_reduce(total, reduce_op="mean"))
                gather = cast(Gather, self.fabric.all_gather)
                merge_window_state(self.pruner.window_state, order, rank, world, gather)
            mean_loss = float(total) / steps
        else:
            ((name, member),) = self.members
            mean_loss = self.evaluate(name, member, member.train).mae()
        self.clock.synchronise()
        train_seconds += time.perf_counter() - start
        self._require_finite("training loss", mean_loss)
        self.kept.add(order.indices, self.pruner.window_state.get("scores"))
        validation_mae = self._validate()

        seconds = self.clock.take()
        others = seconds["data"] + seconds["scoring"] + seconds["selection"]
        spent = self.records[-1].elapsed_seconds if self.records else self.preparation_seconds
        record = EpochRecord(
            epoch=self.epoch,
            windows=len(order.indices),
            keep_ratio=len(order.indices) / self.windows,
            gradient_steps=steps,
            learning_rate=rate,
            train_loss=mean_loss,
            validation_mae=validation_mae,
            data_seconds=seconds["data"],
            # What is left of the loop, so that the four parts add up to the measured total.
            step_seconds=train_seconds - others,
            scoring_seconds=seconds["scoring"],
            selection_seconds=seconds["selection"],
            train_seconds=train_seconds,
            validation_seconds=seconds["validation"],
            checkpoint_seconds=self.checkpoint_seconds,
            elapsed_seconds=spent + train_seconds + seconds["validation"] + self.checkpoint_seconds,
        )
        self.records.append(agreed(self.fabric, record))
        done = self.budget.schedule_epoch(self.records, self.preparation_seconds)
        while self.scheduler.last_epoch < done:
            self.scheduler.step()
        self.budget.plan(self.pruner, self.records, self.preparation_seconds)

    def _train_batches(self, batches: Iterable[tuple[int, tuple[Tensor, Tensor, int]]]) -> Tensor:
        """Train on (data set, batch); the sum of losses, (). Nothing here waits for the device."""
        self.model.train()
        total = torch.zeros((), device=self.fabric.device)
        for member, (indices, weights, batch_size) in batches:
            if self.data.union:
                name, data = self.members[member]
                self.network.use_graph(name, data.adjacency)
            self.pruner.enter(member)
            # Gradients are averaged over devices, each of which sums its share of the batch.
            total += self._step(member, indices, weights, self.fabric.world_size / batch_size)
        return total

    def _step(self, member: int, indices: Tensor, weights: Tensor, scale: float) -> Tensor:
        """One step of the optimiser; returns the batch's loss."""
        self.optimiser.zero_grad()
        loss = torch.zeros((), device=self.fabric.device)
        # An empty batch has one empty part, so that all devices synchronise equally often.
        size = self.micro_batch or max(1, len(indices))
        parts = list(zip(indices.split(size), weights.split(size), strict=True))
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            with self.fabric.no_backward_sync(cast(Any, self.model), enabled=not last):
                loss += self._add_gradient(member, *part, scale)
        if norm := self.spec.optimisation.clip_norm:
            clip = self.fabric.clip_gradients
            clip(self.model, self.optimiser, max_norm=norm, error_if_nonfinite=False)
        self.optimiser.step()
        return loss

    def _add_gradient(self, member: int, indices: Tensor, weights: Tensor, scale: float) -> Tensor:
        """Add the gradient of some windows' loss; returns that loss."""
        store = self.members[member][1].train
        with self.clock.phase("data"):
            batch = store.gather(indices - self.firsts[member])
        forecast = self.model(batch.inputs, batch.time_of_day, batch.day_of_week)
        errors = absolute_errors(store.scaler.restore(forecast), batch.targets, batch.mask)
        if self.standardised:
            errors = errors / _deviation(store)
        losses = evaluation.batch_mae_parts if self.legacy else window_mae
        loss = (weights * losses(errors, batch.mask)).sum() * scale
        self.fabric.backward(loss)
        with self.clock.phase("scoring"):
            self.pruner.observe(indices, errors.detach(), batch.mask)
        return loss.detach()

    def _require_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            place = f"run {self.spec.key.path}: the {what} of epoch {self.epoch + 1} is {value}"
            advice = "lower the learning rate, clip gradients, or check that targets are observed"
            raise TrainingDivergedError(f"{place}; {advice}")

    def _validate(self) -> float | None:
        """The epoch's validation error, None where it is skipped; keeps the best weights."""
        last = self.epoch + 1 >= self.planned_epochs
        if (self.epoch + 1) % self.spec.training.validate_every and not last:
            return None
        with self.clock.wall("validation"):
            mae = self.validation_mae()
        self._require_finite("validation error", mae)
        if mae < self.best_mae:
            self.best_mae, self.best_epoch = mae, self.epoch
            self.best_weights = copy.deepcopy(self.network.state_dict())
        return mae

    def validation_mae(self) -> float:
        """Error on the validation windows, by the rule that chooses the best epoch."""
        if self.legacy:
            ((name, data),) = self.members
            rules = evaluation.RuleSums(data.validation, self.spec.training.batch_size)
            self.evaluate(name, data, data.validation, rules=rules)
            return evaluation.pooled_mae(rules.st_ttc_sums())
        sums = [self.evaluate(name, data, data.validation) for name, data in self.members]
        if not self.standardised:
            return evaluation.pooled(sums).mae()
        rows = [part.sums.sum(1) for part in sums]
        deviations = [_deviation(data.validation) for _, data in self.members]
        errors = [row[0] / deviation for row, deviation in zip(rows, deviations, strict=True)]
        return float(torch.stack(errors).sum() / torch.stack([row[2] for row in rows]).sum())

    def evaluate(
        self,
        name: str,
        data: ForecastData,
        store: WindowStore,
        observe: Observer | None = None,
        rules: evaluation.RuleSums | None = None,
    ) -> evaluation.ErrorSums:
        """Errors on the windows of ``store``, which are of the data set ``name``, on its graph."""
        if self.data.union:
            self.network.use_graph(name, data.adjacency)
        size, floor = self.evaluation_batch, data.mape_floor
        return evaluation.evaluate(self.network, store, size, floor, self.fabric, observe, rules)

    def test(self) -> Outcome:
        """Evaluate the test windows with the best-validation weights, as a whole and by groups."""
        self.network.load_state_dict(self.best_weights)
        with self.clock.wall("test"):
            rules, sums, groups = [], [], dict[str, float | None]()
            for name, data in self.data.tested.items():
                errors = evaluation.GroupErrors(data.test)
                rules.append(evaluation.RuleSums(data.test, self.spec.training.batch_size))
                observe = None if self.data.union else errors.observe
                sums.append(self.evaluate(name, data, data.test, observe, rules[-1]))
                if self.data.union:
                    groups[name] = sums[-1].scores().mae
                else:
                    groups = errors.scores(self.fabric, evaluation.window_groups(data))
            by_rule = {"paper": evaluation.pooled(sums).scores(), **evaluation.rule_scores(rules)}
        return Outcome(by_rule["st_ttc" if self.legacy else "paper"], by_rule, groups)

    @property
    def _parts(self) -> dict[str, Any]:
        """What has a state of its own."""
        names = ("network", "optimiser", "scheduler", "pruner", "kept")
        return {name: getattr(self, name) for name in names}

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on; every process of a run has to call it."""
        device, of_all = self.fabric.device, self._of_all_processes
        cuda = device.type == "cuda"
        return {
            **{name: part.state_dict() for name, part in self._parts.items()},
            "order_rng": self.order_rng.bit_generator.state,
            "torch_rng": of_all(torch.get_rng_state()),
            "device_rng": of_all(torch.cuda.get_rng_state(device)) if cuda else None,
            "best": (self.best_mae, self.best_epoch, self.best_weights),
            "records": [record.model_dump() for record in self.records],
            "preparation_seconds": self.preparation_seconds,
            "windows_at_a_time": (self.micro_batch, self.evaluation_batch),
        }

    def _of_all_processes(self, state: Tensor) -> Tensor:
        """(processes, bytes) uint8: each process draws its own dropout."""
        if self.fabric.world_size == 1:
            return state[None]
        return cast(Tensor, self.fabric.all_gather(state.to(self.fabric.device))).cpu()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.order_rng.bit_generator.state = state["order_rng"]
        rank = self.fabric.global_rank
        # A copy: torch crashes on the unaligned bytes of a view.
        torch.set_rng_state(state["torch_rng"][rank].clone())
        if state["device_rng"] is not None:
            torch.cuda.set_rng_state(state["device_rng"][rank].clone(), self.fabric.device)
        self.best_mae, self.best_epoch, self.best_weights = state["best"]
        self.records = [EpochRecord.model_validate(record) for record in state["records"]]
        self.preparation_seconds = state["preparation_seconds"]
        # Other sizes, for which there may be memory now, would round otherwise.
        self.micro_batch, self.evaluation_batch = state["windows_at_a_time"]
        self.clock.take()


def forecast_task(data: ForecastData, history: int, horizon: int) -> ForecastTask:
    """What a backbone is told of the data that it is for."""
    return ForecastTask(
        nodes=data.adjacency.shape[0],
        history=history,
        horizon=horizon,
        channels=data.channels,
        target_channel=data.train.target_channel,
        steps_per_day=data.steps_per_day,
        adjacency=data.adjacency,
    )


def build_network(spec: RunSpec, data: ForecastData) -> Backbone:
    """The run's backbone with the initial weights of its seed; global random state is kept."""
    task = forecast_task(data, spec.training.history, spec.training.horizon)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.key.seed)  # that of the CPU alone
        network = BACKBONES.load(spec.backbone)(task, spec.backbone_options)
    if spec.compute.compile:
        compile_network(network, data.train.device, spec.compute.compile)
    return network


def _deviation(store: WindowStore) -> Tensor:
    """() standard deviation of the target in the training inputs, real units."""
    return store.scaler.std[store.target_channel]
