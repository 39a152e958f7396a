"""The state of a run under way: written atomically, read without trusting the file."""

from __future__ import annotations

import io
import logging
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from stprune.base.errors import CheckpointError
from stprune.base.files import atomic_path

logger = logging.getLogger(__name__)


def save_checkpoint(path: Path, state: dict[str, Any], identity: dict[str, str]) -> None:
    """Write ``state`` of the run that ``identity`` names, and keep the checkpoint before it.

    Raises:
        WriteError: If the disk is full, or the place cannot be written to.
    """
    with atomic_path(path) as temporary:
        _write(temporary, state, identity)
        # Between two renames there is no last one, but a whole one all the time.
        with suppress(FileNotFoundError):
            path.replace(previous_checkpoint(path))


def save_weights(path: Path, weights: dict[str, Any], identity: dict[str, str]) -> None:
    """Write the ``weights`` of a finished run; :func:`load_checkpoint` reads them.

    Raises:
        WriteError: If the disk is full, or the place cannot be written to.
    """
    with atomic_path(path) as temporary:
        _write(temporary, weights, identity)


def previous_checkpoint(path: Path) -> Path:
    """Where the checkpoint before ``path`` is kept, in case that is damaged."""
    return path.with_name("previous.pt")


def discard_checkpoints(path: Path) -> None:
    """Remove both checkpoints of a run."""
    path.unlink(missing_ok=True)
    previous_checkpoint(path).unlink(missing_ok=True)


def load_checkpoint(path: Path, identity: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """Read the state of a run; if the last checkpoint is damaged or lost, from the one before.

    Args:
        path: The checkpoint file.
        identity: What the checkpoint must have been made from: configuration, source, data.

    Returns:
        The state and "", or None and why there is none to use.

    Raises:
        CheckpointError: If there is no whole one, but a damaged one.
    """
    damaged: list[str] = []
    for place in (path, previous_checkpoint(path)):
        if not place.exists():
            continue
        try:
            found, state = _read(place)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        changed = sorted(name for name in identity if found.get(name) != identity[name])
        if changed:
            return None, f"its {', '.join(changed)} changed since the checkpoint"
        if damaged:
            logger.warning("%s; continuing from %s, an epoch earlier", damaged[0], place)
        return state, ""
    if damaged:
        it = "it" if len(damaged) == 1 else "both"
        raise CheckpointError(f"{' and '.join(damaged)}; delete {it} to start the run anew")
    return None, "there is no checkpoint"


def _write(path: Path, state: dict[str, Any], identity: dict[str, str]) -> None:
    # In memory first: torch's own file would not say why it cannot be written, and an interrupt
    # while it writes to one of Python's would end in an abort.
    content = io.BytesIO()
    torch.save({"identity": identity, "state": state}, content)
    path.write_bytes(content.getbuffer())


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Identity and state as they were saved."""
    try:
        refuse_changed_bytes(path)
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


def refuse_changed_bytes(path: Path) -> None:
    """Compare each part of the file with its checksum in there, which torch writes but never reads.

    Raises:
        ValueError: If a part differs; or whatever the reader of zip files stumbles over.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        # Torch takes a part that is marked as a folder for empty, and gives what happened to stand
        # in memory for its numbers.
        odd = [part for part in parts if part.external_attr or part.compress_type]
        if odd or len({part.filename for part in parts}) != len(parts):
            raise ValueError("its parts are not listed as torch does")
        changed = archive.testzip()
    if changed is not None:
        raise ValueError(f"{changed} is not what was written")


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {path} cannot be read ({reason})")
