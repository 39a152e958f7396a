"""A run without enough memory says so in the user's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from stprune.base.errors import OutOfMemoryError
from stprune.config.grid import RunSpec

# What torch says of a processor's memory; a device's has an error of its own with similar words.
REFUSED = re.compile(r"can't allocate memory|out of memory|not enough memory", re.IGNORECASE)
ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+ ?\w+)")


@contextmanager
def naming_shortage(spec: RunSpec) -> Iterator[None]:
    """Turn a refusal of memory into a line that names the run and its batch size.

    Raises:
        OutOfMemoryError: If there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not REFUSED.search(str(error)):
            raise
        raise OutOfMemoryError(_message(spec, str(error))) from None


def _message(spec: RunSpec, said: str) -> str:
    asked = ASKED.search(said)
    wanted = f" (it asked for {asked[1]} more)" if asked else ""
    part = spec.compute.micro_batch
    parts = f", {part} at a time" if isinstance(part, int) else ""
    return (
        f"run {spec.key.path} is out of memory{wanted} with batches of"
        f" {spec.training.batch_size} windows{parts}; lower compute.micro_batch, which leaves the"
        " result as it is, or training.batch_size, or training.evaluation_batch_size"
        f" ({spec.training.evaluation_batch_size})"
    )
