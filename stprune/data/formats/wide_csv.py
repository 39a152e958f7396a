"""A csv with one column a sensor and one row a step, and a matrix of edge weights.

``series`` has no times, and may have no line of sensor ids: the card says how many steps there are.
Weights are a csv without a header, ``adjacency``, or what SciPy's ``save_npz`` wrote, ``graph``.
Los-loop (Zhao et al. 2020) and, by hazdzz after Li et al. 2018, PEMS-BAY are published so.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
from pydantic import Field
from scipy import sparse

from stprune.data.card import DatasetCard
from stprune.data.formats.base import Files, Published, Table, read_numbers, regular_times


class Options(Published):
    """What the rows leave out."""

    clock_forward: datetime | None = Field(None, description="When the clock skipped an hour.")

    def read(self, card: DatasetCard, files: Files) -> Table:
        """See :meth:`Published.read`; steps of the skipped hour are there, without observations."""
        times = regular_times(card, card.steps)
        has_row = np.ones(card.steps, bool)
        if self.clock_forward is not None:
            at = np.datetime64(self.clock_forward.replace(tzinfo=None), "s")
            has_row = (times < at) | (times >= at + np.timedelta64(1, "h"))
        if "graph" in files:
            weights = sparse.load_npz(files["graph"]).toarray()
        else:
            weights = read_numbers(files["adjacency"], header=False).to_numpy()
        frame = read_numbers(files["series"])
        if len(frame) == has_row.sum() - 1:  # the first step was taken for a header
            frame = read_numbers(files["series"], header=False)
        missing = 0.0 if card.mask_policy == "zero" else np.nan
        values = np.full((card.steps, frame.shape[1]), missing)
        values[has_row] = frame.to_numpy()
        return Table(values, weights, list(frame.columns))
