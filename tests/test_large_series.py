"""A series of any size is prepared in blocks and served from a memory map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from large_series import NODES, STEPS, growth_of_preparing, growth_of_serving, in_own_process

from stprune.data.canonical import release
from stprune.data.dataset import fill_missing

SERIES = STEPS * NODES * 4 / 1e6
# Made whole, to be written.
GRAPH = NODES**2 * 4 / 1e6
# Batches, blocks, and what the interpreter takes along the way.
REST = 45


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_a_large_series_is_never_held_twice(tmp_path: Path, missing: float) -> None:
    growth = in_own_process(growth_of_preparing, tmp_path, missing)
    assert growth < GRAPH + REST < SERIES
    mask = SERIES / 4 if missing else 0
    growth = in_own_process(growth_of_serving, tmp_path)
    assert 0.9 * SERIES < growth < SERIES + mask + REST < 2 * SERIES


def test_filling_touches_missing_values_alone() -> None:
    series = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    mask = np.ones_like(series, dtype=bool)
    mask[1, 2] = mask[3, 0, 1] = False
    expected = series.copy()
    expected[1, 2] = [-1, -2]
    expected[3, 0, 1] = -2
    fill_missing(series, mask, np.array([-1, -2], np.float32))
    np.testing.assert_array_equal(series, expected)


def test_what_was_released_is_read_again(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((300, 300))
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="c")
    for array in (mapped, values):
        total = array.sum()
        release(array)
        assert array.sum() == total
