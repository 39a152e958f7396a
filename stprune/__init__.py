"""stprune: a reproducible benchmark of dynamic sample pruning for spatio-temporal training.

For a training loop of one's own, the package has :class:`Pruning`, :class:`PrunedBatchSampler`
and :class:`IndexedDataset`; they are imported when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stprune.loop.loop import IndexedDataset, PrunedBatchSampler, Pruning

__version__ = "0.1.0"
__all__ = ["IndexedDataset", "PrunedBatchSampler", "Pruning", "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is exported on demand: most commands need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("stprune.loop.loop"), name)
