"""What the page's charts have in common as Vega-Lite specifications."""

from __future__ import annotations

from typing import Any

import altair as alt

Spec = dict[str, Any]

# Pixels: what the page's own small print has.
LETTERS = 12


def finished(chart: alt.Chart | alt.LayerChart | alt.FacetChart) -> Spec:
    """The specification in the page's letters; the address of its schema is none of the page's."""
    chart = (
        chart.configure(font="system-ui, sans-serif")
        .configure_axis(labelFontSize=LETTERS, titleFontSize=LETTERS, gridColor="#e4e4e4")
        .configure_legend(labelFontSize=LETTERS)
        .configure_title(fontSize=LETTERS, fontWeight="normal")
        .configure_view(stroke=None)
    )
    spec: Spec = chart.to_dict()
    return {key: value for key, value in spec.items() if key != "$schema"}
