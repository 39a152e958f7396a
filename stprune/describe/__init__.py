"""What a data set is like, in tables and figures."""

FILES = (
    "description.json",
    "redundancy.pdf",
    "redundancy.png",
    "statistics.pdf",
    "statistics.png",
)
"""What a description of a data set holds besides its tables."""
