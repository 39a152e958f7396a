"""Files appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from stprune.base.errors import WriteError

# What the system says when there is no room, or no right to it, and what helps.
FAILURES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`)",
    errno.EACCES: "make its folder writable",
    errno.EPERM: "make its folder writable",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOTDIR: "one of its folders is a file, which has to go",
    errno.EIO: "the disk may be damaged; choose another",
}


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path in the folder of ``target`` that becomes ``target`` on success.

    The file keeps the suffix of ``target``, since many writers look at it. On any error,
    also an interrupt, the temporary file is removed and ``target`` is left as it was. What a
    killed process left of an earlier attempt is removed.

    Raises:
        WriteError: If the disk is full, or the place cannot be written to.
    """
    with naming_failure(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        handle, temporary = _temporary(target)
        try:
            yield temporary
            flush(temporary)
            # mkstemp makes private files; results are for everyone the umask allows.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def naming_failure(target: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a line that names ``target``.

    Raises:
        WriteError: If the disk is full, or the place cannot be written to.
    """
    try:
        yield
    except Exception as error:
        failure = _write_failure(error)
        if failure is None:
            raise
        raise _unwritable(target, failure) from None


def _temporary(target: Path) -> tuple[int, Path]:
    """A file of our own: locked, so that nobody takes it for a leftover while we live."""
    while True:
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem}.", suffix=f".partial{target.suffix}"
        )
        # Whoever came between the two calls has locked it to remove it.
        if _lock(handle) is not False and os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of ``target`` whose writers are gone: a lock ends with its process."""
    pattern = f".{escape(target.stem)}.*.partial{escape(target.suffix)}"
    for path in target.parent.glob(pattern):
        with suppress(FileNotFoundError, PermissionError):
            handle = os.open(path, os.O_RDWR)
            try:
                if _lock(handle):
                    path.unlink()
            finally:
                os.close(handle)


def _lock(handle: int) -> bool | None:
    """Whether the file is ours now; None where the file system has no locks, so nobody can tell."""
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError:
        return None


def _write_failure(error: BaseException | None) -> OSError | None:
    """The system's refusal to write behind ``error``; libraries may hide it under their own."""
    while error is not None:
        if isinstance(error, WriteError):
            return None
        if isinstance(error, OSError) and error.errno in FAILURES:
            return error
        error = error.__cause__ or error.__context__
    return None


def _unwritable(target: Path, failure: OSError) -> WriteError:
    number = failure.errno or 0
    return WriteError(
        f"{target} cannot be written: {os.strerror(number)}; {FAILURES[number]}, and the same"
        " command continues",
        failure,
    )


def flush(path: Path) -> None:
    """Let the content of ``path`` reach the disk before its name says that it is whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` atomically, as UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` to ``target`` atomically; NaN is refused, since JSON has none."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")
