"""Forecast the next steps of the target at every node from the steps before.

History and horizon are those of the training settings: 12 and 12 by default, 96 and 48 for a long
forecast, a day and a day for the next day's.
"""

from __future__ import annotations

from typing import ClassVar

from stprune.data.tasks.base import Task


class Forecast(Task):
    """The usual task."""

    of_unions: ClassVar[bool] = True
