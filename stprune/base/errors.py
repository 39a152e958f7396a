"""Mistakes a user can make; the command line prints them as one line, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

from stprune.base.text import plain_line


class StpruneError(Exception):
    """One line: what was wrong, where, what would be right; it may quote untrusted files."""

    exit_code: ClassVar[int] = 1  # of the command line

    def __str__(self) -> str:
        return plain_line(super().__str__())


class ConfigError(StpruneError):
    """A configuration file, card or option that does not follow its schema."""


class UnknownNameError(ConfigError):
    """A name (pruner, backbone, key ...) that does not exist; suggests the nearest, lists all."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        names = sorted(known)
        nearest = get_close_matches(name, names, n=1)
        super().__init__(
            f"unknown {kind} `{name}`{f' in {where}' if where else ''}"
            f"{f', did you mean `{nearest[0]}`?' if nearest else ''} (known: {', '.join(names)})"
        )


class DataError(StpruneError):
    """A data file that is missing, damaged or not in the published format."""


class FetchError(DataError):
    """A file that could not be downloaded, or is not the one that was asked for."""


class DeclinedError(StpruneError):
    """A backbone or pruner that cannot do what it is asked, with the reason."""


class WriteError(StpruneError, OSError):
    """A file that cannot be written: disk full, quota, no permission."""


class OutOfMemoryError(StpruneError):
    """A run that the machine or the device has not enough memory for."""


class CheckpointError(StpruneError):
    """A checkpoint that cannot be read or belongs to another run."""


class RecordError(StpruneError):
    """A run record that is missing, damaged or from another version of the code."""


class BusyError(StpruneError):
    """Cores or GPUs that others did not free in time."""


class DeviceLostError(StpruneError):
    """One of the processes of a run is gone."""


class TrainingDivergedError(StpruneError):
    """A loss that is not finite any more."""
