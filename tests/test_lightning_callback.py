"""Pruning under Lightning's Trainer: the plain loop's results, resuming, wrong set-ups."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stprune import IndexedDataset, PrunedBatchSampler, Pruning
from stprune.base.errors import CheckpointError, ConfigError
from stprune.loop.loop import LoopError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the package says of itself when it is imported
    from pytorch_lightning import Callback, LightningModule, Trainer
    from pytorch_lightning.callbacks import ModelCheckpoint

    from stprune.loop.lightning_callback import PruningCallback

WINDOWS, EPOCHS = 60, 6
INPUTS = torch.randn(WINDOWS, 4, 3, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS.cumsum(1)

# Lightning warns of its own calls and of settings that do not matter here.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


def pruning_of() -> Pruning:
    return Pruning("infobatch", WINDOWS, epochs=EPOCHS, prune_ratio=0.6, batch_size=8)


class Module(LightningModule):
    """A linear forecaster that notes how many batches each epoch had."""

    def __init__(self, pruning: Pruning, observes: bool = True, validates: bool = False) -> None:
        super().__init__()
        self.pruning, self.observes, self.validates = pruning, observes, validates
        self.batches: dict[int, int] = {}
        self.validated: list[int] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(3, 3)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        indices, (inputs, targets) = batch
        self.batches[self.current_epoch] = self.batches.get(self.current_epoch, 0) + 1
        errors = self.layer(inputs) - targets
        return self.pruning.loss(indices, errors) if self.observes else errors.abs().mean()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.validated.append(self.current_epoch)

    def train_dataloader(self) -> DataLoader[Any]:
        data = IndexedDataset(TensorDataset(INPUTS, TARGETS))
        return DataLoader(data, batch_sampler=PrunedBatchSampler(self.pruning, data))

    def val_dataloader(self) -> Any:
        dataset = TensorDataset(INPUTS, TARGETS)
        return DataLoader(dataset, batch_size=WINDOWS) if self.validates else []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class StopAt(Callback):
    """Ends training, as whatever ends a process, when epoch ``epoch`` starts."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise InterruptedError


def fit(
    module: Module, *callbacks: Callback, checkpoint: Path | None = None, **changes: Any
) -> Module:
    settings: dict[str, Any] = {
        "max_epochs": EPOCHS,
        "reload_dataloaders_every_n_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": bool(callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    trainer = Trainer(
        callbacks=[PruningCallback(module.pruning), *callbacks], **(settings | changes)
    )
    trainer.fit(module, ckpt_path=checkpoint)
    return module


def plain() -> tuple[nn.Linear, dict[int, int]]:
    """What a plain loop trains."""
    pruning = pruning_of()
    layer = Module(pruning).layer
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-2)
    batches = {}
    for epoch in range(EPOCHS):
        for indices in pruning.batches():
            optimiser.zero_grad()
            pruning.loss(indices, layer(INPUTS[indices]) - TARGETS[indices]).backward()
            optimiser.step()
        batches[epoch] = pruning.batch_count()
    return layer, batches


def same_weights(one: nn.Linear, other: nn.Linear) -> bool:
    return torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)


@pytest.mark.parametrize("stop", [None, 1, 5])
@pytest.mark.parametrize("validates", [False, True])
def test_a_trainer_resumed_or_not_trains_what_a_plain_loop_trains(
    stop: int | None, validates: bool, tmp_path: Path
) -> None:
    checkpoint = None
    if stop is not None:
        checkpoints = ModelCheckpoint(tmp_path, save_last=True)
        with pytest.raises(InterruptedError):
            fit(Module(pruning_of(), validates=validates), checkpoints, StopAt(stop))
        checkpoint = tmp_path / "last.ckpt"
    module = fit(Module(pruning_of(), validates=validates), checkpoint=checkpoint)
    layer, batches = plain()
    assert batches == {0: 8, 1: 3, 2: 3, 3: 3, 4: 3, 5: 8}
    done = range(stop or 0, EPOCHS)
    assert module.batches == {epoch: batches[epoch] for epoch in done}
    assert same_weights(module.layer, layer)
    # A short epoch is validated like a long one.
    assert set(done) <= set(module.validated) if validates else not module.validated
    assert module.pruning.epoch == EPOCHS


def test_a_control_that_trains_shorter_stops_the_trainer() -> None:
    pruning = Pruning("full_fewer_epochs", WINDOWS, epochs=8, prune_ratio=0.6, batch_size=8)
    assert len(fit(Module(pruning), max_epochs=8).batches) == pruning.epochs < 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reload_dataloaders_every_n_epochs": 0}, "reload_dataloaders_every_n_epochs=1"),
        ({"max_epochs": 4}, "max_epochs=4"),
    ],
)
def test_a_trainer_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(Module(pruning_of()), **changes)


def test_steps_that_do_not_observe_and_checkpoints_within_an_epoch_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(LoopError, match="0 of 60"):
        fit(Module(pruning_of(), observes=False))
    within = ModelCheckpoint(tmp_path, save_on_train_epoch_end=False)
    with pytest.raises(CheckpointError, match="save_on_train_epoch_end=True"):
        fit(Module(pruning_of(), validates=True), within)
