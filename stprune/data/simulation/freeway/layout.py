"""How many corridors and segments make a network of so many detectors."""

from __future__ import annotations

import math

MOST_CORRIDORS = 32
FEWEST_SEGMENTS, MOST_SEGMENTS = 3, 64
# Segments to a corridor, in each direction: long freeways that meet, not a star of short ones.
USUAL_SEGMENTS = 2.0


def layout_of(nodes: int) -> tuple[int, int]:
    """Corridors and segments of a network of ``nodes`` detectors.

    Of all that make exactly so many, those with about twice as many segments as corridors; of
    two that are equally near, the one with more segments.

    Args:
        nodes: 2 * corridors * segments.

    Raises:
        ValueError: If no network has so many; it names the next smaller and larger one.
    """
    found = _layouts(nodes)
    if not found:
        raise ValueError(
            f"no network has {nodes} nodes: they are 2 * corridors * segments, with at most"
            f" {MOST_CORRIDORS} corridors and {FEWEST_SEGMENTS} to {MOST_SEGMENTS} segments;"
            f" {_nearest(nodes)} would do"
        )
    return min(found, key=lambda pair: (_off(*pair), -pair[1]))


def _nearest(nodes: int) -> str:
    """The next smaller and larger size that there is."""
    fewest, most = 2 * FEWEST_SEGMENTS, 2 * MOST_CORRIDORS * MOST_SEGMENTS
    smaller = (size for size in range(min(nodes, most), fewest - 1, -1) if _layouts(size))
    larger = (size for size in range(max(nodes, fewest), most + 1) if _layouts(size))
    return " or ".join(str(size) for size in (next(smaller, None), next(larger, None)) if size)


def _layouts(nodes: int) -> list[tuple[int, int]]:
    return [
        (corridors, nodes // (2 * corridors))
        for corridors in _corridors()
        if nodes % (2 * corridors) == 0
        and FEWEST_SEGMENTS <= nodes // (2 * corridors) <= MOST_SEGMENTS
    ]


def _corridors() -> range:
    return range(1, MOST_CORRIDORS + 1)


def _off(corridors: int, segments: int) -> float:
    """How far the shape is from the usual one; rounded, so that equally far means equal."""
    return round(abs(math.log(segments / (USUAL_SEGMENTS * corridors))), 9)
