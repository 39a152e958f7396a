"""More simulated cities: sizes that a freeway can have, and cards written by the command."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stprune.__main__ import main
from stprune.base.errors import ConfigError
from stprune.base.layout import DataLayout
from stprune.base.schema import validate
from stprune.data.canonical import read_canonical
from stprune.data.card import load_card
from stprune.data.formats.simulated_freeway import Options
from stprune.data.prepare import prepare
from stprune.data.simulation.freeway.layout import layout_of
from stprune.data.simulation.new_card import new_city


@pytest.mark.parametrize(
    ("nodes", "layout"),
    [(6, (1, 3)), (64, (4, 8)), (512, (8, 32)), (2000, (20, 50)), (4096, (32, 64))],
)
def test_a_size_tells_corridors_and_segments(nodes: int, layout: tuple[int, int]) -> None:
    assert layout_of(nodes) == layout


@given(st.integers(-10, 5000))
def test_a_freeway_has_just_the_size_asked_for_or_names_the_next(nodes: int) -> None:
    try:
        corridors, segments = layout_of(nodes)
    except ValueError as error:
        near = [int(word) for word in str(error).split(";")[1].split() if word.isdigit()]
        for size in near:
            assert 2 * math.prod(layout_of(size)) == size
        assert near == sorted(near)
        assert 1 <= len(near) <= 2
    else:
        assert 2 * corridors * segments == nodes
        assert 1 <= corridors <= 32
        assert 3 <= segments <= 64


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"nodes": 131}, "130 or 132 would do"),
        ({"nodes": 64, "corridors": 4}, "either `nodes`, or `corridors` and `segments`"),
        ({"corridors": 4}, "either `nodes`, or `corridors` and `segments`"),
        ({}, "either `nodes`, or `corridors` and `segments`"),
    ],
)
def test_a_size_that_cannot_be_is_refused(size: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(Options, {"seed": 1, "days": 2, **size}, "options")


def test_events_are_as_frequent_in_a_larger_city() -> None:
    freeway = new_city("sim_freeway", load_card("sim_freeway"), nodes=128, days=3, seed=5)
    assert (freeway.nodes, freeway.steps) == (128, 864)
    assert freeway.options["incidents_per_day"] == 8
    assert {"corridors", "segments"}.isdisjoint(freeway.options)
    assert "128 nodes, 3 days, seed 5" in freeway.title
    charging = new_city("sim_charging", load_card("sim_charging"), nodes=80)
    assert (charging.nodes, charging.steps) == (80, 4320)
    assert charging.options["outages_per_week"] == 3
    same_size = new_city("sim_freeway", load_card("sim_freeway"), seed=8)
    assert same_size.options == load_card("sim_freeway").options | {"seed": 8}


def test_cards_of_several_cities_from_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "simulate", "sim_charging", "--nodes", "5", "--days", "2", "--seeds", "1", "2"]
    words += ["--data-directory", str(tmp_path)]
    names = [f"sim_charging_5n_2d_s{seed}" for seed in (1, 2)]
    for _ in range(2):  # The second time they are there already.
        assert main(words) == 0
        assert capsys.readouterr().out.split() == [str(tmp_path / f"{name}.yaml") for name in names]
    layout = DataLayout(tmp_path)
    one, other = (
        read_canonical(prepare(name, layout, cards=layout.root)).checksum for name in names
    )
    assert one != other


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["los_loop", "--nodes", "100"], "los_loop is not simulated"),
        (["sim_freeway", "--nodes", "131"], "130 or 132 would do"),
        (["sim_charging", "--nodes", "2"], "`zones`"),
        (["sim_freeway", "--days", "0"], "`days`"),
        (["sim_freeway", "--id", "Mine"], "--id Mine"),
        (["sim_freeway", "--id", "mine", "--seeds", "1", "2"], "--seeds asks for 2"),
        (["sim_freeway", "--id", "taken", "--days", "2"], "holds another card"),
        (["sim_charging", "--days", "2", "--seeds", "1", "2"], "_s2.yaml holds another card"),
    ],
)
def test_a_wrong_wish_is_one_line_and_writes_nothing(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = ["sim_charging_40n_2d_s2.yaml", "taken.yaml"]
    for name in taken:
        (tmp_path / name).write_text("title: something else\n")
    assert main(["data", "simulate", *words, "--data-directory", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err
    assert output.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == taken
