"""Pickles that hold only lists, mappings, text, numbers and arrays of numbers.

A pickle is a program, and an ordinary reader runs whatever it names. Here nothing that a pickle
names is ever called: the few names that NumPy's arrays need are given stand-ins of our own, which
check what they get; every other name, and every instruction that such a file has no use for, is
refused before anything is made. METR-LA's graph is published as a pickle (Li et al. 2018).
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError

# What protocols 2 to 4 write for lists, tuples, mappings, text, numbers and arrays.
PLAIN = """
    PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE
    EMPTY_LIST EMPTY_DICT EMPTY_TUPLE APPEND APPENDS SETITEM SETITEMS TUPLE TUPLE1 TUPLE2 TUPLE3
    BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE
    BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINPUT LONG_BINPUT BINGET LONG_BINGET MEMOIZE
"""
INSTRUCTIONS = frozenset(PLAIN.split())
STATE_LENGTH = 5  # version, shape, dtype, whether in Fortran's order, and the numbers


def read_pickle(path: Path) -> Any:
    """What a pickle holds, with its arrays of numbers as NumPy's.

    Text of Python 2 is read as Latin-1, as the publishers' code reads it.

    Args:
        path: A pickle of protocol 2, 3 or 4.

    Returns:
        A value, or a list or tuple of values; a value is text, a number, None, a list, a tuple, a
        mapping, or an array of numbers. Arrays deeper inside are not converted.

    Raises:
        DataError: If the file is no pickle, or is one that holds anything else.
    """
    try:
        content = path.read_bytes()
        _check_instructions(content)
        value = _Reader(io.BytesIO(content), encoding="latin1").load()
        if isinstance(value, list | tuple):
            return type(value)(_plain(item) for item in value)
        return _plain(value)
    except _RefusedError as error:
        raise DataError(
            f"{path} is a pickle that {error}; only lists, mappings, text, numbers and arrays of"
            " numbers are read from pickles, since others can run code"
        ) from None
    # A damaged pickle raises many kinds of errors, as pickle's documentation says.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} cannot be read as a pickle: {reason}") from None


class _RefusedError(Exception):
    """Why a pickle is not read, as the end of a sentence."""


def _check_instructions(content: bytes) -> None:
    """Refuse what is out of place before anything is made of the pickle."""
    for instruction, argument, position in pickletools.genops(content):
        if instruction.name not in INSTRUCTIONS:
            raise _RefusedError(f"has the instruction {instruction.name} at byte {position}")
        # A memo as large as a number says would fill the memory.
        if instruction.name == "LONG_BINPUT" and int(argument or 0) > len(content):
            raise _RefusedError(f"numbers an object {argument} at byte {position}")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for what an array's pickle names."""
        stand_in = STAND_INS.get(f"{module}.{name}")
        if stand_in is None:
            raise _RefusedError(f"names {module}.{name}"[:200])
        return stand_in


class _Named:
    """A stand-in for a name; it has no attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> Any:
        raise _RefusedError("calls what only names a type")


class _Encode(_Named):
    """``_codecs.encode``: protocol 2 keeps bytes as Latin-1 text."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> bytes:
        if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
            raise _RefusedError("encodes text otherwise than in Latin-1")
        return arguments[0].encode("latin1")


class _Dtype(_Named):
    """``numpy.dtype``: the type of an array's numbers."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> _DtypeState:
        return _DtypeState(_text(arguments[0]) if arguments else "")


class _Reconstruct(_Named):
    """``numpy.core.multiarray._reconstruct``: an array that gets its content later."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> _ArrayState:
        return _ArrayState()


class _DtypeState:
    """A type of numbers, its byte order given by the pickle."""

    __slots__ = ("dtype",)

    def __init__(self, code: str) -> None:
        if len(code) != 2 or code[0] not in "fiub":
            raise _RefusedError(f"has an array of the type `{code[:40]}`")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = _text(state[1])
        if order not in ("<", ">", "|", "="):
            raise _RefusedError(f"has an array of the byte order `{order[:40]}`")
        self.dtype = self.dtype.newbyteorder(order)  # type: ignore[arg-type]


class _ArrayState:
    """An array of numbers, made by us of the bytes that the pickle holds."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state, tuple) or len(state) != STATE_LENGTH:
            raise _RefusedError("has an array in a form that NumPy does not write")
        shape, kind, fortran, raw = state[1:]
        # Python 2 kept bytes as text.
        numbers = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(kind, _DtypeState) or not isinstance(numbers, bytes):
            raise _RefusedError("has an array of something else than numbers")
        if not all(isinstance(length, int) and length >= 0 for length in shape):
            raise _RefusedError("has an array whose shape is not made of whole numbers")
        if math.prod(shape) * kind.dtype.itemsize != len(numbers):
            raise _RefusedError(f"has {len(numbers)} bytes for an array of shape {shape}")
        order = "F" if fortran else "C"
        self.array = np.frombuffer(numbers, kind.dtype).reshape(shape, order=order)  # type: ignore[call-overload]


# NumPy 2 renamed its core; older files keep the older name.
STAND_INS: dict[str, _Named] = {
    "numpy.core.multiarray._reconstruct": _Reconstruct(),
    "numpy._core.multiarray._reconstruct": _Reconstruct(),
    "numpy.ndarray": _Named(),
    "numpy.dtype": _Dtype(),
    "_codecs.encode": _Encode(),
}


def _plain(value: Any) -> Any:
    """An array in place of its stand-in; no other stand-in may be left."""
    if isinstance(value, _ArrayState) and value.array is not None:
        return value.array
    if isinstance(value, _ArrayState | _DtypeState | _Named):
        raise _RefusedError("holds only part of an array")
    return value


def _text(value: Any) -> str:
    """Text, which Python 2 may have kept as bytes."""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
