"""What static pruners share: one choice before training, kept for every epoch.

Windows are compared within blocks of consecutive windows, as DeepCore (Guo et al. 2022) does within
classes: costs grow with n, not with its square, and every stretch of time keeps its share.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from stprune.base.schema import StrictModel
from stprune.pruning import base

Picked = tuple[NDArray[np.int64], NDArray[np.float64]]


def scoring_seed(run_seed: int, repeat: int = 0) -> int:
    """Seed of the ``repeat``-th scoring model, far from the seeds of runs."""
    return 1_000_003 * (repeat + 1) + run_seed


class StaticPruner(base.Pruner):
    """Chooses once, in ``prepare``; the weights of the kept windows are its whole state."""

    def __init__(self, context: base.PruningContext, options: Any) -> None:
        super().__init__(context, options)
        # 0 for a window that is left out.
        self.window_state["weights"] = torch.zeros(context.windows, device=context.device)
        self.size = base.budget(context.windows, context.keep_ratio)

    @abstractmethod
    def choose(self, probe: base.Probe) -> base.Selection:
        """The K windows to keep, in any order, with positive weights."""

    def prepare(self, probe: base.Probe) -> None:
        """Choose; without pruning there is nothing to choose, so nothing is trained."""
        if self.size == self.context.windows:
            return
        chosen = self.choose(probe)
        weights = np.zeros(self.context.windows, dtype=np.float32)
        weights[chosen.indices] = chosen.weights
        self.window_state["weights"].copy_(torch.from_numpy(weights))

    def select(self, epoch: int) -> base.Selection:
        """The same windows in every epoch."""
        if self.size == self.context.windows:
            return base.everything(self.context.windows)
        weights = self.window_state["weights"].cpu().numpy()
        indices = np.flatnonzero(weights)
        return base.Selection(indices, weights[indices])


def keep_highest(
    scores: NDArray[np.floating[Any]], size: int, rng: np.random.Generator | None = None
) -> base.Selection:
    """The K windows with the highest ``scores`` (n,), weight 1; ``rng`` or order breaks ties."""
    order = np.arange(len(scores)) if rng is None else rng.permutation(len(scores))
    kept = order[np.argsort(-scores[order], kind="stable")[:size]]
    return base.Selection(np.sort(kept).astype(np.int64), np.ones(size, dtype=np.float32))


class ScoringOptions(StrictModel):
    """How the scores are made."""

    scoring_epochs: int = Field(2, ge=1, description="Epochs each scoring model is trained.")
    scoring_seeds: int = Field(1, ge=1, description="Scoring models to average over.")


class GradientOptions(StrictModel):
    """How windows are embedded."""

    scoring_epochs: int = Field(2, ge=1, description="Epochs the scoring model is trained.")
    width: int = Field(64, ge=1, description="Length of a projected gradient.")


class BlockOptions(GradientOptions):
    """How windows are embedded, and which of them are compared."""

    block: int = Field(256, ge=1, description="Consecutive windows compared.")


class WeightedBlockOptions(BlockOptions):
    """How windows are embedded, compared and weighted."""

    loss_scale: base.LossScale = Field(
        "mean", description="`mean` rescales an epoch's weights to 1."
    )


class BlockPruner(StaticPruner):
    """A static pruner that compares windows by the gradient of a model's last layer."""

    Options: ClassVar[type[StrictModel]] = BlockOptions
    draws = False
    options: BlockOptions

    @abstractmethod
    def pick(self, rows: NDArray[np.float64], size: int) -> Picked:
        """k of the m distinct rows of a block (m, P), 1 to m, in any order, and their weights."""

    def choose(self, probe: base.Probe) -> base.Selection:
        """Embed windows by one scoring model, then pick from every block its share of the budget.

        A budget of fewer windows than blocks makes these larger.
        """
        options, seed = self.options, scoring_seed(self.context.seed)
        gradients = probe.gradients(options.scoring_epochs, seed, options.width)
        windows, size = self.context.windows, self.size
        embeddings = stacked(gradients.training, windows)
        blocks = min(-(-windows // options.block), size)
        edges = np.arange(blocks + 1) * windows // blocks
        # Differences of a rounded running share: exact in all, and spread evenly over time.
        places = np.diff(size * edges // windows)
        indices, picked = [], []
        for first, last, count in zip(edges[:-1], edges[1:], places, strict=True):
            if count:
                rows, factors = self.pick(embeddings[first:last].astype(np.float64), int(count))
                indices.append(first + rows)
                picked.append(factors)
        kept = np.concatenate(indices)
        order = np.argsort(kept)
        weights = np.concatenate(picked)[order].astype(np.float32)
        if isinstance(options, WeightedBlockOptions):
            weights = base.scale_weights(weights, options.loss_scale)
        return base.Selection(kept[order], weights)


def stacked(parts: Iterator[tuple[Tensor, Tensor]], windows: int) -> NDArray[np.float32]:
    """(n, P) array of (window numbers, (B, P) values) in batches, without a second copy."""
    whole: NDArray[np.float32] | None = None
    for indices, values in parts:
        if whole is None:
            whole = np.zeros((windows, values.shape[1]), dtype=np.float32)
        whole[indices.cpu().numpy()] = values.cpu().numpy()
    assert whole is not None, "a run has at least one window"  # noqa: S101
    return whole
