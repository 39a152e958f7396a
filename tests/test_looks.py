"""Every pruner keeps its look, none looks like another, and the legend fits beside the panels."""

from __future__ import annotations

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from stprune.paper.draw import LOOKS, legend, legend_height, looks
from stprune.paper.figures import paper_style

RIVALS = [f"rival_{number}" for number in range(20)]


def test_looks_are_distinct_and_stay_from_figure_to_figure() -> None:
    chosen = looks([*LOOKS, *RIVALS])
    pairs = {(look.colour, look.marker) for look in chosen.values()}
    assert len(pairs) == len(LOOKS) + 20
    assert chosen["st_prune"] == looks(["st_prune"])["st_prune"]
    assert looks(["rival_3", "full"])["rival_3"] == looks(["rival_3"])["rival_3"]
    assert looks(reversed(RIVALS)) == looks(RIVALS)


def test_curves_without_markers_differ_too() -> None:
    for names in (list(LOOKS), RIVALS):
        curves = {(look.colour, look.line) for look in looks(names).values()}
        assert len(curves) == len(names)


def test_no_entry_of_a_configuration_takes_the_colour_of_a_known_rival() -> None:
    known = {to_hex(look.colour) for look in LOOKS.values()}
    assert known.isdisjoint(to_hex(look.colour) for look in looks(RIVALS).values())


def test_a_legend_of_many_names_is_as_high_as_it_says_and_no_wider_than_the_page() -> None:
    for names in (2, 7, 12, 13, 24):
        with paper_style():
            figure = Figure(figsize=(7.0, 4.0))
            figure.subplots()
            legend(figure, looks(f"hard_share_{number}" for number in range(names)))
            figure.draw_without_rendering()
            box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.height / figure.dpi <= legend_height(names) + 0.15
