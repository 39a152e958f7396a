"""One Snakemake at a time on an experiment, and none that stays locked out.

Snakemake's own lock is a file that outlives a killed one: the same command would be refused until
somebody unlocked the folder. This lock ends with its process, so the profiles switch the other off.
"""

from __future__ import annotations

from filelock import FileLock, Timeout

from stprune.base.errors import ConfigError
from stprune.base.files import naming_failure
from stprune.base.layout import ExperimentLayout

_held: list[FileLock] = []


def claim(layout: ExperimentLayout) -> None:
    """Keep other workflows out of an experiment for as long as this process lives.

    Raises:
        ConfigError: If another one is at work there.
        WriteError: If its folder cannot be written to.
    """
    path = layout.root / ".workflow.lock"
    lock = FileLock(path)
    try:
        with naming_failure(path):
            layout.root.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"another Snakemake works in {layout.root}; wait for it or end it"
        ) from None
    _held.append(lock)
