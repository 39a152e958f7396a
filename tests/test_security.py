"""Strangers' files are not run, obeyed, followed elsewhere or shown raw; secrets stay secret."""

import json
import logging
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import synthetic_records
import torch
import wandb
import wandb_stand_in
from own_data import card_with
from toy import card_values
from toy_runs import key_of

from stprune.__main__ import main
from stprune.base import files
from stprune.base.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    FetchError,
    RecordError,
    StpruneError,
)
from stprune.base.layout import STORE_TABLES, DataLayout, RunKey
from stprune.base.schema import read_yaml, validate
from stprune.base.settings import TrackingSettings
from stprune.base.text import is_formula, parse_json, plain_line
from stprune.config.experiment import load_config, parse_config
from stprune.config.grid import experiment_layout
from stprune.data import fetch as module
from stprune.data.canonical import read_canonical
from stprune.data.card import DatasetCard, load_card
from stprune.data.fetch import fetch
from stprune.data.formats import table
from stprune.records.kept import KeptArchive, read_kept
from stprune.records.run import read_record
from stprune.records.store import read_store, write_store
from stprune.results.summarise import summarise
from stprune.results.summary import load_results
from stprune.tracking.run import WandbTracking
from stprune.training.checkpoint import load_checkpoint
from stprune.training.run import train
from stprune.workflow.run_states import last_line

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("stprune", "baselines", "paper_figures", "workflow", "examples")


def test_no_source_unpickles_where_the_linter_is_silent():
    """Ruff's S rules refuse `eval`, `pickle`, `yaml.load`, shells and the like."""
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert text.count("torch.load(") == text.count("weights_only=True") > 0
    assert not re.search(r"allow_pickle=True|unsafe_load|full_load|jinja2\.Template", text)


def test_rules_quote_whatever_no_pattern_restricts():
    commands = []
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for block in re.findall(r"^    shell:\n((?: {8}.*\n)+)", path.read_text(), re.MULTILINE):
            commands.append(block)
            for name in re.findall(r"(?<!{){([^{}]+)}", block):
                restricted = name.startswith("wildcards.") or name in ("threads",)
                assert restricted or name.endswith(":q"), f"{path.name}: {{{name}}}"
    assert len(commands) >= 5, "the search itself is broken"


BAD_NAMES = (
    *("a;touch x", "$(touch x)", "`id`", "../x", "a/b", ".", "..", "", " a", "a b", "-x", "{x}"),
    *("a\nb", "\x1b[2J", "=cmd", "é", "a.b", "<b>", "a'b", "x" * 101),
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_be_more_is_refused(name, toy_values):
    for change in (
        {"experiment": name},
        {"datasets": {name: {"dataset": "toy"}}},
        {"backbones": {name: {"backbone": "stid"}}},
        {"pruners": {name: {"pruner": "full"}}},
        # A directory may have any name but one that is a pattern of Snakemake.
        {"results_directory": "out{x}"},
        {"data_directory": "out{x}"},
    ):
        with pytest.raises(ConfigError):
            parse_config(toy_values | change, "the configuration")
    for roles in ({name: REMOTE}, {"a": {"kaggle": "owner/name", "name": f".{name}"}}):
        with pytest.raises(ConfigError):
            validate(DatasetCard, card_values(files=roles), "the card")
    with pytest.raises(ConfigError):
        load_card(name)


ARRAY_CARD = card_with({"layout": "array"})
REMOTE = {"url": "https://example.org/a/b.csv", "git_blob_sha1": "0" * 40}


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/%2e%2e/%2E%2E/etc/passwd",
        "https://example.org/a%00b.csv",
        "file:///etc/passwd",
        "https:///etc/passwd",
        "https://example.org/",
        "https://user:hunter2@example.org/a.csv",
    ],
)
def test_an_address_that_leads_elsewhere_is_refused(url):
    values = card_values(files={"series": REMOTE | {"url": url}})
    with pytest.raises(ConfigError, match=r"files\.series") as caught:
        validate(DatasetCard, values, "the card")
    assert "hunter2" not in str(caught.value)


class Harm:
    """Pickled, it makes a file wherever it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["series.npy", "mask.npy", "timestamps.npy", "adjacency.npy"])
def test_nothing_unpickles_what_a_stranger_pickled(tmp_path, toy_data, name):
    harm = Harm(tmp_path / "made")
    array = np.array([harm], dtype=object)
    folder = Path(shutil.copytree(toy_data / "processed" / "toy", tmp_path / "toy"))
    np.save(folder / name, array, allow_pickle=True)
    with pytest.raises(DataError, match="toy"):
        read_canonical(folder)
    torch.save({"identity": {}, "state": harm}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt"):
        load_checkpoint(tmp_path / "last.pt", {})
    np.savez(tmp_path / "kept.npz", times=array, bits=array, score_quantiles=array)
    with pytest.raises(RecordError, match=r"kept\.npz"):
        read_kept(tmp_path / "kept.npz")
    np.savez(tmp_path / "series.npz", values=array)
    with pytest.raises(DataError, match=r"series\.npz"):
        table.load(ARRAY_CARD, {"series": tmp_path / "series.npz"})
    assert not harm.path.exists()
    # Without our care it would have been made.
    torch.load(tmp_path / "last.pt", weights_only=False)
    assert harm.path.is_dir()


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: &a [*a]",
        "[" * 3000,
        "a: 1\nb: 2\na: 3",
        "a: 2024-13-45",
        "a: !!python/object/apply:os.mkdir [x]",
        "a: " + "9" * 5000,
        "a: \x00",
        "#" + "x" * (1 << 20),
    ],
    ids=["laughs", "itself", "deep", "twice", "date", "object", "digits", "control", "large"],
)
def test_a_yaml_that_means_harm_is_one_line(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.yaml") as caught:
        read_yaml(tmp_path / "x.yaml")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a": NaN}', '{"a": -Infinity}'])
def test_a_json_that_means_harm_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


FORMULAS = ("=cmd|'/C calc'!A0", "@SUM(1+1)", '+HYPERLINK("x")', "-2+3+cmd|' /C calc'!A0", "\t=1")
WORDS = ("-", "+", "-118.2_34.1", "-1", "vehicles / 5 min", "% of hour", "km/h", "a=b", "(-)")


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_told_from_words_and_come_into_no_csv(tmp_path, text):
    assert is_formula(text)
    assert not any(map(is_formula, WORDS))
    for channel in ({"name": "flow", "unit": text}, {"name": text, "unit": "km/h"}):
        with pytest.raises(ConfigError, match="channels"):
            validate(DatasetCard, card_values(channels=[channel], target=channel["name"]), "x")
    with pytest.raises(StpruneError, match=r"metrics\.json"):
        read_record(write_record(tmp_path, {"environment": {"git_commit": text}}))
    for field in ("dataset", "backbone", "pruner", "experiment"):  # nor may these name a folder
        with pytest.raises(ConfigError, match=field):
            read_record(write_record(tmp_path, {field: "../../x"}))


KEY = RunKey("roads", "stid", "st_prune", 0.5, 0)


def write_record(folder: Path, changes: dict[str, Any]) -> Path:
    path = folder / "metrics.json"
    path.write_text(json.dumps(synthetic_records.record(KEY).model_dump(mode="json") | changes))
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    root = tmp_path_factory.mktemp("tables")
    store = synthetic_records.write_experiment(root, pruners=("st_prune",)).store
    return {name: read_store(store, name) for name in STORE_TABLES}


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("dataset", "../../etc"),
        ("pruner", "<script>"),
        ("record", "../../../secret.json"),
        ("record", "/etc/passwd"),
        ("target_unit", "=cmd|'/C calc'!A0"),
        ("target_unit", "\x1b]0;x\x07"),
        ("seed", None),
        ("prune_ratio", float("nan")),
    ],
)
def test_a_summary_with_such_a_cell_is_refused(tmp_path, tables, column, cell):
    summary = tables["summary"].astype({column: object})
    summary.loc[1, column] = cell
    write_store(tmp_path, tables | {"summary": summary})
    with pytest.raises(RecordError, match=column) as caught:
        load_results(tmp_path)
    assert str(caught.value).isprintable()


def test_bombs_are_refused_before_they_go_off(tmp_path, monkeypatch):
    # What unpacks to more than 1 MiB is one here, so that tests need no gigabytes.
    monkeypatch.setattr(files, "LARGE_BYTES", 1 << 20)
    zeros = np.zeros((500_000, 2))
    np.savez_compressed(tmp_path / "s.npz", values=zeros)
    with pytest.raises(DataError, match=r"s\.npz.*200 times"):
        table.load(ARRAY_CARD, {"series": tmp_path / "s.npz"})
    flat = pd.DataFrame({"when": pd.Timestamp("2024-01-01"), "a": zeros[:, 0]})
    flat.to_parquet(tmp_path / "s.parquet")
    with pytest.raises(DataError, match=r"s\.parquet.*200 times"):
        table.load(card_with({"time": "when"}), {"series": tmp_path / "s.parquet"})
    archive = KeptArchive(np.datetime64("2024-01-01", "m") + np.arange(8))
    archive.add(torch.arange(8), None)
    archive.write(tmp_path / "kept.npz")
    with zipfile.ZipFile(tmp_path / "kept.npz", "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("more.npy", bytes(4 << 20))
    with pytest.raises(RecordError, match=r"kept\.npz.*200 times"):
        read_kept(tmp_path / "kept.npz")


@pytest.mark.parametrize(
    "size",
    [
        {"shape": (10**9, 1000), "chunks": (1000, 1000)},  # holes that would be filled
        {"shape": (3, 2), "external": [("secret", 0, 48)]},  # numbers of another file
    ],
)
def test_an_hdf_of_another_s_numbers_is_refused(tmp_path, monkeypatch, size):
    monkeypatch.chdir(tmp_path)
    Path("secret").write_bytes(bytes(48))
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("values", dtype="f8", **size)
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"s\.h5"):
        table.load(ARRAY_CARD, {"series": path})


ESCAPES = "\x1b[2J\x1b]0;owned\x07\nstprune: all is well\u202e"


def test_no_message_obeys_its_author(tmp_path, capsys, toy_values):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(toy_values | {ESCAPES: 1}))
    assert main(["config", "--config", str(path)]) == 1
    message = capsys.readouterr().err
    assert message.endswith("\n")
    assert message[:-1].isprintable()
    assert r"\x1b[2J" in message
    for key in ("experiment", "results_directory"):
        path.write_text(json.dumps(toy_values | {key: ESCAPES}))
        with pytest.raises(ConfigError, match=key) as caught:
            load_config(path)
        assert str(caught.value).isprintable()


def test_a_line_is_shown_as_it_is_unless_it_could_harm(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("epoch 1/2: fine\nstprune: error: \x1b[2Jgone\x07\n")
    assert last_line(log) == r"\x1b[2Jgone\x07"
    words = "größer als 5 µm: ∆ = 3 %, 日本"
    assert plain_line(words) == words
    assert plain_line("a\tb\r\nc\x9b\u2028") == r"a\tb\r\nc\x9b\u2028"
    assert plain_line("soft\xad\u200bword") == r"soft\xad\u200bword"
    assert plain_line("http://u:p@h/x?y and https://t@h") == "http://...@h/x?y and https://...@h"


# Keys, tokens and passwords are in no record, log, report, configuration or message.
SECRETS = {
    "WANDB_API_KEY": "5ec4e7" + "0a" * 17,
    "KAGGLE_API_TOKEN": "KGAT_5ec4e7token",
    "KAGGLE_KEY": "5ec4e7kagglekey",
    "HTTPS_PROXY": "http://me:5ec4e7proxy@127.0.0.1:9",
    "HTTP_PROXY": "http://me:5ec4e7proxy@127.0.0.1:9",
    "STPRUNE_MIRROR": "http://me:5ec4e7mirror@127.0.0.1:9/files",
}
MARK = "5ec4e7"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("secrets")
def test_a_failing_fetch_says_no_password(tmp_path, monkeypatch, caplog, capsys):
    monkeypatch.setattr(module, "TRIES", 1)
    layout = DataLayout(tmp_path)
    url = "https://data.example.org/a/series.csv"
    card = validate(DatasetCard, card_values(files={"series": REMOTE | {"url": url}}), "the card")
    with caplog.at_level(logging.DEBUG), pytest.raises(FetchError) as caught:
        fetch("toy", card, layout, None)
    assert "http://...@127.0.0.1:9/files/data.example.org/a/series.csv" in str(caught.value)
    assert MARK not in str(caught.value)
    # The same through the command line, whose log lines pass its own formatter.
    (tmp_path / "mine.yaml").write_text(str(card.model_dump(mode="json")))
    assert main(["data", "fetch", "mine", "--data-directory", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert "series.csv" in output.err
    assert MARK not in output.err + output.out


def test_a_configuration_with_a_password_is_refused(toy_values):
    values = toy_values | {"mirror": SECRETS["STPRUNE_MIRROR"]}
    with pytest.raises(ConfigError, match="STPRUNE_MIRROR") as caught:
        parse_config(values, "the configuration")
    assert MARK not in str(caught.value)


@pytest.mark.slow
@pytest.mark.usefixtures("secrets")
def test_a_tracked_run_holds_no_secret(toy_config, tmp_path, caplog):
    layout = experiment_layout(toy_config)
    key = key_of("st_prune", 0.5)
    settings = TrackingSettings(mode="offline")
    with caplog.at_level(logging.DEBUG), wandb_stand_in.wandb_alone(tmp_path / "home"):
        train(toy_config, key, [WandbTracking(settings, layout.tracking)])
        wandb.teardown()
    summarise([layout.metrics(key)], layout)
    written = [path for path in layout.root.rglob("*") if path.is_file()]
    assert {"metrics.json", "summary.csv"} <= {path.name for path in written}
    assert any(path.suffix == ".wandb" for path in written)
    assert [path for path in written if MARK.encode() in path.read_bytes()] == []
    assert MARK not in caplog.text
