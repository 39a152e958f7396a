"""The same predictions scored by the rules of several publications.

=========== ============================= ====================== ==================
rule        errors that count             MAPE counts            a score is
=========== ============================= ====================== ==================
`paper`     observed targets              those of at least the  pooled
                                          card's `mape_floor`
`st_ttc`    labels but the lowest of the  the same               the mean of those
            split, where that is below 1;                        of the horizon's
            zeros where it is not; no                            steps
            window of the last, partial
            batch
`largest`   labels that are not 0         the same               pooled
`opencity`  labels above 0                labels above 0.001     pooled
=========== ============================= ====================== ==================

Sources: ST-TTC (NeurIPS 2025), small-scale code; LargeST (NeurIPS 2023), as in the large-scale
code of ST-TTC; OpenCity (Li et al. 2024), test mode. Those know no mask: a missing value is a label
of 0. `paper` is `ErrorSums`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from stprune.base.settings import ProtocolKind
from stprune.data.legacy_store import null_label
from stprune.data.windows import WindowStore
from stprune.pruning.base import window_mae
from stprune.records.run import Scores
from stprune.training.metrics import batch_mae_parts, error_rows, scores_of_sums

OPENCITY_FLOOR = 0.001
BLOCK_VALUES = 2**21
PARTS = ("lowest", "higher", "largest", "opencity")


class RuleSums:
    """Running sums of errors under the rules of others, in float64 on the device.

    Args:
        store: The windows of the split.
        batch_size: Of the batches whose partial last one `st_ttc` drops.
    """

    def __init__(self, store: WindowStore, batch_size: int) -> None:
        self.kept = len(store) // batch_size * batch_size
        self.windows = len(store)
        self.hides = store.hides_targets
        device = store.device
        # Of the labels so far: the lowest, and the sums over those that equal it kept apart.
        self.lowest = torch.full((), torch.inf, device=device)
        shape = len(PARTS), 5, store.horizon
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)

    def update(self, indices: Tensor, forecast: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Add one batch.

        Args:
            indices: (B,) int64 window numbers in the split.
            forecast: (B, H, N) float32, real units.
            targets: (B, H, N) float32, real units.
            mask: (B, H, N) bool, True where a target was observed, and hidden from the model if
                the store hides targets; then no other value is a label.
        """
        # A few windows at a time: the sums of a large graph's batch would take gigabytes.
        pieces = max(1, BLOCK_VALUES // targets[0].numel())
        batch = (indices, forecast, targets, mask)
        for piece in zip(*(values.split(pieces) for values in batch), strict=True):
            self._add(*piece)

    def _add(self, indices: Tensor, forecast: Tensor, targets: Tensor, mask: Tensor) -> None:
        labels = targets.where(mask, 0.0)
        labelled = mask if self.hides else torch.ones_like(labels, dtype=torch.bool)
        kept = labelled & (indices < self.kept)[:, None, None]
        self._lower(labels.where(kept, torch.inf).min())
        lowest = labels == self.lowest
        counted = (kept & lowest, kept & ~lowest, labelled & (labels != 0), labelled & (labels > 0))
        in_percent = (*counted[:3], counted[3] & (labels > OPENCITY_FLOOR))
        errors, sizes = (forecast - labels).abs(), labels.double()
        rows = [
            error_rows(errors * mine, mine, shares, sizes)
            for mine, shares in zip(counted, in_percent, strict=True)
        ]
        self.sums += torch.stack(rows)

    def merge(self, fabric: Fabric) -> None:
        """Add what the other devices evaluated."""
        if fabric.world_size > 1:
            self._lower(cast(Tensor, fabric.all_gather(self.lowest)).min())
            self.sums = cast(Tensor, fabric.all_reduce(self.sums, reduce_op="sum"))

    def st_ttc_mae(self) -> float:
        """Pooled MAE under the rule `st_ttc`, by which its best epoch is chosen."""
        total, _, count, _, _ = self.st_ttc_sums().sum(1)
        return float(total / count)

    def scores(self) -> dict[str, Scores]:
        """By rule; see :func:`rule_scores`."""
        return rule_scores([self])

    def _lower(self, lowest: Tensor) -> None:
        """Let ``lowest`` be the lowest label, if it is lower than the one so far."""
        falls = lowest < self.lowest
        first, second = self.sums[0].clone(), self.sums[1]
        self.sums[1] = torch.where(falls, first + second, second)
        self.sums[0] = torch.where(falls, 0.0, first)
        self.lowest = torch.minimum(self.lowest, lowest)

    def st_ttc_sums(self) -> Tensor:
        """(5, H) sums that count under `st_ttc`."""
        masked = null_label(self.lowest) == self.lowest
        return self.sums[1] + torch.where(masked, 0.0, self.sums[0])


def rule_scores(parts: Sequence[RuleSums]) -> dict[str, Scores]:
    """Scores under each rule but `paper`, over the windows of several data sets together.

    Args:
        parts: Of each data set; of a single one as a rule. Each has a lowest label of its own.
    """
    st_ttc = torch.stack([part.st_ttc_sums() for part in parts]).sum(0)
    sums = torch.stack([part.sums for part in parts]).sum(0)
    kept, windows = sum(part.kept for part in parts), sum(part.windows for part in parts)
    return {
        "st_ttc": scores_of_sums(st_ttc, kept, 0.0, mean_of_steps=True),
        "largest": scores_of_sums(sums[2], windows, 0.0),
        "opencity": scores_of_sums(sums[3], windows, OPENCITY_FLOOR),
    }


@dataclass(frozen=True)
class TrainingRules:
    """How a run trains and scores.

    Args:
        window_losses: From (B, H, N) errors and mask to (B,) losses of the windows of a batch.
        drops_partial_batches: Whether what fills no whole batch is left out, in every split.
        scores: Rule of the run's own validation and test scores; see
            ``stprune.training.metric_rules``.
        whole_batches: Whether a batch's mask depends on all of it, so that it has no parts.
    """

    window_losses: Callable[[Tensor, Tensor], Tensor]
    drops_partial_batches: bool
    scores: str
    whole_batches: bool


OURS = TrainingRules(window_mae, False, "paper", False)
RULES: dict[ProtocolKind, TrainingRules] = {
    "paper": OURS,
    "strict": OURS,
    # A loss is pooled over the batch: a window with few labels counts little.
    "legacy": TrainingRules(batch_mae_parts, True, "st_ttc", True),
}
