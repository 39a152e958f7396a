"""What every card must keep, whichever data sets there are."""

from __future__ import annotations

import re

import pytest

from stprune.base.schema import StrictModel, validate
from stprune.data.card import FORMATS, KaggleFile, RemoteFile, card_path, dataset_ids, load_card
from stprune.data.transfer import file_name

PINNED = re.compile(r"^https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+")


def test_there_are_cards() -> None:
    assert "los_loop" in dataset_ids()


@pytest.mark.parametrize("dataset", dataset_ids())
class TestEveryCard:
    def test_it_follows_the_schema_and_says_what_people_need(self, dataset: str) -> None:
        card = load_card(dataset)
        for text in (card.title, card.description, card.licence, card.citation):
            assert text.strip()
        assert all(channel.unit.strip() for channel in card.channels)
        names = [channel.name for channel in card.channels]
        assert len(set(names)) == len(names)
        # Times are local; a zone would be lost in the canonical data set.
        assert card.start.tzinfo is None

    def test_its_id_can_stand_in_a_path_and_in_a_rule(self, dataset: str) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", dataset), card_path(dataset)

    def test_its_format_has_a_loader_that_accepts_its_options(self, dataset: str) -> None:
        card = load_card(dataset)
        module = FORMATS.module(card.format)
        assert callable(module.load)
        assert issubclass(module.Options, StrictModel)
        validate(module.Options, card.options, f"options of {dataset}")

    def test_its_files_are_pinned(self, dataset: str) -> None:
        for role, remote in load_card(dataset).files.items():
            if isinstance(remote, KaggleFile):
                continue  # Kaggle has no pins; the loader checks shape, sensors and times.
            assert isinstance(remote, RemoteFile), f"{role} lies on somebody's disk"
            assert PINNED.match(remote.url), f"{role} is not pinned to a commit: {remote.url}"
            assert file_name(remote.url)
            assert re.fullmatch("[0-9a-f]{40}", remote.git_blob_sha1)

    def test_each_split_holds_the_usual_windows(self, dataset: str) -> None:
        card = load_card(dataset)
        # Twelve steps in and twelve out, so that there is at least one window of each kind.
        assert min(card.splits) * card.steps >= 24
