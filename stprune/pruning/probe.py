"""Parts of probes: gradients of a network's last layer, and the probe where there is none."""

from collections.abc import Callable
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from stprune.base.errors import DeclinedError


class NoProbe:
    """A probe that declines to score, for a ``reason`` that completes the sentence."""

    def __init__(self, pruner: str, reason: str) -> None:
        self.pruner, self.reason = pruner, reason

    def _decline(self, *_: Any, **__: Any) -> NoReturn:
        raise DeclinedError(f"{self.pruner} trains models of its own to score windows{self.reason}")

    train = watch = gradients = _decline


def last_layer_gradients(network: nn.Module, losses: Callable[[], Tensor], windows: int) -> Tensor:
    """(B, P) gradients of windows' losses at the last linear layer, P = outputs x (inputs + bias).

    ``losses`` runs the network, in evaluation mode, on a batch of so many windows: these do not mix
    then, so one backward pass to the layer's output gives the gradient of each by itself. Raises
    DeclinedError if the network has no ``nn.Linear``, or one that mixes windows.
    """
    seen: list[tuple[nn.Linear, Tensor, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[:] = [(cast(nn.Linear, layer), inputs[0], output)]

    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.enable_grad():
            total = losses().sum()
    finally:
        for hook in hooks:
            hook.remove()
    kind = type(network).__name__
    if not seen:
        raise DeclinedError(f"{kind} runs no nn.Linear, whose gradient could score windows")
    layer, inputs, output = seen[0]
    if len(inputs) != windows:
        rows = f"{len(inputs)} rows for {windows} windows; its first dimension must be the batch"
        raise DeclinedError(f"the last nn.Linear of {kind} sees {rows}")
    (towards,) = torch.autograd.grad(total, output)
    towards = towards.reshape(windows, -1, layer.out_features)
    fed = inputs.detach().reshape(windows, -1, layer.in_features)
    parts = [(towards.transpose(1, 2) @ fed).flatten(1)]
    if layer.bias is not None:
        parts.append(towards.sum(1))
    return torch.cat(parts, 1)


def sign_projection(size: int, width: int, seed: int) -> Tensor:
    """(P = ``size``, width) random signs over root(width): keeps distances (Achlioptas 2003)."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (size, width), generator=generator, dtype=torch.int8)
    projection: Tensor = (2.0 * signs - 1.0) / width**0.5
    return projection
