"""What has to fit together for a union of data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stprune.base.errors import ConfigError
from stprune.base.settings import DatasetEntry
from stprune.data.card import load_card

if TYPE_CHECKING:
    from stprune.config.experiment import ExperimentConfig


def check_union(config: ExperimentConfig, name: str, entry: DatasetEntry, place: str) -> None:
    """What a union asks of its data sets, of training and of every backbone.

    Raises:
        ConfigError: One line saying which of them does not fit.
    """
    # Imported late: it loads torch, which reading a configuration's form does not need.
    from stprune.backbones.base import BACKBONES

    directory = config.data_directory
    minutes = {card: load_card(card, directory).step_minutes for card in entry.cards(name)}
    # A history is a number of steps.
    if len(set(minutes.values())) > 1:
        listed = ", ".join(f"{name}: {minutes} min" for name, minutes in minutes.items())
        raise ConfigError(f"{place}: data sets of a union must have one time step, got {listed}")
    if (entry.training.get("budget") or config.training.budget) == "steps":
        raise ConfigError(
            f"{place}: the steps of a union depend on what is selected of each data set, so they"
            " cannot be a budget; take epochs, total_windows or total_time"
        )
    for backbone_name, backbone in config.backbones.items():
        kind = BACKBONES.load(backbone.backbone or backbone_name)
        if not (kind.transferable and kind.trains):
            raise ConfigError(
                f"{place}: backbone `{backbone_name}` cannot be trained on a union: it is not"
                " transferable, or learns nothing; give it an experiment of its own"
            )
        if entry.linear_probe and not hasattr(kind, "linear_probe_parameters"):
            raise ConfigError(
                f"{place}: backbone `{backbone_name}` does not say which layer a linear probe"
                " trains; leave `linear_probe` out"
            )
