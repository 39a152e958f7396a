"""Whether a simulated data set's card says what its options make."""

from __future__ import annotations

from datetime import time

from stprune.base.errors import ConfigError
from stprune.data.card import DatasetCard


def check_card(
    card: DatasetCard, nodes: int, steps: int, channels: list[str], step_minutes: int
) -> None:
    """Compare a card with what will be simulated for it.

    Args:
        card: The card.
        nodes: Nodes that its options make.
        steps: Steps that its options make.
        channels: Names of the simulated channels, in order.
        step_minutes: Minutes of a step.

    Raises:
        ConfigError: If it says something else, or does not start at midnight.
    """
    where = f"options of {card.title}"
    if (card.steps, card.nodes) != (steps, nodes):
        raise ConfigError(
            f"{where}: they make {nodes} nodes and {steps} steps,"
            f" but the card says {card.nodes} and {card.steps}"
        )
    if [channel.name for channel in card.channels] != channels:
        raise ConfigError(f"{where}: the channels of the card must be {' and '.join(channels)}")
    if card.step_minutes != step_minutes:
        raise ConfigError(f"{where}: step_minutes must be {step_minutes}, got {card.step_minutes}")
    if card.start.time() != time(0):
        raise ConfigError(f"{where}: start must be a midnight, got {card.start}")
