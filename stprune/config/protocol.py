"""What protocol `legacy` cannot be combined with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stprune.base.errors import ConfigError

if TYPE_CHECKING:
    from stprune.config.experiment import ExperimentConfig


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
