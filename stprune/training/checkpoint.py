"""The state of a run under way: written atomically, read without trusting the file."""

import io
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from stprune.base.errors import CheckpointError
from stprune.base.files import atomic_path

logger = logging.getLogger(__name__)


def save_checkpoint(
    path: Path, state: dict[str, Any], identity: dict[str, str], keep_previous: bool = True
) -> None:
    """Write ``state`` of the run that ``identity`` names, and keep the checkpoint before it."""
    # Via memory: torch's own writer hides the reason of a failure, and aborts on an interrupt.
    content = io.BytesIO()
    torch.save({"identity": identity, "state": state}, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
        if keep_previous and path.exists():
            # A crash between the renames leaves only previous.pt, which is complete.
            path.replace(previous_checkpoint(path))


def previous_checkpoint(path: Path) -> Path:
    """Where the checkpoint before ``path`` is kept, in case that is damaged."""
    return path.with_name("previous.pt")


def discard_checkpoints(path: Path) -> None:
    """Remove both checkpoints of a run."""
    for place in (path, previous_checkpoint(path)):
        place.unlink(missing_ok=True)


def load_checkpoint(path: Path, identity: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """The state of a run and "", or None and the reason, such as another ``identity``.

    If the last checkpoint is damaged or lost, the one before is read. Raises CheckpointError if
    all that exist are damaged.
    """
    damaged: list[str] = []
    for place in filter(Path.exists, (path, previous_checkpoint(path))):
        try:
            saved, state = _read(place)
        except Exception as error:  # a damaged file can fail in any part of the reader
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            damaged.append(f"checkpoint {place} cannot be read ({reason})")
            continue
        changed = sorted(name for name in identity if saved.get(name) != identity[name])
        if changed:
            return None, f"its {', '.join(changed)} changed since the checkpoint"
        if damaged:
            logger.warning("%s; continuing from %s, the one before", damaged[0], place)
        return state, ""
    if damaged:
        raise CheckpointError(f"{' and '.join(damaged)}; delete what is damaged to start anew")
    return None, "there is no checkpoint"


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Identity and state as they were saved; raises anything if the file is damaged."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        # Torch reads uninitialised memory for a part that is marked as a folder.
        odd = [part for part in parts if part.external_attr or part.compress_type]
        if odd or len({part.filename for part in parts}) != len(parts):
            raise ValueError("its parts are not listed as torch does")
        # Torch writes a checksum of each part, but never reads it.
        if changed := archive.testzip():
            raise ValueError(f"{changed} is not what was written")
    # Only tensors and plain values are unpickled: a checkpoint may come from someone else.
    match torch.load(path, map_location="cpu", weights_only=True):
        case {"identity": dict(identity), "state": dict(state)}:
            return identity, state
    raise ValueError("it does not hold the state of a run")
