"""Blocks of consecutive steps, for what must not hold or copy a whole series at once."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 2**22


def step_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the steps of a (T, ...) array that hold some million values each, in order."""
    length = max(1, BLOCK_VALUES // math.prod(shape[1:]))
    for start in range(0, shape[0], length):
        yield slice(start, min(start + length, shape[0]))


def fill_missing(
    series: NDArray[np.float32], mask: NDArray[np.bool_], values: NDArray[np.float32]
) -> None:
    """Write the value of its channel wherever the mask is False; nothing else is touched.

    Args:
        series: (T, N, C), changed in place. Of a copy-on-write memory map, only pages with a
            missing value come to cost memory of their own.
        mask: (T, N, C), True where a value was observed.
        values: (C,), what stands in.
    """
    for steps in step_blocks(series.shape):
        np.copyto(series[steps], values, where=~mask[steps])


def release(array: NDArray[Any]) -> None:
    """Give back the memory of a memory map that was only read; reading it again brings it back.

    Nothing is done to other arrays. What was written to a copy-on-write map is lost.
    """
    pages: object = array.base
    if isinstance(array, np.memmap) and isinstance(pages, mmap.mmap):
        pages.madvise(mmap.MADV_DONTNEED)
