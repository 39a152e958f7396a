"""A card as text for people: everything that is known of a data set, and what of it is here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from stprune.base.layout import DataLayout
from stprune.data.card import DatasetCard, KaggleFile, LocalFile, card_path
from stprune.data.inventory import RawState, raw_states, source, state

WIDTH = 96
INDENT = 14
MASKS = {
    "none": "nothing is missing",
    "zero": "a zero is a missing value",
    "nan": "NaN or an empty field is a missing value",
}


def card_text(dataset: str, card: DatasetCard, layout: DataLayout) -> str:
    """The card of ``dataset`` and its state, as lines of at most ``WIDTH`` characters."""
    lines = [f"{dataset}: {card.title}", "", *textwrap.wrap(card.description, WIDTH), ""]
    for name, text in _facts(dataset, card, layout):
        # Addresses and hashes are for copying: never broken.
        lines += textwrap.wrap(
            text,
            WIDTH,
            initial_indent=f"{name:{INDENT}}",
            subsequent_indent=" " * INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines) + "\n"


def _facts(dataset: str, card: DatasetCard, layout: DataLayout) -> Iterator[tuple[str, str]]:
    days = card.steps * card.step_minutes / 1440
    breaks = "" if card.breaks == "none" else "; steps are left out between days"
    yield "size", f"{card.nodes} nodes, {card.steps} steps of {card.step_minutes} min"
    yield "time", f"from {card.start:%Y-%m-%d %H:%M} on, {days:.4g} days of steps{breaks}"
    for number, channel in enumerate(card.channels):
        target = ", the target" if channel.name == card.target else ""
        yield "" if number else "channels", f"{channel.name} ({channel.unit}){target}"
    yield "missing", MASKS[card.mask_policy]
    yield "MAPE", f"taken where the target is at least {card.mape_floor:g}"
    shares = " / ".join(f"{share:g}" for share in card.splits)
    yield "splits", f"{shares} of the windows: train, validation, test"
    yield "format", card.format
    for number, (key, value) in enumerate(card.options.items()):
        yield "" if number else "options", f"{key}: {value}"
    yield "source", source(card)
    for raw in raw_states(dataset, card, layout):
        yield from _file_facts(raw)
    yield "licence", card.licence
    yield "citation", card.citation
    yield "card", str(card_path(dataset, layout.root))
    yield "prepared in", str(layout.processed(dataset))
    yield "state", state(dataset, card, layout)


def _file_facts(raw: RawState) -> Iterator[tuple[str, str]]:
    file = raw.file
    if isinstance(file, LocalFile):
        yield f"  {raw.role}", file.path
        yield "", f"SHA-256 {file.sha256}"
    elif isinstance(file, KaggleFile):
        yield f"  {raw.role}", f"{file.name} of {file.kaggle}, with an account of Kaggle"
        yield "", f"SHA-256 {file.sha256}" if file.sha256 else "no hash of it is published"
    else:
        yield f"  {raw.role}", file.url
        if file.member is not None:
            yield "", f"of it the file {file.member}"
        yield "", f"git blob SHA-1 {file.git_blob_sha1}"
    if raw.size is not None:
        yield "", f"here: {raw.path} ({raw.size} bytes)"
    elif raw.arrived:
        yield "", f"{raw.arrived} bytes have arrived"
