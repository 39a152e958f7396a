"""Data set cards: what a data set is, where its files come from, and its mask policy."""

import re
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from stprune.base.errors import UnknownNameError
from stprune.base.layout import DataLayout
from stprune.base.registry import Registry
from stprune.base.schema import StrictModel, read_yaml, validate
from stprune.base.text import CREDENTIALS, NAME, is_formula

CARD_DIRECTORY = Path(__file__).resolve().parents[2] / "data"

FORMATS: Registry[Any] = Registry("format", ("stprune.data.formats",), "builtins:object")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RemoteFile(StrictModel):
    """One raw file, pinned by the SHA-1 that git gives its content."""

    url: str = Field(pattern=r"^https?://[^/?#]", description="Address, pinned to a commit.")
    git_blob_sha1: str = Field(pattern=r"^[0-9a-f]{40}$", description="`git hash-object` of it.")

    @field_validator("url")
    @classmethod
    def _leads_to_one_file(cls, url: str) -> str:
        """The path of the address is also a path below a mirror, and others read a card."""
        path = unquote(urlsplit(url).path)
        if ".." in path.split("/") or "\0" in path or not PurePosixPath(path).name:
            raise ValueError("an address must end in a file name and have no `..`")
        if CREDENTIALS.search(url):
            raise ValueError("an address must have no password, since others read a card")
        return url


class LocalFile(StrictModel):
    """One raw file of the user's own, pinned by its SHA-256 when the card was made."""

    path: str = Field(min_length=1, description="Absolute, or relative to the data directory.")
    sha256: Sha256 = Field(description="`sha256sum` of it.")


class KaggleFile(StrictModel):
    """One raw file of a data set on Kaggle, fetched with the user's own account."""

    kaggle: str = Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$", description="`OWNER/NAME`.")
    name: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", description="A file in it.")
    sha256: Sha256 | None = Field(None, description="`sha256sum`, if known: Kaggle says none.")


def _source_of(entry: Any) -> str:
    """The kind of source that an entry of `files` means, by the key that only it has."""
    keys = entry if isinstance(entry, dict) else getattr(type(entry), "model_fields", ())
    return next((key for key in ("path", "kaggle") if key in keys), "url")


RawFile = Annotated[
    Annotated[RemoteFile, Tag("url")]
    | Annotated[LocalFile, Tag("path")]
    | Annotated[KaggleFile, Tag("kaggle")],
    Discriminator(_source_of),
]


class Channel(StrictModel):
    """One measured quantity."""

    name: str = Field(description="Short name, such as `flow`.")
    unit: str = Field(description="Unit in words, such as `vehicles / 5 min`.")

    @field_validator("name", "unit")
    @classmethod
    def _no_formula(cls, text: str) -> str:
        """Both appear in headings, captions and cells of tables."""
        if is_formula(text) or "\n" in text:
            raise ValueError("must be one line of words, not a formula")
        return text


class DatasetCard(StrictModel):
    """Everything that is known of a data set before it is fetched."""

    title: str = Field(description="Name for people.")
    description: str = Field(description="What was measured, where and how.")
    format: str = Field(description="Loader: a file of `stprune/data/formats/`.")
    files: dict[str, RawFile] = Field({}, description="Raw files by role, if any.")
    options: dict[str, Any] = Field({}, description="Options of the loader; it checks them itself.")
    licence: str = Field(description="Terms of the data (not of this software).")
    citation: str = Field(description="What to cite when using the data.")
    nodes: int = Field(ge=1, description="Sensors, zones or stations.")
    steps: int = Field(ge=2, description="Time steps.")
    step_minutes: int = Field(ge=1, le=1440, description="Minutes from one step to the next.")
    start: datetime = Field(description="Local time of the first step.")
    breaks: Literal["none", "daily", "clock"] = Field(
        "none", description="Steps left out: nowhere, between days, or when clocks skip an hour."
    )
    channels: list[Channel] = Field(min_length=1, description="Quantities, in file order.")
    target: str = Field(description="Name of the channel that is forecast.")
    mask_policy: Literal["none", "zero", "nan"] = Field(description="What marks a gap.")
    mape_floor: float = Field(1.0, gt=0, description="Least target that counts in MAPE.")
    splits: tuple[float, float, float] = Field(
        (0.6, 0.2, 0.2), description="Train, validation, test."
    )

    @field_validator("files")
    @classmethod
    def _plain_roles(cls, files: dict[str, RawFile]) -> dict[str, RawFile]:
        """A fetched file is put into a folder named after its role."""
        for role, file in files.items():
            if not isinstance(file, LocalFile) and not re.fullmatch(NAME, role):
                raise ValueError(f"a role is made of letters, digits, - and _, not {role!r}")
        return files

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetCard":
        if self.target not in self.channel_names:
            raise ValueError(f"target `{self.target}` is not one of the channels")
        if min(self.splits) <= 0 or abs(sum(self.splits) - 1) > 1e-9:
            raise ValueError(f"splits must be positive and sum to 1, got {self.splits}")
        if 1440 % self.step_minutes:
            raise ValueError(f"step_minutes must divide a day, got {self.step_minutes}")
        return self

    @property
    def channel_names(self) -> list[str]:
        """C names, in order."""
        return [channel.name for channel in self.channels]

    @property
    def target_channel(self) -> int:
        """Index of the target among the channels."""
        return self.channel_names.index(self.target)

    @property
    def steps_per_day(self) -> int:
        """Time steps in a day."""
        return 1440 // self.step_minutes


def dataset_ids(directory: Path = CARD_DIRECTORY) -> list[str]:
    """Ids of all data sets that have a card in ``directory`` or are shipped, sorted."""
    names = {path.stem for each in (CARD_DIRECTORY, directory) for path in each.glob("*.yaml")}
    # An id is part of paths and commands, so a file of another name is no card.
    return sorted(name for name in names if re.fullmatch(NAME, name))


def card_path(dataset: str, directory: Path = CARD_DIRECTORY) -> Path:
    """The card file of ``dataset``; a card in ``directory`` goes before a shipped one."""
    if dataset not in (known := dataset_ids(directory)):
        raise UnknownNameError("data set", dataset, known)
    own = directory / f"{dataset}.yaml"
    return own if own.exists() else CARD_DIRECTORY / own.name


def load_card(dataset: str, directory: Path = CARD_DIRECTORY) -> DatasetCard:
    """Read and check the card of ``dataset``; a ConfigError if there is none or it is wrong."""
    path = card_path(dataset, directory)
    card = validate(DatasetCard, read_yaml(path), str(path))
    if card.format not in FORMATS.ids():
        raise UnknownNameError("format", card.format, FORMATS.ids(), str(path))
    return card


def raw_paths(dataset: str, card: DatasetCard, layout: DataLayout) -> dict[str, Path]:
    """Where the raw file of each role lies, or will lie once it is fetched."""
    paths = {}
    for role, file in card.files.items():
        if isinstance(file, LocalFile):
            paths[role] = layout.root / Path(file.path).expanduser()
        elif isinstance(file, KaggleFile):  # the cards of one data set there share files
            paths[role] = layout.raw("kaggle.com", file.kaggle, file.name)
        else:
            name = PurePosixPath(unquote(urlsplit(file.url).path)).name
            paths[role] = layout.raw(dataset, role, name)
    return paths


def local_paths(card: DatasetCard, layout: DataLayout) -> list[Path]:
    """The user's own files of a card that are there now."""
    paths = raw_paths("", card, layout).items()
    return [p for role, p in paths if isinstance(card.files[role], LocalFile) and p.is_file()]
