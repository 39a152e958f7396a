"""The state of a run under way: written atomically, read without trusting the file."""

from __future__ import annotations

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
    found, state = _read(path)
    changed = sorted(name for name in identity if found.get(name) != identity[name])
    if changed:
        return None, f"its {', '.join(changed)} changed since the checkpoint"
    return state, ""


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Identity and state as they were saved."""
    try:
        # Only tensors and plain values are unpickled: a checkpoint may come from a stranger.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader stumble over anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise _unreadable(path, reason) from None
    if isinstance(content, dict):
        found, state = content.get("identity"), content.get("state")
        if isinstance(found, dict) and isinstance(state, dict):
            return found, state
    raise _unreadable(path, "it does not hold the state of a run")


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {path} cannot be read ({reason}); delete it to start the run anew"
    )
