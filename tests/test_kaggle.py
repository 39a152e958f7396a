"""Files of Kaggle: from a directory that has them, a mirror, or the user's account."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path
from types import ModuleType

import fabricated_largest
import pytest
import yaml
from web_site import Answer, serving

from stprune.base.errors import ConfigError, FetchError
from stprune.base.layout import DataLayout
from stprune.data.card import DatasetCard, load_card
from stprune.data.fetch import fetch
from stprune.data.prepare import prepare
from stprune.data.transfer import Network

CONTENT = b"ID,District,ID2\n1,11,0\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TOKEN = "KGAT_not_a_token_of_anyone"  # noqa: S105
IMPATIENT = Network(retries=0)


def card_of(sha256: str | None = None) -> DatasetCard:
    values = load_card("largest_sd").model_dump(mode="json")
    file = {"kaggle": "liuxu77/largest", "name": "ca_meta.csv", "sha256": sha256}
    return DatasetCard.model_validate(values | {"files": {"sensors": file}})


def place_of(folder: Path) -> Path:
    path = folder / "www.kaggle.com/datasets/liuxu77/largest/ca_meta.csv"
    path.parent.mkdir(parents=True)
    return path


class Client(ModuleType):
    """Stands in for `kagglehub`: a cache in a folder, or an error."""

    def __init__(self, answer: Path | Exception) -> None:
        super().__init__("kagglehub")
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def dataset_download(self, handle: str, path: str) -> str:
        self.asked.append((handle, path))
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client is installed and no mirror is set, whatever this machine has."""
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    monkeypatch.delenv("STPRUNE_MIRROR", raising=False)
    for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_without_client_and_directory_it_is_said_how_to_get_them(tmp_path: Path) -> None:
    target = tmp_path / "raw/kaggle.com/liuxu77/largest/ca_meta.csv"
    with pytest.raises(FetchError, match=r"^cannot fetch ca_meta.csv of largest_sd: ") as caught:
        fetch("largest_sd", card_of(), DataLayout(tmp_path), "")
    message = str(caught.value)
    for part in ("pip install kagglehub", "KAGGLE_API_TOKEN", "`mirror:`", str(target)):
        assert part in message
    assert "\n" not in message


def test_the_client_is_asked_and_its_file_used_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "cache" / "ca_meta.csv"
    cached.parent.mkdir()
    cached.write_bytes(CONTENT)
    client = Client(cached)
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    found = fetch("largest_sd", card_of(), DataLayout(tmp_path / "data"), "")
    assert found == {"sensors": cached}
    assert client.asked == [("liuxu77/largest", "ca_meta.csv")]


def test_a_directory_that_has_the_files_needs_no_client(tmp_path: Path) -> None:
    layout = DataLayout(tmp_path / "data")
    # As a mirror lays them out, and as the archive of Kaggle unpacks.
    laid_out = place_of(tmp_path / "mirror")
    unpacked = tmp_path / "unpacked" / "ca_meta.csv"
    unpacked.parent.mkdir()
    for path in (laid_out, unpacked):
        path.write_bytes(CONTENT)
        directory = str(tmp_path / path.relative_to(tmp_path).parts[0])
        assert fetch("largest_sd", card_of(), layout, directory) == {"sensors": path}
    # Put where the message says, for all cards of the data set.
    target = layout.raw("kaggle.com", "liuxu77/largest", "ca_meta.csv")
    target.write_bytes(CONTENT)
    assert fetch("largest_gba", card_of(SHA256), layout, "") == {"sensors": target}


def test_a_hash_on_the_card_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place_of(tmp_path / "mirror")
    path.write_bytes(CONTENT + b"2,11,1\n")
    message = rf"{path} has the SHA-256 [0-9a-f]{{64}} instead of {SHA256}; Kaggle wants an account"
    with pytest.raises(FetchError, match=message):
        fetch("largest_sd", card_of(SHA256), DataLayout(tmp_path), str(tmp_path / "mirror"))
    monkeypatch.setitem(sys.modules, "kagglehub", Client(path))
    with pytest.raises(FetchError, match=rf"instead of {SHA256}; or download it from https://www"):
        fetch("largest_sd", card_of(SHA256), DataLayout(tmp_path), "")


def test_a_mirror_by_address_serves_what_a_hash_can_check(tmp_path: Path) -> None:
    path = "/www.kaggle.com/datasets/liuxu77/largest/ca_meta.csv"
    layout = DataLayout(tmp_path)
    target = layout.raw("kaggle.com", "liuxu77/largest", "ca_meta.csv")
    with serving() as site:

        def get(card: DatasetCard) -> dict[str, Path]:
            return fetch("largest_sd", card, layout, site.url(""), network=IMPATIENT)

        site.answers[path] = [Answer(CONTENT)]
        assert get(card_of(SHA256)) == {"sensors": target}
        assert target.read_bytes() == CONTENT
        target.unlink()
        # Without a hash an error page would be taken for data.
        with pytest.raises(FetchError, match="Kaggle wants an account"):
            get(card_of())
        site.answers[path] = [Answer(b"<!doctype html>")]
        with pytest.raises(FetchError, match=r"ca_meta.csv: .* has the SHA-256 .* instead of"):
            get(card_of(SHA256))
        del site.answers[path]
        with pytest.raises(FetchError, match=r"404.*; Kaggle wants an account"):
            get(card_of(SHA256))
    assert [file.name for file in target.parent.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (PermissionError(f"403 Forbidden\nfor {TOKEN}"), "PermissionError: 403 Forbidden for ...)"),
        (Path("/absent/ca_meta.csv"), "named /absent/ca_meta.csv, where there is no file"),
    ],
)
def test_a_client_that_fails_is_one_line_without_the_token(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Path | Exception,
    words: str,
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", Client(answer))
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(FetchError) as caught:
        fetch("largest_sd", card_of(), DataLayout(tmp_path), "")
    assert words in str(caught.value)
    assert TOKEN not in str(caught.value) + caplog.text
    assert "\n" not in str(caught.value)


def test_a_name_cannot_lead_out_of_the_data_set() -> None:
    for name in ("../key", "a/b", ".hidden", ""):
        values = {"kaggle": "liuxu77/largest", "name": name}
        card = load_card("largest_sd").model_dump(mode="json") | {"files": {"sensors": values}}
        with pytest.raises(ValueError, match="name"):
            DatasetCard.model_validate(card)
    with pytest.raises(ConfigError, match="unknown data set"):
        load_card("largest_xx")


def test_what_was_prepared_says_what_it_was_made_of(tmp_path: Path) -> None:
    card = fabricated_largest.fabricate("largest_sd", tmp_path / "mirror")
    values = card.model_dump(mode="json")
    expected = {role: values["files"][role].pop("sha256") for role in card.files}
    root = tmp_path / "data"
    root.mkdir()
    (root / "largest_sd.yaml").write_text(yaml.safe_dump(values))
    folder = prepare("largest_sd", DataLayout(root), str(tmp_path / "mirror"), cards=root)
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["raw_sha256"] == expected
    assert TOKEN not in json.dumps(meta)
