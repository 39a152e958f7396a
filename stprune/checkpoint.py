"""The state of a run under way: written atomically, read without trusting the file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from stprune.atomic import atomic_path
from stprune.errors import CheckpointError


def save_checkpoint(path: Path, state: dict[str, Any], identity: dict[str, str]) -> None:
    """Write ``state`` of the run that ``identity`` names."""
    with atomic_path(path) as temporary:
        torch.save({"identity": identity, "state": state}, temporary)


def load_checkpoint(path: Path, identity: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """Read the state of a run.

    Args:
        path: The checkpoint file.
        identity: What the checkpoint must have been made from: configuration, source, data.

    Returns:
        The state and "", or None and why there is none to use.

    Raises:
        CheckpointError: If the file is there but cannot be read.
    """
    if not path.exists():
        return None, "there is no checkpoint"
    try:
        # Only tensors and plain values are unpickled: a checkpoint may come from a stranger.
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, state = content["identity"], content["state"]
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"checkpoint {path} cannot be read ({reason}); delete it to start the run anew"
        ) from None
    changed = sorted(name for name in identity if found.get(name) != identity[name])
    if changed:
        return None, f"its {', '.join(changed)} changed since the checkpoint"
    return state, ""
