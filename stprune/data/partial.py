"""What has arrived of a download: kept under a name that nothing takes for data, to continue it.

``.NAME.part`` holds the bytes; ``.NAME.part.json`` beside it says from which address they came and
which version of the file they belong to. Both outlive the process, however it ends.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from stprune.base.files import flush, write_json
from stprune.base.schema import StrictModel
from stprune.base.text import without_credentials

log = logging.getLogger(__name__)


class Origin(StrictModel):
    """Where the bytes of a partial file came from."""

    url: str = Field(description="Address that was asked.")
    etag: str | None = Field(None, description="Version of the file, if the server named one.")
    total: int | None = Field(None, description="Bytes of the whole file, if the server said.")
    whole_only: bool = Field(False, description="Whether pieces of it cannot be put together.")

    @property
    def strong_etag(self) -> str | None:
        """The version, if equal versions mean equal bytes (RFC 9110, 8.8.1)."""
        return None if self.etag is None or self.etag.startswith("W/") else self.etag


class Partial:
    """The partial download of one file.

    Args:
        target: Where the whole file will be; the partial one lies in the same folder.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._note = target.with_name(f".{target.name}.part.json")
        #: Whether bytes of several answers were put together; a wrong hash may come from that.
        self.spliced = False

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self, url: str) -> Origin | None:
        """Where the bytes came from, if more of them can be asked for at ``url``, else None."""
        try:
            origin = Origin.model_validate_json(self._note.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            log.info("%s is damaged; starting the download again", self._note)
            return None
        usable = origin.url == without_credentials(url) and not origin.whole_only and self.size > 0
        return origin if usable else None

    def begin(self, origin: Origin) -> BinaryIO:
        """Start from the first byte."""
        self.discard()
        note = origin.model_dump() | {"url": without_credentials(origin.url)}
        write_json(self._note, note)
        return self.path.open("wb")

    def extend(self) -> BinaryIO:
        """Go on after the last byte."""
        self.spliced = True
        return self.path.open("ab")

    def discard(self) -> None:
        """Forget what has arrived."""
        # The bytes first: a note without bytes is nothing, bytes under a newer note would be wrong.
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.spliced = False

    def finish(self, target: Path) -> None:
        """Give the file its name, once its content was checked."""
        flush(self.path)
        self.path.replace(target)
        self._note.unlink(missing_ok=True)
