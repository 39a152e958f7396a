"""Which files a format reads: the roles that a card must give, and those that it may."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from stprune.base.errors import ConfigError
from stprune.data.card import DatasetCard


def check_roles(
    card: DatasetCard,
    files: Mapping[str, Path],
    required: Collection[str],
    optional: Collection[str] = (),
) -> None:
    """Refuse a card whose files are not those that its format reads.

    Args:
        card: Names the format.
        files: Path of each role that the card gives.
        required: Roles that the format needs.
        optional: Roles that it can use besides.

    Raises:
        ConfigError: If a role is missing or not known.
    """
    if set(required) <= set(files) <= {*required, *optional}:
        return
    perhaps = f" and perhaps {', '.join(optional)}" if optional else ""
    raise ConfigError(
        f"{card.title}: the format {card.format} takes the files {', '.join(required)}{perhaps},"
        f" not {', '.join(sorted(files)) or 'none'}"
    )


def check_one_channel(card: DatasetCard) -> None:
    """Refuse a card of several channels, whose format holds one.

    Raises:
        ConfigError: If there are several.
    """
    if len(card.channels) != 1:
        names = ", ".join(channel.name for channel in card.channels)
        raise ConfigError(
            f"{card.title}: the format {card.format} holds one channel, not"
            f" {len(card.channels)} ({names})"
        )
