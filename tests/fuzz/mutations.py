"""Changes to good files: bytes put in place of others, files cut short, values exchanged."""

import copy
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stprune.base.errors import StpruneError

# STPRUNE_FUZZ_EXAMPLES is for a campaign; a short form runs with all other tests.
EXAMPLES = int(os.environ.get("STPRUNE_FUZZ_EXAMPLES", "40"))
# Another one gives other inputs.
SALT = os.environ.get("STPRUNE_FUZZ_SEED", "0")
# Inputs of one draw: drawing costs more than reading a small file.
BATCH = 20
seeds = st.integers(0, 2**64 - 1)

campaign = settings(
    max_examples=max(1, EXAMPLES // BATCH),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

PIECES = [
    # Most often one digit or letter in place of another: what is still well-formed is the danger.
    *(bytes([byte]) for byte in 3 * b"0123456789abcdefnpst"),
    *(bytes([byte]) for byte in b"0159,;.-+eE\"'\n\r\t :TZ{}[]&*!|>%@`#?abx_=\\/\x00\x1b\xff"),
    *(word.encode() for word in ("nan", "inf", "NaN", "", "1e400", "null", "true", "~", "\n\n")),
    *(word.encode() for word in ("\u0661", "\u2028", "\u202e", "\\u001b", "\\ud800", "<<: ")),
    *(word.encode() for word in ("9" * 5000, "2024-13-45", "../", "0x7f", "1_0", "- ", "&a ")),
]
CUTS = [*([0] * 12), 1, 2, 17, 100, 400]

VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 7, 10**6, 2**63, 10**30, 0.5, -0.5, 1e308, 1e-320),
    *("", " ", "a", "full", "stid", "st_prune", "toy", "1", "0.5", "1e3", ".inf", "nan", "-"),
    *("../../x", "/etc/passwd", "a/b", "a b", "a;touch x", "$(touch x)", "{x}", "%s", "\x00"),
    *("=cmd|'/C calc'!A0", "@SUM(1)", "\x1b[2J", "\u202ea", "\ud800", "a\nb", "é", "x" * 3000),
    *("https://user:secret@example.org/x", "2024-13-45", "2024-01-01", "<script>", "$\\frac$"),
    *([], {}, [[]], [None], [0], ["a"], {"a": {}}, {"": 1}, {"a": [1, "b"]}, [1] * 50),
]
HOW = ["set", "set", "set", "drop", "add", "rename"]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """``content`` with pieces in place of one to three bytes, and sometimes without its end."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        piece = rng.choice(PIECES) if rng.random() < 0.7 else rng.randbytes(rng.randint(0, 3))
        at = rng.randrange(2**20) % max(1, len(changed))
        changed[at : at + 1] = piece
    cut = rng.choice(CUTS)
    return bytes(changed[: len(changed) - cut] if cut else changed)


def exchanged(values: Any, rng: random.Random) -> Any:
    """Nested mappings and lists with one to three values set, dropped, added or renamed."""
    values = copy.deepcopy(values)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = _places(values)
        if not places:
            continue
        inside, key = rng.choice(places)
        how, value = rng.choice(HOW), copy.deepcopy(rng.choice(VALUES))
        if how == "set":
            inside[key] = value
        elif how == "drop":
            del inside[key]
        elif isinstance(inside, list):
            inside.append(value)
        elif how == "add":
            inside[value if isinstance(value, str) else "x"] = value
        else:
            inside[f"{key}x"] = inside.pop(key)
    return values


def _places(values: Any) -> list[tuple[Any, Any]]:
    """Every value in ``values``, as what it stands in and its key there."""
    keys = list(values) if isinstance(values, dict) else range(len(values))
    nested = [values[key] for key in keys if isinstance(values[key], dict | list)]
    return [(values, key) for key in keys] + [place for part in nested for place in _places(part)]


Found = TypeVar("Found")


def outcome(read: Callable[..., Found], *arguments: Any) -> Found | None:
    """What was read, or None if it was refused by one line that is safe to show."""
    try:
        return read(*arguments)
    except StpruneError as error:
        message = str(error)
        assert message
        assert message.isprintable(), message
        assert "secret" not in message, message
        return None


def draws(seed: int) -> Iterator[random.Random]:
    """A source of chance for each input of a draw."""
    for number in range(BATCH):
        yield random.Random(f"{SALT} {seed} {number}")  # noqa: S311


def damaged(
    seed: int, path: Path, read: Callable[..., Found], *arguments: Any
) -> Iterator[tuple[bytes, Found]]:
    """The content and what was read of ``path`` with other bytes, where it was not refused.

    In the end the file is as it was.
    """
    good = path.read_bytes()
    try:
        for rng in draws(seed):
            content = mutated(good, rng)
            path.write_bytes(content)
            found = outcome(read, *arguments)
            if found is not None:
                yield content, found
    finally:
        path.write_bytes(good)
