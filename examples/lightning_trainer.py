"""Pruning under the Trainer of Lightning (pip install pytorch-lightning).

python examples/lightning_trainer.py
"""

import sys
from typing import Any

import torch
from made_up_series import Forecaster, windows
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from stprune import IndexedDataset, PrunedBatchSampler, Pruning
from stprune.loop.lightning_callback import PruningCallback


class PrunedForecaster(LightningModule):
    """Trains the forecaster on whatever windows pruning chooses."""

    def __init__(self, pruning: Pruning) -> None:
        super().__init__()
        self.model, self.pruning = Forecaster(), pruning

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """The weighted loss, by which pruning also sees the errors."""
        indices, (history, future, observed) = batch
        loss = self.pruning.loss(indices, self.model(history) - future, observed)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def on_train_epoch_end(self) -> None:
        """Say how many batches the epoch had."""
        batches, loss = self.trainer.num_training_batches, self.trainer.callback_metrics["loss"]
        sys.stdout.write(f"epoch {self.current_epoch}: {batches} batches, loss {loss:.3f}\n")

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of the epoch under way."""
        data = IndexedDataset(TensorDataset(*windows()[:3]))
        return DataLoader(data, batch_sampler=PrunedBatchSampler(self.pruning, data))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def main() -> None:
    """Train eight epochs with UCB."""
    count = len(windows()[0])
    pruning = Pruning("ucb", windows=count, epochs=8, prune_ratio=0.7, batch_size=32)
    trainer = Trainer(
        max_epochs=pruning.epochs,
        callbacks=[PruningCallback(pruning)],
        reload_dataloaders_every_n_epochs=1,  # each epoch has a length of its own
        use_distributed_sampler=False,  # the batches are shared by pruning
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(PrunedForecaster(pruning))


if __name__ == "__main__":
    main()
