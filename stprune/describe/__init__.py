"""What a data set is like, in tables and figures."""

FIGURES = ("datasets", "long_tail", "redundancy", "statistics")
FILES = ("description.json", *(f"{name}.{kind}" for name in FIGURES for kind in ("pdf", "png")))
"""What a description of a data set holds besides its tables."""
