"""Forecast the next steps of the target at every node from the steps before."""

from typing import ClassVar

from stprune.data.tasks.base import Task


class Forecast(Task):
    """The usual task."""

    of_unions: ClassVar[bool] = True
