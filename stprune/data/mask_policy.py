"""Which values of a raw table count as observed, by the mask policy of the card."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard


def observed(
    table: NDArray[np.float64], card: DatasetCard, place: Callable[[tuple[int, ...]], str]
) -> NDArray[np.bool_]:
    """Where the card's mask policy calls a value observed.

    Args:
        table: Any shape, NaN where the file has no value.
        card: Says the policy: nothing, a zero, or NaN is missing.
        place: Words for where an entry of the table stands in which file.

    Returns:
        The shape of ``table``.

    Raises:
        DataError: If there is a NaN although the policy is not ``nan``.
    """
    missing = np.isnan(table)
    if card.mask_policy != "nan" and missing.any():
        position = tuple(int(index) for index in np.argwhere(missing)[0])
        raise DataError(
            f"{place(position)} is NaN, but the mask policy of {card.title} is"
            f" `{card.mask_policy}`, not `nan`"
        )
    return table != 0 if card.mask_policy == "zero" else ~missing
