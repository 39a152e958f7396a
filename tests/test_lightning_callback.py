"""Pruning under Lightning's Trainer: the plain loop's results, resuming, wrong set-ups."""

import warnings
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
    from pytorch_lightning import LightningModule, Trainer
    from pytorch_lightning.callbacks import LambdaCallback, ModelCheckpoint

    from stprune.loop.lightning_callback import PruningCallback

WINDOWS, EPOCHS = 60, 6
INPUTS = torch.randn(WINDOWS, 4, 3, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS.cumsum(1)

# Lightning warns of its own calls and of settings that do not matter here.
pytestmark = pytest.mark.filterwarnings("ignore")


class Module(LightningModule):
    """A linear forecaster that notes how many batches each epoch had."""

    def __init__(self, name: str = "infobatch", observes: bool = True) -> None:
        super().__init__()
        self.pruning = Pruning(name, WINDOWS, epochs=EPOCHS, prune_ratio=0.6, batch_size=8)
        self.observes, self.batches = observes, dict[int, int]()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(3, 3)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        indices, (inputs, targets) = batch
        self.batches[self.current_epoch] = self.batches.get(self.current_epoch, 0) + 1
        errors = self.layer(inputs) - targets
        return self.pruning.loss(indices, errors) if self.observes else errors.abs().mean()

    def train_dataloader(self) -> DataLoader[Any]:
        data = IndexedDataset(TensorDataset(INPUTS, TARGETS))
        return DataLoader(data, batch_sampler=PrunedBatchSampler(self.pruning, data))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def fit(module, *callbacks, checkpoint=None, **changes):
    silent = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    settings = {"max_epochs": EPOCHS, "reload_dataloaders_every_n_epochs": 1, **silent, **changes}
    trainer = Trainer(
        accelerator="cpu",
        enable_checkpointing=bool(callbacks),
        callbacks=[PruningCallback(module.pruning), *callbacks],
        **settings,
    )
    trainer.fit(module, ckpt_path=checkpoint)
    return module


@pytest.mark.parametrize("stop", [None, 1, 5])
def test_a_resumed_trainer_trains_as_a_plain_loop(stop, tmp_path):
    def end(trainer: Trainer, _: LightningModule) -> None:
        if trainer.current_epoch == stop:
            raise InterruptedError

    checkpoint = None
    if stop is not None:
        stopping = LambdaCallback(on_train_epoch_start=end)
        with pytest.raises(InterruptedError):
            fit(Module(), ModelCheckpoint(tmp_path, save_last=True), stopping)
        checkpoint = tmp_path / "last.ckpt"
    module, plain = fit(Module(), checkpoint=checkpoint), Module()
    batches = {0: 8, 1: 3, 2: 3, 3: 3, 4: 3, 5: 8}
    assert module.batches == {epoch: batches[epoch] for epoch in range(stop or 0, EPOCHS)}
    assert module.pruning.epoch == EPOCHS
    optimiser = plain.configure_optimizers()
    for epoch in range(EPOCHS):
        for indices in plain.pruning.batches():
            optimiser.zero_grad()
            plain.pruning.loss(indices, plain.layer(INPUTS[indices]) - TARGETS[indices]).backward()
            optimiser.step()
        assert plain.pruning.batch_count() == batches[epoch]
    for one, other in zip(module.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_control_that_trains_shorter_stops_the_trainer():
    module = fit(Module("full_fewer_epochs"))
    assert len(module.batches) == module.pruning.epochs < EPOCHS


def test_what_does_not_fit_is_refused(tmp_path):
    for changes in ({"reload_dataloaders_every_n_epochs": 0}, {"max_epochs": 4}):
        with pytest.raises(ConfigError):
            fit(Module(), **changes)
    with pytest.raises(LoopError, match="0 of 60"):
        fit(Module(observes=False))
    with pytest.raises(CheckpointError):
        fit(Module(), ModelCheckpoint(tmp_path, every_n_train_steps=2))
