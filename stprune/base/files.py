"""Files that appear complete or not at all, locks on folders, a limit on what files unpack to."""

import errno
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from stprune.base.errors import DataError, WriteError

logger = logging.getLogger(__name__)

# What the system says when there is no room, no right to write, or no lock to be had.
FAILURES = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOLCK),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR),
}
# A file may unpack to more than LARGE_BYTES only if that is at most MOST_RATIO times its own size.
LARGE_BYTES = 1 << 30
MOST_RATIO = 200


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target``, of the same suffix, that becomes ``target`` on success.

    On any error, also an interrupt, it is removed and ``target`` is left as it was. What a killed
    process left of an earlier attempt is removed. A WriteError if the place cannot be written to.
    """
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    with naming_failure(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for path in target.parent.glob(f".{escape(target.stem)}.*.partial{escape(target.suffix)}"):
            writer = path.name.removeprefix(f".{target.stem}.").split(".")[0]
            if not (writer.isdigit() and psutil.pid_exists(int(writer))):
                path.unlink(missing_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` atomically, as UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` to ``target`` atomically; NaN is refused, since JSON has none."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def naming_failure(target: Path) -> Iterator[None]:
    """Turn the system's refusal to write, also behind a library's error, into a WriteError."""
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in FAILURES:
                reason = f"{os.strerror(cause.errno)}; after a remedy the same command continues"
                raise WriteError(f"{target} cannot be written: {reason}") from None
            cause = cause.__cause__ or cause.__context__
        raise


@contextmanager
def folder_lock(folder: Path, *, leave_no_trace: bool = False) -> Iterator[None]:
    """Let one process at a time work in ``folder``, which is made if need be; others wait.

    The lock ends with the process, however that ends. Its empty file ``.lock`` stays, unless
    ``leave_no_trace`` and the work is done without an error. Raises a WriteError like the others.
    """
    path = folder / ".lock"
    lock = FileLock(path)
    with naming_failure(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("waiting for another process that works in %s", folder)
            lock.acquire()
    try:
        yield
        if leave_no_trace:
            # Processes that wait for this file notice that it is gone, and make another.
            path.unlink(missing_ok=True)
    finally:
        lock.release()


def folder_is_locked(folder: Path) -> bool:
    """Whether a process works in ``folder`` under :func:`folder_lock`."""
    path = folder / ".lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def refuse_bomb(path: Path, unpacked: int) -> None:
    """Refuse a file that claims to hold far more bytes than its own size (CWE-409)."""
    if unpacked > max(LARGE_BYTES, MOST_RATIO * path.stat().st_size):
        much = f"{unpacked} bytes, over {MOST_RATIO} times its size"
        raise DataError(f"{path} would unpack to {much}")
