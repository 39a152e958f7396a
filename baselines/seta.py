"""SeTa: cluster windows by their loss, and slide from easy to hard clusters.

Paper: Zhou, Gao, Wang, "Scale efficient training for large datasets".
Venue: CVPR 2025 (arXiv 2503.13385). Official code: github.com/mrazhou/SeTa.
Where we differ: (1) regression reading, a window's loss is its masked MAE; (2) draws come from the
run's private generator; (3) k-means is that of scipy from the quantiles of the losses, without a
draw, and clusters that run empty are left out; (4) unseen windows are in the hardest cluster, not
scored 3.0; (5) `exact` budget, our default, with the full first epoch and tail of the other
methods: K random windows of the clusters in reach, and where these hold fewer, all of them and
random ones of the nearest clusters. `original` first draws a share r of all windows and trains on
those in reach, and its tail, too, has the share r.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.vq import kmeans

from stprune.pruning.base import Selection
from stprune.pruning.dynamic import ScheduleOptions, ScoringPruner
from stprune.pruning.selection import largest


class SeTaOptions(ScheduleOptions):
    """The published rule and its budget."""

    clusters: int = Field(10, ge=1, description="Clusters of the losses.")
    reach: float = Field(0.5, gt=0, le=1, description="Share of the clusters trained on at a time.")
    budget: Literal["exact", "original"] = Field(
        "exact", description="`exact` visits round(r n) windows; `original` about `reach` of that."
    )


def loss_clusters(losses: NDArray[np.float32], clusters: int) -> NDArray[np.int64]:
    """Cluster of each loss (n,), 0 the easiest: k-means in one dimension, at most ``clusters``."""
    finite = np.isfinite(losses)
    known = losses[finite].astype(np.float64)
    if not len(known):
        return np.zeros(len(losses), dtype=np.int64)
    guess = np.unique(np.quantile(known, (np.arange(clusters) + 0.5) / clusters))
    # scipy takes a single number for a number of clusters.
    centres = guess if len(guess) == 1 else np.sort(kmeans(known, guess)[0])
    found = np.searchsorted((centres[1:] + centres[:-1]) / 2, np.where(finite, losses, np.inf))
    return found.astype(np.int64)


def out_of_reach(clusters: NDArray[np.int64], epoch: int, reach: float) -> NDArray[np.int64]:
    """(n,) clusters between each window's and those in reach at ``epoch``, 0 for these.

    round(reach x clusters) neighbours are in reach, one further each epoch, then from the easiest.
    """
    count = int(clusters.max()) + 1
    width = min(count, max(1, round(count * reach)))
    start = epoch % (count - width + 1)
    return np.maximum(start - clusters, clusters - (start + width - 1)).clip(min=0)


class SeTa(ScoringPruner):
    """Applies the rule to the last loss of each window before each pruned epoch."""

    Options = SeTaOptions
    options: SeTaOptions

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """K by the schedule; by the original rule r n in the tail, about ``reach`` of it before."""
        size = super().epoch_windows(epoch, epochs)
        if self.options.budget == "exact" or epoch == 0:
            return size
        share = 1.0 if size == self.context.windows else self.options.reach
        return max(1, round(share * self._drawn()))

    def _drawn(self) -> int:
        # (1 - 0.9) * 10 is a little below 1, which is no reason to draw none.
        return max(1, math.floor(self.context.keep_ratio * self.context.windows + 1e-9))

    def choose(self, epoch: int, size: int) -> Selection:
        """Keep windows by `budget`, as the header says; every weight is 1."""
        scores, options = self.window_state["scores"].cpu().numpy(), self.options
        if options.budget == "exact":
            distance = out_of_reach(loss_clusters(scores, options.clusters), epoch, options.reach)
            kept = largest(-distance.astype(np.float32), size, self.rng)
        else:
            kept = self.rng.permutation(len(scores))[: self._drawn()]
            if super().epoch_windows(epoch, self.epochs) < len(scores):
                clusters = loss_clusters(scores[kept], options.clusters)
                kept = kept[out_of_reach(clusters, epoch, options.reach) == 0]
        return Selection(np.sort(kept), np.ones(len(kept), dtype=np.float32))
