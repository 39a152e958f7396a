"""Refuses a small file that unpacks to more than a memory holds (CWE-409)."""

from __future__ import annotations

from pathlib import Path

from stprune.base.errors import DataError

# Tables of numbers shrink to a tenth, mostly empty matrices to a five-hundredth.
LARGE_BYTES = 1 << 30
MOST_RATIO = 200


def refuse_bomb(path: Path, unpacked: int) -> None:
    """Refuse a file that claims to hold far more than its own size, before it is unpacked.

    Args:
        path: The file.
        unpacked: Bytes that what it holds would take in memory.

    Raises:
        DataError: If that is more than 1 GiB and more than 200 times the file's size.
    """
    packed = path.stat().st_size
    if unpacked > LARGE_BYTES and unpacked > MOST_RATIO * packed:
        raise DataError(
            f"{path} of {packed} bytes would unpack to {unpacked}, over {MOST_RATIO} times its"
            " size: refused"
        )
