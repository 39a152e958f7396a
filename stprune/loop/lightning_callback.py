"""Pruning under the Trainer of Lightning; needs the package ``pytorch-lightning``.

The module's loss and its batch sampler use the same pruning as the callback, and the Trainer needs
``reload_dataloaders_every_n_epochs=1, use_distributed_sampler=False``: `examples/` shows it.
"""

from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from stprune.base.errors import CheckpointError, ConfigError
from stprune.loop.loop import Pruning


class PruningCallback(Callback):
    """Starts the epochs of pruning with those of the trainer, and saves its state."""

    def __init__(self, pruning: Pruning) -> None:
        self.pruning = pruning
        self._batches = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the first epoch; a ConfigError if pruning cannot work with this trainer."""
        epochs = self.pruning.epochs
        # The trainer gets this attribute elsewhere than in its class, so its type is not known.
        if cast(Any, trainer).reload_dataloaders_every_n_epochs != 1:
            why = "the number of batches is another in each epoch"
            raise ConfigError(f"pass reload_dataloaders_every_n_epochs=1 to the Trainer: {why}")
        if trainer.max_epochs is not None and 0 <= trainer.max_epochs < epochs:
            problem = f"ends before the schedule of pruning, which has {epochs} epochs"
            raise ConfigError(f"Trainer(max_epochs={trainer.max_epochs}) {problem}")
        self._start_next(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        self._batches += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the next epoch; a LoopError if pruning was not shown all errors of this one."""
        if self._batches:  # a resumed trainer repeats the end of the epoch in which it was saved
            self._batches = 0
            self._start_next(trainer)

    def _start_next(self, trainer: Trainer) -> None:
        if self.pruning.epoch < self.pruning.epochs:
            self.pruning.start_epoch()
        else:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The state of the pruning; a CheckpointError before the end of an epoch."""
        if self._batches:
            wanted = "save_on_train_epoch_end=True and no every_n_train_steps to ModelCheckpoint"
            raise CheckpointError(f"pruning is saved when an epoch has ended: pass {wanted}")
        return self.pruning.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.pruning.load_state_dict(state_dict)
