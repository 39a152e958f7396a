"""Dropout with cheap random numbers on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional

DRAW_BITS = 16


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` that uses each random 64-bit number for four values on a CPU.

    torch draws one number a value there, which takes up to a third of a light model's step. The
    share dropped is rounded to the nearest 1 / 65536, and the rest is scaled by the share that is
    really kept, so that the expectation is exact. Draws from torch's default generator.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Any shape to the same."""
        plain = values.device.type != "cpu" or torch.compiler.is_compiling()
        if not self.training or self.p in (0, 1) or plain:
            return functional.dropout(values, self.p, self.training)
        kept, scale = keep_mask(values.shape, self.p)
        noise = kept.to(values.dtype).mul_(scale)
        result: Tensor = values * noise
        return result


def keep_mask(shape: torch.Size, share: float) -> tuple[Tensor, float]:
    """A mask of what dropout keeps on a CPU, and the factor that keeps the expectation.

    The share to drop, in [0, 1), is met to the nearest 2^-16, but never all are dropped.
    """
    values = 2**DRAW_BITS
    dropped = min(round(share * values), values - 1)
    draws = torch.empty(-(-shape.numel() // 4), dtype=torch.int64)
    # All 64 bits: from the smallest of their values, with no upper bound.
    draws.random_(-(2**63), None)
    kept = draws.view(torch.int16)[: shape.numel()].view(shape) >= dropped - values // 2
    return kept, values / (values - dropped)
