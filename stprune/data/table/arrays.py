"""Arrays of an npz, npy or HDF file by their keys; never a Python object of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.unpacked_size import refuse_bomb

NUMPY_SUFFIXES = (".npz", ".npy")
HDF_SUFFIXES = (".h5", ".hdf5", ".hdf")


class ArrayFile(Protocol):
    """An open file of named arrays."""

    def keys(self) -> list[str]:
        """Names of all arrays."""

    def read(self, key: str) -> NDArray[Any]:
        """The array called ``key``; a DataError if it holds Python objects or is damaged."""


@contextmanager
def open_arrays(path: Path) -> Iterator[ArrayFile]:
    """Open a file of arrays.

    Raises:
        DataError: If it is no such file, or cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in HDF_SUFFIXES:
        import h5py

        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise _unreadable(path, "HDF", error) from None
        with file:
            yield _Hdf(path, file)
    elif suffix in NUMPY_SUFFIXES:
        with ExitStack() as stack:
            try:
                # What numpy opens itself it leaves open where the archive is damaged.
                handle = stack.enter_context(path.open("rb"))
                loaded = np.load(handle, allow_pickle=False)
            # A damaged zip fails in as many ways as it has layers.
            except Exception as error:
                raise _unreadable(path, "numpy", error) from None
            if isinstance(loaded, np.ndarray):
                yield _Single(loaded)
            else:
                yield _Npz(path, stack.enter_context(loaded))
    else:
        known = ", ".join(NUMPY_SUFFIXES + HDF_SUFFIXES)
        raise DataError(f"{path}: a file of arrays ends in one of {known}")


def pick_array(path: Path, file: ArrayFile, key: str | None, what: str) -> NDArray[Any]:
    """The array called ``key``, or the only one.

    Args:
        path: The file.
        file: The same, open.
        key: Its name; None for the only array of the file.
        what: The option that names it, for messages.

    Raises:
        DataError: If there is no such array, several to choose from, or it cannot be read.
    """
    keys = file.keys()
    if key is None:
        if len(keys) != 1:
            listed = ", ".join(f"`{name}`" for name in keys[:12]) or "none"
            raise DataError(f"{path} has the arrays {listed}; name the right one with `{what}`")
        key = keys[0]
    if key not in keys:
        listed = ", ".join(f"`{name}`" for name in keys[:12]) or "none"
        raise DataError(f"{path} has no array `{key}` (`{what}`); it has {listed}")
    return file.read(key)


def numbers_of(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    """An array as float64.

    Raises:
        DataError: If it holds anything but real numbers.
    """
    if array.dtype.kind not in "fiu":
        raise DataError(f"{path}: the array `{name}` holds {array.dtype}, not numbers")
    return array.astype(np.float64)


class _Single:
    """A npy file: one array without a name."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def keys(self) -> list[str]:
        return ["array"]

    def read(self, key: str) -> NDArray[Any]:
        return self.array


class _Npz:
    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file

    def keys(self) -> list[str]:
        return list(self.file.files)

    def read(self, key: str) -> NDArray[Any]:
        try:
            if f"{key}.npy" in self.file.zip.namelist():
                refuse_bomb(self.path, self.file.zip.getinfo(f"{key}.npy").file_size)
            array: NDArray[Any] = self.file[key]
        except DataError:
            raise
        except Exception as error:
            raise _unreadable(self.path, "numpy", error, f" of the array `{key}`") from None
        if not isinstance(array, np.ndarray):
            raise DataError(f"{self.path}: the member `{key}` is no array")
        return array


class _Hdf:
    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file

    def keys(self) -> list[str]:
        import h5py

        found: list[str] = []

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found.append(name)

        try:
            self.file.visititems(visit)
        except Exception as error:
            raise _unreadable(self.path, "HDF", error) from None
        return found

    def read(self, key: str) -> NDArray[Any]:
        try:
            dataset = self.file[key]
            # Such an array would show the content of other files on this machine.
            if dataset.is_virtual or dataset.external:
                raise DataError(f"{self.path}: the numbers of `{key}` lie in another file: refused")
            refuse_bomb(self.path, dataset.nbytes)
            if dataset.dtype.kind == "O":
                texts = dataset.asstr()[...]
                return np.array([str(text) for text in texts.ravel()]).reshape(texts.shape)
            array: NDArray[Any] = np.asarray(dataset[...])
        except DataError:
            raise
        # Also a library below h5py may refuse, each in its own way.
        except Exception as error:
            raise _unreadable(self.path, "HDF", error) from None
        return array


def _unreadable(path: Path, kind: str, error: Exception, part: str = "") -> DataError:
    if "allow_pickle" in str(error):
        return DataError(
            f"{path}: what it holds{part} is Python objects, which could run code; store numbers,"
            " and texts as numpy text"
        )
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(f"{path} cannot be read as {kind}{part}: {reason}")
