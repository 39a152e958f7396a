"""A probe whose errors and gradients are written down by a test."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stprune.pruning.base import Gradients, Observer


class ScriptedProbe:
    """Gives window i ``errors[i]`` of the call or epoch, or the gradients ``training[call][i]``.

    Attributes:
        calls: (epochs, seed, width) of each model that was asked for.
    """

    def __init__(
        self,
        errors: list[list[float]] | None = None,
        training: list[Tensor] | None = None,
        validation: Tensor | None = None,
    ) -> None:
        self.errors, self.training, self.validation = errors or [], training or [], validation
        self.calls: list[tuple[int, int, int | None]] = []

    def _batches(self, row: list[float]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """In random order, in batches of two."""
        generator = torch.Generator().manual_seed(len(self.calls))
        for indices in torch.randperm(len(row), generator=generator).split(2):
            errors = torch.tensor(row)[indices][:, None, None].expand(-1, 2, 3)
            yield indices, errors, torch.ones_like(errors, dtype=torch.bool)

    def train(self, epochs: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        row = self.errors[len(self.calls)]
        self.calls.append((epochs, seed, None))
        yield from self._batches(row)

    def watch(self, epochs: int, seed: int, observe: Observer) -> None:
        self.calls.append((epochs, seed, None))
        for row in self.errors[:epochs]:
            for batch in self._batches(row):
                observe(*batch)

    def gradients(self, epochs: int, seed: int, width: int | None) -> Gradients:
        values = self.training[len(self.calls)]
        self.calls.append((epochs, seed, width))
        parts = ((part, values[part]) for part in torch.arange(len(values)).split(2))
        return Gradients(parts, iter([] if self.validation is None else [self.validation]))
