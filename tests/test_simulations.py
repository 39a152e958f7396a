"""Simulated cities: sizes, seeds, cards that fit or are refused, and cards from the command."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stprune.__main__ import main
from stprune.base.errors import ConfigError
from stprune.data.canonical import RawSeries
from stprune.data.card import FORMATS, DatasetCard, dataset_ids, load_card
from stprune.data.simulation.cards import new_city
from stprune.data.simulation.freeway.network import layout_of

SIMULATED = ["sim_freeway", "sim_charging"]


def small_card(dataset: str, days: int = 2, seed: int = 1, **changes: Any) -> DatasetCard:
    """The published card for six nodes and a few days."""
    card = new_city(dataset, load_card(dataset), nodes=6, days=days, seed=seed)
    values = card.model_dump(exclude_defaults=True)
    values["options"] |= changes.pop("options", {})
    return DatasetCard.model_validate(values | changes)


def load(card: DatasetCard) -> RawSeries:
    raw: RawSeries = FORMATS.module(card.format).load(card, {})
    return raw


@pytest.mark.parametrize("dataset", [name for name in dataset_ids() if name.startswith("sim_")])
def test_a_published_card_has_the_size_that_its_options_make(dataset: str) -> None:
    card = load_card(dataset)
    options = FORMATS.module(card.format).Options.model_validate(card.options)
    assert (card.nodes, card.steps) == (options.size, options.steps)


@pytest.mark.parametrize("dataset", SIMULATED)
@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": 18},
        {"step_minutes": 10},
        {"start": datetime(2024, 1, 1, 6)},
        {"options": {"demand_level": 9}},
        {"options": {"segment": 4}},
        {"channels": [{"name": "flow", "unit": "vehicles"}], "target": "flow"},
    ],
)
def test_a_wrong_card_is_refused_in_one_line(dataset: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(small_card(dataset, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [("sim_freeway", "d2c383edb669019a"), ("sim_charging", "2731ddf2027be87c")],
)
def test_the_bits_are_those_of_the_kept_results_unless_the_seed_is_another(
    dataset: str, expected: str
) -> None:
    """Demand, calendar, events and queues all show in them."""
    raw = load(small_card(dataset))
    parts = raw.values.tobytes(), raw.adjacency.tobytes(), raw.events.to_csv(index=False).encode()
    assert hashlib.sha256(b"".join(parts)).hexdigest()[:16] == expected
    assert (raw.values != load(small_card(dataset, seed=2)).values).mean() > 0.5


@given(st.integers(-10, 5000))
def test_a_freeway_has_just_the_size_asked_for_or_names_the_next(nodes: int) -> None:
    try:
        corridors, segments = layout_of(nodes)
    except ValueError as error:
        near = [int(word) for word in str(error).split(";")[1].split() if word.isdigit()]
        assert 1 <= len(near) <= 2
        assert near == sorted(near)
        assert [2 * math.prod(layout_of(size)) for size in near] == near
    else:
        assert 2 * corridors * segments == nodes
        assert 1 <= corridors <= 32
        assert 3 <= segments <= 64


def test_cards_of_several_cities_from_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "simulate", "sim_charging", "--nodes", "5", "--days", "2"]
    words += ["--data-directory", str(tmp_path), "--seed"]
    for seed in (1, 1, 2):  # The second time it is there already.
        assert main([*words, str(seed)]) == 0
        name = f"sim_charging_5n_2d_s{seed}"
        assert capsys.readouterr().out == f"{tmp_path / name}.yaml\n"
        assert load_card(name, tmp_path).options["seed"] == seed


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["los_loop", "--nodes", "100"], "los_loop"),
        (["sim_freeway", "--nodes", "131"], "130 or 132"),
        (["sim_charging", "--nodes", "2"], "zones"),
        (["sim_freeway", "--days", "0"], "days"),
        (["sim_charging", "--days", "2", "--seed", "2"], "_s2.yaml"),
    ],
)
def test_a_wrong_wish_is_one_line_and_writes_nothing(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = ["sim_charging_40n_2d_s2.yaml"]
    (tmp_path / taken[0]).write_text("title: something else\n")
    assert main(["data", "simulate", *words, "--data-directory", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert named in output.err
    assert output.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == taken
