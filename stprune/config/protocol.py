"""What a protocol decides about training and scores; ``stprune.data.protocol`` what about data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from stprune.base.errors import ConfigError
from stprune.data.dataset import ForecastData
from stprune.training.metrics import batch_mae_parts, window_mae

if TYPE_CHECKING:
    from stprune.config.experiment import ExperimentConfig, ProtocolKind


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


def check_legacy(config: ExperimentConfig, name: str, place: str) -> None:
    """Refuse what the released code could not do, and no rule of it extends to.

    Raises:
        ConfigError: One line saying what does not fit.
    """
    entry = config.datasets[name]
    if entry.union or entry.task not in ("forecast", "few_shot"):
        raise ConfigError(
            f"{place}: protocol `legacy` is for forecasts on one data set; take `paper` or `strict`"
        )
    if (entry.training.get("budget") or config.training.budget) != "epochs":
        raise ConfigError(
            f"{place}: protocol `legacy` drops partial batches, which no budget but `epochs` plans"
        )
    if config.compute.devices > 1 or config.compute.micro_batch:
        raise ConfigError(
            f"{place}: protocol `legacy` masks by the lowest label of a whole batch; take one"
            " device and no micro_batch"
        )


def refuse_small_splits(data: ForecastData, batch_size: int) -> None:
    """Refuse splits of which dropping partial batches would leave nothing.

    Raises:
        ConfigError: Naming the split.
    """
    stores = {"training": data.train, "validation": data.validation, "test": data.test}
    for name, store in stores.items():
        if len(store) < batch_size:
            raise ConfigError(
                f"protocol `legacy` drops partial batches, and {len(store)} {name} windows fill"
                f" none of {batch_size}; lower `batch_size`, or take protocol `paper`"
            )
