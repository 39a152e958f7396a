"""Batches in parts: gradients of parts of a batch add up to the gradient of the batch.

Only one part's activations are in memory at a time. On a processor that is faster as well, once a
batch's tensors are too large for its caches and for the allocator to keep: memory is then asked of
the system, and cleared by it, anew for every tensor of every step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stprune.backbones.base import Backbone
from stprune.base.errors import DeclinedError


def windows_at_a_time(network: Backbone, asked: int | None, device: torch.device) -> int | None:
    """Windows of a batch that are computed together; None for all.

    Args:
        network: The bare backbone.
        asked: What the configuration says; None leaves it to the backbone, on a processor.
        device: Where it trains.

    Raises:
        DeclinedError: If parts are asked for but the network has statistics over the batch.
    """
    if asked is None:
        return network.micro_batch() if device.type == "cpu" else None
    if normalises_over_batch(network):
        raise DeclinedError(
            f"`compute.micro_batch`: {type(network).__name__} normalises over the batch, so its"
            " parts would give another gradient; leave it at null"
        )
    return asked


def parts(indices: Tensor, weights: Tensor, windows: int | None) -> list[tuple[Tensor, Tensor]]:
    """A batch's window numbers and weights, (B,) each, cut into parts of ``windows`` at most.

    An empty batch has one empty part, so that all devices synchronise equally often.
    """
    if windows is None or len(indices) <= windows:
        return [(indices, weights)]
    return list(zip(indices.split(windows), weights.split(windows), strict=True))


def normalises_over_batch(network: nn.Module) -> bool:
    """Whether a window's forecast depends on the other windows of its batch in training."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())
