"""What every table and figure of the paper is to be, so that whoever makes them can tell."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from stprune.base.errors import RecordError
from stprune.base.files import write_json
from stprune.paper.figure_content import content_hash
from stprune.paper.figures import Drawing
from stprune.paper.tables import Table


class PaperHashes(NamedTuple):
    """By name, in hexadecimal digits.

    Args:
        tables: SHA-256 of each table's CSV file.
        figures: `content_hash` of each figure and its caption.
    """

    tables: dict[str, str]
    figures: dict[str, str]

    def differences(self, expected: PaperHashes) -> list[str]:
        """What is not as expected, a phrase each, such as ``table main differs``."""
        found = []
        for kind, made, wanted in (
            ("table", self.tables, expected.tables),
            ("figure", self.figures, expected.figures),
        ):
            for name in sorted(made.keys() | wanted.keys()):
                if name not in made:
                    found.append(f"{kind} {name} was not made")
                elif name not in wanted:
                    found.append(f"{kind} {name} is new")
                elif made[name] != wanted[name]:
                    found.append(f"{kind} {name} differs")
        return found


def table_hash(table: Table) -> str:
    """SHA-256 of the table's CSV file."""
    return hashlib.sha256(table.frame.to_csv(index=False).encode()).hexdigest()


def figure_hash(drawing: Drawing) -> str:
    """`content_hash` of a figure that has no note yet, and its caption."""
    return content_hash(drawing.figure, drawing.caption)


def write_hashes(hashes: PaperHashes, path: Path) -> None:
    """Write them as JSON."""
    write_json(path, {"tables": hashes.tables, "figures": hashes.figures})


def read_hashes(path: Path) -> PaperHashes:
    """Read what :func:`write_hashes` wrote.

    Raises:
        RecordError: If the file is missing or not what it should be.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"there is no {path}; `stprune paper --write-hashes` makes it") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is not readable: {error}") from None
    if not isinstance(values, dict) or not all(
        _is_hashes(values.get(kind)) for kind in PaperHashes._fields
    ):
        raise RecordError(f"{path} does not give a hash for each name under `tables` and `figures`")
    return PaperHashes(values["tables"], values["figures"])


def _is_hashes(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
