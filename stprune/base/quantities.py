"""Times and sizes in words that a reader takes in at a glance."""


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
    """Bytes in the unit that fits them: ``12.3 kB``, ``3.4 GB``."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB"))


def count(number: float) -> str:
    """A number of things: ``950``, ``12.3 k``, ``4.5 M``, ``1.2 G``."""
    return _scaled(number, ("", "k", "M", "G"))


def _scaled(number: float, units: tuple[str, ...]) -> str:
    power = 0
    while number >= 999.5 and power + 1 < len(units):
        number, power = number / 1000, power + 1
    digits = f"{number:.3g}" if number < 99.5 else f"{number:,.0f}"
    return f"{digits} {units[power]}".rstrip()
