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
        if "graph" in files:
            weights = sparse.load_npz(files["graph"]).toarray()
        else:
            weights = read_numbers(files["adjacency"], header=False).to_numpy()
        skipped = 0 if self.clock_forward is None else 60 // card.step_minutes
        frame = read_numbers(files["series"])
        numbers = frame.columns.str.fullmatch(r"[-+.\de]+").all()
        if numbers and len(frame) == card.steps - skipped - 1:  # the first step is no header
            frame = read_numbers(files["series"], header=False)
        values = frame.to_numpy()
        if self.clock_forward is not None:
            times = regular_times(card, len(values))
            at = np.searchsorted(times, np.datetime64(self.clock_forward.replace(tzinfo=None)))
            missing = 0.0 if card.mask_policy == "zero" else np.nan
            values = np.insert(values, [at] * skipped, missing, axis=0)
        return Table(values, weights, list(frame.columns))
