"""Training windows as the released ST-TTC (NeurIPS 2025) masks them: by the lowest label.

Its training loop knows no missing values. Of each batch it leaves out the labels that equal the
batch's lowest one if that is below 1, and zeros otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from stprune.data.windows import Batch, WindowStore


@dataclass(frozen=True)
class LegacyStore(WindowStore):
    """Training windows in which a missing value is 0, as in the series itself."""

    @classmethod
    def of(cls, store: WindowStore) -> Self:
        """The windows of ``store``, masked as released."""
        return cls(**{field.name: getattr(store, field.name) for field in fields(WindowStore)})

    def gather(self, windows: Tensor) -> Batch:
        """See :meth:`WindowStore.gather`; the mask depends on all windows of the batch."""
        batch = super().gather(windows)
        return batch._replace(mask=batch.targets != null_label(batch.targets.min()))


def null_label(lowest: Tensor) -> Tensor:
    """The label that does not count where ``lowest`` is the lowest of all: () each, real units."""
    return torch.where(lowest < 1, lowest, torch.zeros_like(lowest))
