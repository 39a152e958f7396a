"""Whether a figure can stand in a paper."""

from __future__ import annotations

from stprune.paper.figures import PAGE_HEIGHT, PAGE_WIDTH_SIDEWAYS, Drawing, size_with_note

PAGE_WIDTH = 7.0


def fits_a_page(drawing: Drawing) -> bool:
    """Upright with its note, or sideways."""
    width, height = size_with_note(drawing)
    upright = width <= PAGE_WIDTH and height <= PAGE_HEIGHT
    return upright or (width <= PAGE_WIDTH_SIDEWAYS and height <= PAGE_WIDTH + 0.5)
