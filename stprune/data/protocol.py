"""What a protocol decides about the data: where splits are cut, and what the scaler sees.

``paper`` cuts the windows of the whole series; neighbouring splits share the steps of the windows
at the cut. ``legacy`` does the same and scales as ST-TTC (NeurIPS 2025) released it. ``strict``
cuts the series, so that no step belongs to windows of two splits, as that release does for its
large graphs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import ConfigError
from stprune.base.settings import ProtocolKind
from stprune.data.windows import SplitRanges, split_windows


def cut_splits(
    protocol: ProtocolKind,
    starts: NDArray[np.int64],
    length: int,
    steps: int,
    shares: tuple[float, float, float],
) -> SplitRanges:
    """Window numbers of the three splits.

    Args:
        protocol: How to cut.
        starts: (n,) first step of each window, rising.
        length: Steps of a window.
        steps: Of the series.
        shares: Of train, validation and test.

    Raises:
        ConfigError: If a split would be empty.
    """
    if protocol != "strict":
        return split_windows(len(starts), shares)
    train = round(steps * shares[0])
    validation = train + round(steps * shares[1])
    ranges = [
        range(*(int(n) for n in np.searchsorted(starts, [first, last - length + 1])))
        for first, last in ((0, train), (train, validation), (validation, steps))
    ]
    if not all(ranges):
        raise ConfigError(
            f"{steps} steps are too few to split {shares} so that no window of {length} steps"
            " crosses a cut; take more days, a shorter history, or another protocol"
        )
    return SplitRanges(*ranges)


def seen_by_scaler(
    protocol: ProtocolKind, starts: NDArray[np.int64], history: int, mask: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """What the scaler is fitted on.

    Args:
        protocol: ``legacy`` takes every value, missing or not, before the last training window;
            the others the observed values that the inputs of training windows hold.
        starts: (n,) first step of each training window, rising.
        history: T, input steps.
        mask: (steps, N, C), True where a value was observed.

    Returns:
        (t, N, C) bool for the first t steps of the series; none is seen after them.
    """
    if protocol == "legacy":
        return np.broadcast_to(np.True_, (int(starts[-1]), *mask.shape[1:]))
    covered = _input_steps(starts, history)
    seen = mask[: len(covered)]
    # Without breaks every step is covered, and a mask of gigabytes need not be copied.
    return seen if covered.all() else seen & covered[:, None, None]


def _input_steps(starts: NDArray[np.int64], history: int) -> NDArray[np.bool_]:
    """(last start + history,) bool, True at the steps that the inputs of windows cover."""
    steps = int(starts[-1]) + history + 1
    change = np.bincount(starts, minlength=steps) - np.bincount(starts + history, minlength=steps)
    return change.cumsum()[:-1] > 0
