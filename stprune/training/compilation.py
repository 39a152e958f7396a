"""``compute.compile``: let torch generate code for a network, without changing its names."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from stprune.base.errors import ConfigError


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Have ``network`` compiled when it is first called; its ``state_dict`` keeps its names.

    Args:
        network: Any module.
        device: Where it will run.

    Raises:
        ConfigError: If this machine cannot compile, so that no run finds out halfway.
    """
    with warnings.catch_warnings():
        # The compiler's own imports warn of functions that torch itself will do without.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            torch.compile(_trial)(torch.zeros(8, device=device))
        except Exception as error:  # whatever it stumbles over, the run cannot have it
            message = (
                f"`compute.compile`: torch cannot compile for {device.type} here"
                f" ({_first_line(error)}); install a C++ compiler, or set it to false"
            )
            raise ConfigError(message) from None
    network.compile()


def _trial(values: Tensor) -> Tensor:
    return values.sin() + 1


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
