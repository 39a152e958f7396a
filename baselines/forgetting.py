"""Forgetting events: keep the windows that a model learns and loses again most often.

Paper: Toneva et al., "An empirical study of example forgetting during deep neural network
learning". Venue: ICLR 2019. Official code: github.com/mtoneva/example_forgetting.
Where we differ: regression reading, there is no right or wrong forecast, so a window counts as
learned while its masked MAE is at most the median of its own earlier errors, and is forgotten
when it rises above that median right after; a window never learned counts as forgotten once an
epoch, more than any other can be; ties, of which there are many, are broken at random. Errors are
those of the training steps, as published.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from stprune.base.schema import StrictModel
from stprune.pruning.base import Probe, Selection, window_mae
from stprune.pruning.static import StaticPruner, keep_highest, scoring_seed


class ForgettingOptions(StrictModel):
    """How long is watched."""

    scoring_epochs: int = Field(10, ge=3, description="Epochs of the scoring model.")


def forgetting_events(errors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Times each window was forgotten, (n,), by its errors (E, n); E if it never was learned."""
    epochs, windows = errors.shape
    events = np.zeros(windows, dtype=np.int64)
    learned = np.zeros(windows, dtype=bool)
    ever_learned = np.zeros(windows, dtype=bool)
    for epoch in range(1, epochs):
        low = errors[epoch] <= np.median(errors[:epoch], axis=0)
        events += learned & ~low
        learned = low
        ever_learned |= low
    events[~ever_learned] = epochs
    return events


class Forgetting(StaticPruner):
    """Keeps the K windows that were forgotten most often."""

    Options = ForgettingOptions
    options: ForgettingOptions

    def choose(self, probe: Probe) -> Selection:
        """Train one model, and note each window's error whenever it is visited."""
        windows, device = self.context.windows, self.context.device
        epochs = self.options.scoring_epochs
        errors = torch.zeros(epochs, windows, device=device)
        visits = torch.zeros(windows, dtype=torch.int64, device=device)

        def note(indices: Tensor, seen: Tensor, mask: Tensor) -> None:
            errors[visits[indices], indices] = window_mae(seen, mask)
            visits[indices] += 1

        probe.watch(epochs, scoring_seed(self.context.seed), note)
        events = forgetting_events(errors.cpu().numpy())
        return keep_highest(events.astype(np.float64), self.size, self.rng)
