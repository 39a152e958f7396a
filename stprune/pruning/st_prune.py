"""ST-Prune: dynamic pruning by the structure of a window's error, balanced by stationarity.

Paper: Chen, Chen, Wu, Liang, Zhou, "Learning from complexity: exploring dynamic sample pruning
of spatio-temporal training". Venue: arXiv 2602.19113, 2026. Official code: none public.
Where we differ: the paper's formulas are not public to us. The ideas (complexity-informed
score, stationarity-aware rescaling, annealing) are the paper's; every formula here is our
reading, described in ``docs/method.md``, and every choice is an option.
"""

from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from stprune.base.errors import DeclinedError
from stprune.data.stationarity import StationarityMeasure, stationarity
from stprune.pruning import selection
from stprune.pruning.base import LossScale, PruningContext, Selection, scale_weights
from stprune.pruning.complexity import SpatialStructure, complexity, edge_list
from stprune.pruning.dynamic import ScheduleOptions, ScoringPruner, at_phase

Share = Annotated[float, Field(ge=0, le=1)]
Power = Annotated[float, Field(ge=0)]


class STPruneOptions(ScheduleOptions):
    """Our reading (``docs/method.md``); two numbers are of the first and the last pruned epoch."""

    spatial: SpatialStructure = Field(
        "std", description="Spatial structure: spread over nodes, worst nodes, or over edges."
    )
    spatial_weight: float = Field(1.0, ge=0, description="lambda_s, weight of spatial structure.")
    temporal_weight: float = Field(0.0, ge=0, description="lambda_t, of temporal structure.")
    score_memory: float = Field(0.0, ge=0, lt=1, description="Share kept of the old score.")
    relative: selection.Relative = Field(
        "none",
        description="Score less, or over, the mean of the same hour and kind of day.",
    )
    sampling: Literal["hard_and_easy", "importance", "tempered"] = Field(
        "hard_and_easy",
        description="Hard set and balanced rest, or in proportion to the score, with a uniform"
        " floor or to a power.",
    )
    hard_share: Share | tuple[Share, Share] = Field(
        0.5, description="alpha, share of K kept by rank; or its first and last value."
    )
    score_share: float = Field(0.5, ge=0, lt=1, description="beta of `importance`.")
    temper: Power | tuple[Power, Power] = Field(
        1.0, description="gamma of `tempered`, power of the score; or its first and last value."
    )
    stationarity: StationarityMeasure = Field(
        "first_difference", description="What the strata are quantiles of."
    )
    strata: int = Field(10, ge=1, description="B, quantile strata of stationarity.")
    shares: selection.Shares = Field(
        "proportional", description="Places of a stratum: by size, or size times score spread."
    )
    rescaling: selection.Rescaling = Field(
        "stationarity", description="Weight of an easy window: n_b / k_b, one for all, or 1."
    )
    rescaling_power: Share | tuple[Share, Share] = Field(
        1.0, description="tau, power of the weights, 0 for 1 each; or its first and last value."
    )
    weight_limit: float | None = Field(None, ge=1, description="Largest weight; null: no limit.")
    loss_scale: LossScale = Field("mean", description="`mean` rescales an epoch's weights to 1.")


class STPrune(ScoringPruner):
    """Scores each window when it is visited, and selects anew before each pruned epoch."""

    Options = STPruneOptions
    options: STPruneOptions

    def __init__(self, context: PruningContext, options: STPruneOptions) -> None:
        super().__init__(context, options)
        self.edges = None
        if options.spatial == "graph":
            if context.adjacency is None:
                raise DeclinedError("st_prune with spatial: graph needs the graph; use std")
            self.edges = edge_list(context.adjacency)
        self.strata = selection.quantile_strata(self._stationarity(), options.strata)
        self.periods = self._periods()

    def _stationarity(self) -> NDArray[np.floating[Any]]:
        context = self.context
        if context.stationarity is not None:
            return context.stationarity
        if self.options.strata == 1:
            return np.zeros(context.windows, dtype=np.float32)
        if not context.stores:
            ways = "that of each window, training windows to measure it from, or option strata: 1"
            raise DeclinedError(f"st_prune balances by stationarity: give it {ways}")
        return stationarity(context.stores, self.options.stationarity).cpu().numpy()

    def _periods(self) -> NDArray[np.int64]:
        """(n,) hour and kind of day of each window, apart for each data set."""
        context = self.context
        if self.options.relative == "none":
            return np.zeros(context.windows, dtype=np.int64)
        if context.times is None:
            ways = "the time of each window, or option relative: none"
            raise DeclinedError(f"st_prune compares windows of the same hour: give it {ways}")
        periods = selection.calendar_periods(context.times)
        members = np.repeat(np.arange(len(context.stores)), [len(one) for one in context.stores])
        return periods + 48 * members if len(context.stores) > 1 else periods

    def choose(self, epoch: int, size: int) -> Selection:
        """A scored selection."""
        options, phase = self.options, self.phase(epoch)
        scores = self.window_state["scores"].cpu().numpy()
        scores = selection.relative_to_usual(scores, self.periods, options.relative)
        if options.sampling == "importance":
            chosen = selection.importance(
                scores, size, score_share=options.score_share, rng=self.rng
            )
        elif options.sampling == "tempered":
            temper = at_phase(options.temper, phase)
            chosen = selection.tempered(scores, size, temper=temper, rng=self.rng)
        else:
            chosen = selection.hard_and_easy(
                scores,
                self.strata,
                size,
                hard_share=at_phase(options.hard_share, phase),
                rng=self.rng,
                shares=options.shares,
                rescaling=options.rescaling,
            )
        power = at_phase(options.rescaling_power, phase)
        weights = selection.partial_weights(chosen.weights, power, options.weight_limit)
        return Selection(chosen.indices, scale_weights(weights, options.loss_scale))

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Keep each window's complexity, averaged with its old one if asked for."""
        options = self.options
        score = complexity(
            errors,
            mask,
            spatial=options.spatial,
            spatial_weight=options.spatial_weight,
            temporal_weight=options.temporal_weight,
            edges=self.edges,
        )
        scores = self.window_state["scores"]
        if options.score_memory:
            old = scores[indices]
            known = torch.isfinite(old)
            mixed = options.score_memory * old + (1 - options.score_memory) * score
            score = torch.where(known, mixed, score)
        scores[indices] = score
