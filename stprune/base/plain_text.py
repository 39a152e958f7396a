"""Text of strangers that is shown or written on: one line, no control characters, no passwords.

A name or a message may come from a file that somebody else made. On a terminal its control
characters would be obeyed, in a log its line breaks would forge lines, and a spreadsheet would run
what begins like a formula (CWE-150, CWE-117 and CWE-1236).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

# What names entries, cards and experiments, and stands in paths and commands; a part of a path has
# 255 bytes at most.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,99}$"
# Control characters but tab and line feed; what separates lines or turns the reading direction;
# halves of characters, which no file can hold.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
CREDENTIALS = re.compile(r"(?<=://)[^/?#\s@]*@")
# A sign alone is a unit or a dash, and one before digits a number.
# Spreadsheets of East Asia take the wide forms of the signs as well.
FORMULA = re.compile("[=@\uff1d\uff20].|[+\\-\uff0b\uff0d].*[(|!]", re.DOTALL)


def plain_line(text: str) -> str:
    """``text`` as one line that is safe to show: characters escaped, credentials of URLs hidden."""
    shown = without_credentials(text)
    if shown.isprintable():
        return shown
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown)


class PlainFormatter(logging.Formatter):
    """Log lines that are safe to show."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, but for a traceback after it."""
        return plain_line(super().formatMessage(record))


def without_credentials(text: str) -> str:
    """``text`` with ``...@`` in place of user and password in every address."""
    return CREDENTIALS.sub("...@", text)


def has_credentials(address: str) -> bool:
    """Whether an address holds a user or password."""
    return CREDENTIALS.search(address) is not None


def control_character(value: Any) -> str | None:
    """The first control character in any text of ``value``, escaped; None if there is none."""
    for text in texts_in(value):
        found = CONTROL.search(text)
        if found:
            return repr(found[0])
    return None


def is_formula(text: str) -> bool:
    """Whether a spreadsheet that opens a csv with this cell might run it."""
    return FORMULA.match(text.lstrip()) is not None


def texts_in(value: Any) -> Iterator[str]:
    """Every text in nested mappings and lists, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts_in(key)
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)
