"""Which figures and tables have something to show of an experiment.

A module of `paper_figures` may define ``applies(results) -> bool``; one without it always does.
"""

from __future__ import annotations

from typing import Any

from stprune.base.registry import Registry
from stprune.results.summary import Results


def applicable(registry: Registry[Any], results: Results) -> list[str]:
    """Ids of the figures, or tables, that have something to show, sorted.

    Args:
        registry: `FIGURES` or `TABLES`.
        results: The experiment.
    """
    return [name for name in registry.ids() if _applies(registry.module(name), results)]


def _applies(module: Any, results: Results) -> bool:
    return not hasattr(module, "applies") or bool(module.applies(results))
