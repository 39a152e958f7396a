"""Times and sizes in words that a reader takes in at a glance."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time in the unit that fits it: ``42 s``, ``7 min``, ``3.5 h``, ``12 days``, ``3 years``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 99.5 * 3600:
        return f"{seconds / 3600:.1f} h"
    days = seconds / 86_400
    return f"{days:.0f} days" if days < 999.5 else f"{days / 365.25:,.1f} years"


def size(count: float) -> str:
    """Bytes in the unit that fits them: ``12 kB``, ``3.4 GB``."""
    for unit, digits in (("B", 0), ("kB", 0), ("MB", 0), ("GB", 1)):
        if count < 999.5:
            return f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def count(number: float) -> str:
    """A number of things: ``950``, ``12.3 k``, ``4.5 M``, ``1.2 G``."""
    if number < 999.5:
        return f"{number:.0f}"
    for unit in ("k", "M"):
        number /= 1000
        if number < 999.5:
            return f"{number:.3g} {unit}"
    return f"{number / 1000:,.3g} G"
