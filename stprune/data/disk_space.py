"""Room on a disk: asked for before something large is written, and named when it runs out."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from stprune.base.errors import FetchError

# A full disk, a full quota, and a file larger than the system lets it become.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ADVICE = "make room there or choose another data directory, then run the same command again"


def require_room(folder: Path, needed: int) -> None:
    """Make sure that ``needed`` bytes fit into ``folder``, which exists.

    Raises:
        FetchError: If they do not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(f"{folder} has {free} bytes free and {needed} are needed; {ADVICE}")


def unwritable(target: Path, error: OSError) -> FetchError:
    """The error of a file that could not be written, for the user."""
    if error.errno in NO_ROOM:
        return FetchError(f"there is no room for {target} ({error.strerror}); {ADVICE}")
    return FetchError(f"{target} cannot be read or written: {error}")
