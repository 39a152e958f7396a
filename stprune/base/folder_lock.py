"""One process at a time in a folder."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stprune.base.atomic import naming_failure

logger = logging.getLogger(__name__)


@contextmanager
def folder_lock(folder: Path, *, leave_no_trace: bool = False) -> Iterator[None]:
    """Let one process at a time work in ``folder``, which is made if need be; others wait.

    The lock ends with the process, however that ends; its empty file ``.lock`` stays.

    Args:
        folder: The folder.
        leave_no_trace: Remove that file too when the work is done without an error.

    Raises:
        WriteError: If the folder cannot be written to.
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
        except OSError as error:
            if error.errno != errno.ENOLCK:
                raise
            logger.warning("no locks on the disk of %s: let no second process work there", folder)
    try:
        yield
        if leave_no_trace:
            # Who waits for it sees that it is gone, and takes a new one.
            path.unlink(missing_ok=True)
    finally:
        lock.release()
