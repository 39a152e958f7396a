"""Which columns of a file are wanted, by their names."""

from __future__ import annotations

from pathlib import Path

from stprune.base.errors import DataError


def pick(
    path: Path, header: list[str], text_names: list[str], number_names: list[str] | None
) -> tuple[list[int], list[int]]:
    """Where the wanted columns stand: those of text, and those of numbers.

    Raises:
        DataError: If one is not there, stands twice, or has no name.
    """
    wanted = [*text_names, *(number_names or ())]
    for name in wanted:
        if name not in header:
            listed = ", ".join(f"`{other}`" for other in header[:12])
            more = f" and {len(header) - 12} more" if len(header) > 12 else ""
            raise DataError(f"{path} has no column `{name}`; it has {listed}{more}")
    texts = [header.index(name) for name in text_names]
    others = [column for column in range(len(header)) if column not in texts]
    numbers = others if number_names is None else [header.index(name) for name in number_names]
    both = [name for name in text_names if name in (number_names or ())]
    if both:
        raise DataError(f"{path}: the column `{both[0]}` cannot be both time or id and a channel")
    seen: dict[str, int] = {}
    for column, name in enumerate(header):
        if name in seen and (number_names is None or name in wanted):
            raise DataError(
                f"{path}: column {column + 1} of the header repeats the name `{name}` of column"
                f" {seen[name] + 1}"
            )
        if not name and column in numbers:
            raise DataError(f"{path}: column {column + 1} of the header has no name")
        seen.setdefault(name, column)
    if not numbers:
        raise DataError(f"{path} has no column of numbers")
    return texts, numbers
