"""ST-Prune: dynamic pruning by the structure of a window's error, balanced by stationarity.

Paper: Chen, Chen, Wu, Liang, Zhou, "Learning from complexity: exploring dynamic sample pruning
of spatio-temporal training". Venue: arXiv 2602.19113, 2026. Official code: none public.
Where we differ: the paper's formulas are not public to us. The ideas (complexity-informed
score, stationarity-aware rescaling, annealing) are the paper's; every formula here is our
reading, described in ``docs/method.md``, and every choice is an option.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from stprune.data.stationarity import first_difference
from stprune.errors import DeclinedError
from stprune.pruners.base import (
    Annealing,
    LossScale,
    Pruner,
    PruningContext,
    Selection,
    annealed_budget,
    everything,
    scale_weights,
)
from stprune.schema import StrictModel


class STPruneOptions(StrictModel):
    """The choices of our reading; the defaults are those of ``docs/method.md``."""

    spatial_weight: float = Field(1.0, ge=0, description="lambda_s, weight of spatial structure.")
    temporal_weight: float = Field(0.0, ge=0, description="lambda_t, of temporal structure.")
    hard_share: float = Field(0.5, ge=0, le=1, description="alpha, share of K kept by rank.")
    strata: int = Field(10, ge=1, description="B, quantile strata of stationarity.")
    loss_scale: LossScale = Field("mean", description="`mean` rescales an epoch's weights to 1.")
    annealing: Annealing = Field("tail", description="Return to full data at the end.")
    delta: float = Field(0.875, gt=0, le=1, description="Share of the epochs before the tail.")


def complexity(
    errors: Tensor, mask: Tensor, spatial_weight: float, temporal_weight: float
) -> Tensor:
    """Score of each window: mean error plus how unevenly it lies over nodes and steps.

    c = m + lambda_s S + lambda_t T, with S the standard deviation over nodes of the node's mean
    error, and T that over the horizon of the step's mean error. A local anomaly among many easy
    nodes raises S though it hardly moves m.

    Args:
        errors: (B, H, N) float, absolute errors, 0 where masked.
        mask: (B, H, N) bool.
        spatial_weight: lambda_s.
        temporal_weight: lambda_t.

    Returns:
        (B,) float, in the errors' unit.
    """
    mean, spatial = _mean_and_spread(*_masked_mean(errors, mask, dim=1))
    score = mean + spatial_weight * spatial
    if temporal_weight:
        _, temporal = _mean_and_spread(*_masked_mean(errors, mask, dim=2))
        score = score + temporal_weight * temporal
    return score


def _masked_mean(errors: Tensor, mask: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean over one axis, and where anything was observed along it."""
    count = mask.sum(dim)
    return errors.sum(dim) / count.clamp(min=1), count > 0


def _mean_and_spread(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation over the last axis, where ``valid``."""
    count = valid.sum(-1).clamp(min=1)
    mean = (values * valid).sum(-1) / count
    variance = ((values - mean[:, None]).square() * valid).sum(-1) / count
    return mean, variance.sqrt()


def quantile_strata(stationarity: NDArray[np.float32], strata: int) -> NDArray[np.int64]:
    """Stratum of each window: equal-count quantiles of ``stationarity``, ties kept together.

    Args:
        stationarity: (n,) small for stationary windows.
        strata: B, the largest number of strata; some are empty when values tie.

    Returns:
        (n,) int64 in [0, B).
    """
    edges = np.quantile(stationarity, np.arange(1, strata) / strata)
    return np.searchsorted(edges, stationarity, side="right")


def allocate(sizes: NDArray[np.int64], places: int) -> NDArray[np.int64]:
    """Share ``places`` among strata in proportion to their sizes.

    Largest remainder (ties to the earlier stratum), then at least one for each non-empty
    stratum while places last, taken from the stratum with the most.

    Args:
        sizes: (B,) windows in each stratum.
        places: Windows to keep in all, at most ``sizes.sum()``.

    Returns:
        (B,) int64, summing to ``places``, never above ``sizes``.
    """
    if places == 0 or sizes.sum() == 0:
        return np.zeros_like(sizes)
    shares: NDArray[np.int64] = places * sizes // sizes.sum()
    by_remainder = np.argsort(-(places * sizes % sizes.sum()), kind="stable")
    shares[by_remainder[: places - shares.sum()]] += 1
    for stratum in np.flatnonzero((shares == 0) & (sizes > 0)):
        richest = int(np.argmax(shares))
        if shares[richest] <= 1:
            break
        shares[richest] -= 1
        shares[stratum] = 1
    return shares


def select_windows(
    scores: NDArray[np.float32],
    strata: NDArray[np.int64],
    size: int,
    hard_share: float,
    rng: np.random.Generator,
) -> Selection:
    """Keep the hardest windows, and a balanced, reweighted sample of the rest.

    The hard set is the top ceil(alpha K) scores (unseen and NaN count as hardest), with weight
    1. The remaining places are shared among the strata in proportion to their easy windows and
    filled uniformly; each then weighs n_b / k_b (Horvitz and Thompson 1952), so the weights of
    a stratum sum to its size and the expected weighted gradient is that of all windows.

    Args:
        scores: (n,) complexity of each window's last visit.
        strata: (n,) stratum of each window.
        size: K, windows to keep, 1 to n.
        hard_share: alpha.
        rng: Private generator.

    Returns:
        Exactly ``size`` distinct windows in ascending order, weights not yet rescaled.
    """
    # 0.55 * 100 is a little above 55, which is no reason for a 56th.
    hard_size = math.ceil(hard_share * size - 1e-9)
    ranking = np.where(np.isnan(scores), np.inf, scores)
    is_hard = np.zeros(len(scores), dtype=bool)
    is_hard[_largest(ranking, hard_size, rng)] = True
    easy = rng.permutation(np.flatnonzero(~is_hard))
    # Grouped by stratum, in random order within: the first k_b of each group are a sample.
    easy = easy[np.argsort(strata[easy], kind="stable")]
    sizes = np.bincount(strata[easy], minlength=int(strata.max()) + 1)
    kept = allocate(sizes, size - hard_size)
    position = np.arange(len(easy)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = easy[position < np.repeat(kept, sizes)]
    weights = np.ones(len(scores), dtype=np.float32)
    weights[chosen] = (sizes / np.maximum(kept, 1))[strata[chosen]]
    is_hard[chosen] = True
    indices = np.flatnonzero(is_hard)
    return Selection(indices, weights[indices])


def _largest(
    values: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of the ``count`` largest values; ties at the edge are broken at random."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > threshold)
    tied = np.flatnonzero(values == threshold)
    if len(above) + len(tied) > count:
        tied = rng.permutation(tied)[: count - len(above)]
    return cast(NDArray[np.int64], np.concatenate([above, tied]))


class STPrune(Pruner):
    """Scores each window when it is visited, and selects anew before each pruned epoch."""

    Options = STPruneOptions
    options: STPruneOptions

    def __init__(self, context: PruningContext, options: STPruneOptions) -> None:
        super().__init__(context, options)
        if context.store is None:
            raise DeclinedError("st_prune needs the training windows to measure stationarity")
        # Unseen windows are visited before they can be pruned.
        self.window_state["scores"] = torch.full(
            (context.windows,), float("inf"), device=context.device
        )
        stationarity = first_difference(context.store).cpu().numpy()
        self.strata = quantile_strata(stationarity, options.strata)

    def select(self, epoch: int) -> Selection:
        """All windows in the first epoch and the tail, else hard set and balanced sample."""
        options, context = self.options, self.context
        if epoch == 0:
            return everything(context.windows)
        size = annealed_budget(context, epoch, options.annealing, options.delta)
        if size == context.windows:
            return everything(context.windows)
        scores = self.window_state["scores"].cpu().numpy()
        chosen = select_windows(scores, self.strata, size, options.hard_share, self.rng)
        return Selection(chosen.indices, scale_weights(chosen.weights, options.loss_scale))

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Remember each window's complexity."""
        options = self.options
        self.window_state["scores"][indices] = complexity(
            errors, mask, options.spatial_weight, options.temporal_weight
        )
