"""A csv with one column a sensor and one row a step, and a dense csv of edge weights.

``series`` has the sensor ids as its header and no times; ``adjacency`` has no header. Los-loop is
published so (Zhao et al. 2020).
"""

from __future__ import annotations

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table, read_numbers


class Options(Published):
    """This format has no options."""

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`."""
        frame = read_numbers(files["series"])
        weights = read_numbers(files["adjacency"], header=False)
        return Table(frame.to_numpy(), weights.to_numpy(), list(frame.columns))
