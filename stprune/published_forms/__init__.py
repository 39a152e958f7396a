"""The backbones once more, in the form of the public code, to compare ours with.

These modules have the parameter names, shapes and order of operations of the public LargeST
(NeurIPS 2023) and STAEformer (CIKM 2023) code, with nothing merged and nothing left out, so that
speed and results of ours can be held against them. They are no backbones: nothing trains them
but the benchmark and the tests.

Each takes the features of those set-ups, ``(B, T, N, C + 2)``: the measured channels, the fraction
of the day and weekday / 7, as :meth:`stprune.backbones.base.Backbone.calendar_inputs` makes them,
and gives a forecast ``(B, H, N)``. Each is built from the options of our backbone of that name, so
that sizes are equal.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from stprune.backbones.base import ForecastTask
from stprune.base.errors import UnknownNameError

CLASSES = {
    "gwnet": "PublishedGwnet",
    "stgcn": "PublishedStgcn",
    "stid": "PublishedStid",
    "staeformer": "PublishedStaeformer",
}


def published_form(name: str, task: ForecastTask, options: Any) -> nn.Module:
    """A backbone in its public form, freshly initialised.

    Args:
        name: Id of the backbone.
        task: What to forecast.
        options: The ``Options`` of our backbone of that name.

    Returns:
        A module from (B, T, N, C + 2) features to a (B, H, N) forecast.

    Raises:
        UnknownNameError: If there is no such form.
    """
    if name not in CLASSES:
        raise UnknownNameError("published form", name, CLASSES)
    module = importlib.import_module(f"{__name__}.{name}")
    form: nn.Module = getattr(module, CLASSES[name])(task, options)
    return form
