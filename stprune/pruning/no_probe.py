"""What stands for the scoring model where there is none."""

from __future__ import annotations

from typing import NoReturn

from stprune.base.errors import DeclinedError
from stprune.pruning.base import Observer


class NoProbe:
    """A probe that declines whoever needs it.

    Args:
        pruner: Id, to name in the message.
        reason: Why there is none, and what to do; the rest of the sentence.
    """

    def __init__(self, pruner: str, reason: str) -> None:
        self.pruner, self.reason = pruner, reason

    def _decline(self) -> NoReturn:
        raise DeclinedError(f"{self.pruner} trains models of its own to score windows{self.reason}")

    def train(self, epochs: int, seed: int) -> NoReturn:
        """Decline."""
        self._decline()

    def watch(self, epochs: int, seed: int, observe: Observer) -> NoReturn:
        """Decline."""
        self._decline()

    def gradients(self, epochs: int, seed: int, width: int | None) -> NoReturn:
        """Decline."""
        self._decline()
