"""Configurations and cards with anything in them: what they say, or one line."""

from pathlib import Path

import pytest
import toy
import yaml
from hypothesis import given
from mutations import campaign, damaged, draws, exchanged, outcome, seeds

from stprune.base.layout import DataLayout
from stprune.base.schema import validate
from stprune.base.text import control_character
from stprune.config.experiment import ExperimentConfig, load_config, parse_config
from stprune.config.grid import run_keys, run_spec
from stprune.data.card import DatasetCard, LocalFile, load_card, raw_paths

CONFIG = {
    "experiment": "toy",
    "datasets": {"toy": None, "part": {"dataset": "toy", "days": 10, "node_stride": 2}},
    "backbones": {
        "stid": {"options": {"series_width": 8}, "optimisation": {"learning_rate": 0.005}},
        "small": {"backbone": "dlinear"},
    },
    "pruners": {
        "full": None,
        "st_prune": {"options": {"strata": 2}},
        "other": {"pruner": "infobatch", "options": {}},
    },
    "prune_ratios": [0.0, 0.5],
    "seeds": [0, 1],
    "training": {"epochs": 4, "batch_size": 32, "budget": "epochs", "patience": None},
    "compute": {"own_cores": False, "threads": 1},
    "tracking": {"mode": "disabled", "project": "p"},
    "mirror": "https://example.org/mirror",
    "keep_weights": False,
    "protocol": "paper",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the toy card."""
    place = tmp_path_factory.mktemp("fuzz")
    toy.write_toy(place / "data", place / "mirror")
    return place


def check_config(config: ExperimentConfig) -> None:
    assert control_character(config.model_dump(mode="json")) is None
    assert parse_config(config.model_dump(mode="json"), "the same") == config
    if len(config.prune_ratios) * len(config.seeds) < 100:
        root = config.results_directory / config.experiment / "runs"
        for key in run_keys(config)[:20]:
            assert (root / key.path).resolve().is_relative_to(root.resolve())
            outcome(run_spec, config, key)


@campaign
@given(seed=seeds)
def test_configurations(folder, seed):
    values = CONFIG | {"data_directory": str(folder / "data")}
    for rng in draws(seed):
        other = exchanged(values, rng)
        config = outcome(parse_config, other, "config.yaml")
        if config is not None:
            check_config(config)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    for _, config in damaged(seed, path, load_config, path):
        check_config(config)


def check_card(card: DatasetCard, layout: DataLayout) -> None:
    assert validate(DatasetCard, card.model_dump(mode="json"), "the same") == card
    assert control_character(card.model_dump(mode="json")) is None
    for role, place in raw_paths("toy", card, layout).items():
        if not isinstance(card.files[role], LocalFile):
            inside = (layout.root / "raw").resolve()
            assert place.resolve().is_relative_to(inside)
            assert place.resolve() != inside


CARD = toy.card_values(
    format="table",
    files={
        "series": {"url": "https://example.org/a/b.csv", "git_blob_sha1": "0" * 40},
        "own": {"path": "series.csv", "sha256": "0" * 64},
        "asked": {"kaggle": "owner/name", "name": "series.csv", "sha256": None},
    },
    options={"layout": "wide", "time": "time", "graph": {"weights": "given"}},
    breaks="none",
    steps=30,
    mape_floor=1.0,
    splits=[0.6, 0.2, 0.2],
)


@campaign
@given(seed=seeds)
def test_cards(folder, seed):
    layout = DataLayout(folder / "data")
    for rng in draws(seed):
        other = exchanged(CARD, rng)
        card = outcome(validate, DatasetCard, other, "mine.yaml")
        if card is not None:
            check_card(card, layout)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(CARD))
    for _, card in damaged(seed, path, load_card, "mine", folder):
        check_card(card, layout)
