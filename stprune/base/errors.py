"""Mistakes a user can make; the command line prints them as one line, without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

from stprune.base.text import plain_line


class StpruneError(Exception):
    """Base of all errors whose message alone tells the user what to do.

    The message is one line: what was wrong, where, and what would be right. It may quote a file
    that is not trusted: see :mod:`stprune.base.text`.
    """

    #: How the command line ends.
    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return plain_line(super().__str__())


class ConfigError(StpruneError):
    """A configuration file, card or option that does not follow its schema."""


class UnknownNameError(ConfigError):
    """A name (pruner, backbone, data set, key ...) that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        super().__init__(unknown_name_message(kind, name, known, where))


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


class DeviceLostError(StpruneError):
    """One of the processes of a run is gone."""


class TrainingDivergedError(StpruneError):
    """A loss that is not finite any more."""


def unknown_name_message(kind: str, name: str, known: Iterable[str], where: str = "") -> str:
    """Say that ``name`` is no ``kind``, suggest the nearest known one and list all."""
    names = sorted(known)
    place = f" in {where}" if where else ""
    nearest = get_close_matches(name, names, n=1)
    hint = f", did you mean `{nearest[0]}`?" if nearest else ""
    return f"unknown {kind} `{name}`{place}{hint} (known: {', '.join(names)})"
