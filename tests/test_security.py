"""Files of strangers: nothing in them is run, obeyed, followed out of its folder, or shown raw."""

from __future__ import annotations

import ast
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import synthetic_records
import torch
from own_data import card_with, load_text

from stprune.__main__ import main
from stprune.base import files
from stprune.base.errors import CheckpointError, ConfigError, DataError, RecordError, StpruneError
from stprune.base.layout import STORE_TABLES, DataLayout, ExperimentLayout, RunKey
from stprune.base.schema import read_yaml, validate
from stprune.base.text import is_formula, parse_json, parse_yaml, plain_line
from stprune.config.experiment import load_config, parse_config
from stprune.data.canonical import read_canonical, write_canonical
from stprune.data.card import DatasetCard, dataset_ids, load_card
from stprune.data.fetch import raw_path
from stprune.data.formats import table
from stprune.records.kept import KeptArchive, read_kept
from stprune.records.run import read_record
from stprune.records.store import read_store, write_store
from stprune.results.summary import aggregate, load_results
from stprune.workflow.run_states import last_line

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("stprune", "baselines", "paper_figures", "workflow", "examples")

# Calls that run, or let a library run, what stands in a file or a text.
RUNS_CODE = {
    *("eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput"),
    *("pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "joblib.load"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"),
    *("pd.read_pickle", "pd.read_hdf", "pandas.read_pickle", "pandas.read_hdf"),
    *("tarfile.extractall", "shutil.unpack_archive", "jinja2.Template"),
}


def calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Place, dotted name, and constant keywords of every call in our sources."""
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    given = {
                        word.arg or "": word.value.value
                        for word in node.keywords
                        if isinstance(word.value, ast.Constant)
                    }
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield place, ast.unparse(node.func), given


def test_no_source_runs_what_it_reads() -> None:
    found = list(calls())
    assert len(found) > 5000, "the search itself is broken"
    for place, name, given in found:
        assert name not in RUNS_CODE, f"{place} calls {name}"
        assert not given.get("shell"), f"{place} runs a shell"
        assert not given.get("allow_pickle"), f"{place} unpickles"
        if name == "torch.load":
            assert given.get("weights_only") is True, f"{place} unpickles"


def test_rules_quote_whatever_no_pattern_restricts() -> None:
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
def test_a_name_that_could_be_more_is_refused(name: str, toy_values: dict[str, Any]) -> None:
    for values in (
        toy_values | {"experiment": name},
        toy_values | {"datasets": {name: {"dataset": "toy"}}},
        toy_values | {"pruners": {name: {"pruner": "full"}}},
    ):
        with pytest.raises(ConfigError):
            parse_config(values, "the configuration")
    with pytest.raises(ConfigError):
        validate(DatasetCard, card_values(files={name: REMOTE}), "the card")


@pytest.mark.parametrize("name", ["a;touch x", "..", "$(id)", "a b", "-x"])
def test_a_card_file_of_such_a_name_is_no_data_set(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.yaml").write_text("title: x")
    assert name not in dataset_ids(tmp_path)
    with pytest.raises(ConfigError, match="unknown data set"):
        load_card(name, tmp_path)


def test_a_directory_with_braces_is_no_pattern(toy_values: dict[str, Any]) -> None:
    for key in ("results_directory", "data_directory"):
        with pytest.raises(ConfigError, match=f"`{key}`.*without braces"):
            parse_config(toy_values | {key: "out{x}"}, "the configuration")


REMOTE = {"url": "https://example.org/a/b.csv", "git_blob_sha1": "0" * 40}


def card_values(**changes: Any) -> dict[str, Any]:
    return card_with({}).model_dump(mode="json") | changes


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/../../etc/passwd",
        "https://example.org/%2e%2e/%2E%2E/etc/passwd",
        "https://example.org/a%00b.csv",
        "file:///etc/passwd",
        "https:///etc/passwd",
        "https://user:hunter2@example.org/a.csv",
    ],
)
def test_an_address_that_leads_elsewhere_is_refused(url: str) -> None:
    values = card_values(files={"series": REMOTE | {"url": url}})
    with pytest.raises(ConfigError, match=r"files\.series.*url") as caught:
        validate(DatasetCard, values, "the card")
    assert "hunter2" not in str(caught.value)


def test_a_fetched_file_lies_below_its_role(tmp_path: Path) -> None:
    card = validate(DatasetCard, card_values(files={"series": REMOTE}), "the card")
    path = raw_path("x", "series", card.files["series"], DataLayout(tmp_path))
    assert path == tmp_path / "raw/x/series/b.csv"


class Harm:
    """Pickled, it makes a file wherever it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_nothing_unpickles_what_a_stranger_pickled(tmp_path: Path, toy_data: Path) -> None:
    from stprune.training.checkpoint import load_checkpoint

    made = tmp_path / "made"
    harm = np.array([Harm(made)], dtype=object)
    path = tmp_path / "last.pt"
    torch.save({"identity": {}, "state": Harm(made)}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path, {})
    torch.save(Harm(made), path)
    np.savez(tmp_path / "kept.npz", times=harm, bits=harm, score_quantiles=harm)
    with pytest.raises(RecordError, match="is damaged"):
        read_kept(tmp_path / "kept.npz")
    np.savez(tmp_path / "series.npz", values=harm)
    with pytest.raises(DataError, match=r"series\.npz"):
        table.load(card_with({"layout": "array"}), {"series": tmp_path / "series.npz"})
    assert not made.exists()
    # The same without care, or the test would show nothing.
    torch.load(path, weights_only=False)
    assert made.is_dir()


def test_a_checkpoint_gives_nothing_that_was_not_stored(tmp_path: Path) -> None:
    from stprune.training.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "last.pt"
    save_checkpoint(path, {"count": torch.tensor(3)}, {})
    content = bytearray(path.read_bytes())
    # In the list at the end, its part with the number is marked as a folder, which has no content.
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"/data/0"))
    content[entry + 38] |= 0x10
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="its parts are not listed as torch does"):
        load_checkpoint(path, {})


def test_prepared_arrays_are_not_unpickled(tmp_path: Path, toy_data: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(toy_data / "processed" / "toy", tmp_path / "toy"))
    made = tmp_path / "made"
    for name in ("series.npy", "mask.npy", "timestamps.npy", "adjacency.npy"):
        good = (folder / name).read_bytes()
        np.save(folder / name, np.array([Harm(made)], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match="is damaged"):
            read_canonical(folder)
        (folder / name).write_bytes(good)
    assert not made.exists()
    read_canonical(folder)


def test_prepared_arrays_of_another_form_are_refused(tmp_path: Path, toy_data: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(toy_data / "processed" / "toy", tmp_path / "toy"))
    times = np.load(folder / "timestamps.npy")
    times[5] += np.timedelta64(60, "s")
    for name, array, why in (
        ("series.npy", np.zeros((3, 8, 1), np.float32), r"series\.npy holds float32 \(3, 8, 1\)"),
        ("mask.npy", np.zeros((504, 8, 1), np.float32), r"mask\.npy holds float32"),
        ("adjacency.npy", np.full((8, 8), np.nan, np.float32), "weights that are not finite"),
        ("timestamps.npy", times, "the step after .* is 3660 s long"),
    ):
        good = (folder / name).read_bytes()
        np.save(folder / name, array)
        with pytest.raises(DataError, match=why):
            read_canonical(folder)
        (folder / name).write_bytes(good)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAUGHS, "its aliases stand for 1234567909 values"),
        ("a: &a [*a]", "it holds itself"),
        ("[" * 3000, "nested too deeply"),
        ("a: 1\nb: 2\na: 3", "the key `a` twice"),
        ("a: 2024-13-45", "month must be in"),
        ("a: !!python/object/apply:os.mkdir [x]", "could not determine a constructor"),
        ("a: " + "9" * 5000, "4300 digits"),
        ("a: \x00", "special characters"),
        ("#" + "x" * (1 << 20), "larger than 1 MiB"),
    ],
    ids=["laughs", "itself", "deep", "twice", "date", "object", "digits", "control", "large"],
)
def test_a_yaml_that_means_harm_is_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(why)) as caught:
        read_yaml(tmp_path / "x.yaml")
    assert str(caught.value).isprintable()


def test_aliases_and_merges_of_a_sane_size_are_read() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]"
    expected = {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}] * 2}
    assert parse_yaml(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": [-1e400]}', "-1e400"),
        ('{"a": 1, "b": 2, "a": 3}', "the key `a` twice"),
    ],
)
def test_a_json_that_means_harm_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse_json(text)


FORMULAS = ("=cmd|'/C calc'!A0", "@SUM(1+1)", '+HYPERLINK("x")', "-2+3+cmd|' /C calc'!A0", "\t=1")
WORDS = ("-", "+", "-118.2_34.1", "-1", "vehicles / 5 min", "% of hour", "km/h", "a=b", "(-)")


def test_what_a_spreadsheet_would_run_is_told_from_words() -> None:
    assert [text for text in FORMULAS if not is_formula(text)] == []
    assert [text for text in WORDS if is_formula(text)] == []


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_come_into_no_csv(tmp_path: Path, text: str) -> None:
    for channel in ({"name": "flow", "unit": text}, {"name": text, "unit": "km/h"}):
        with pytest.raises(ConfigError, match=r"not a formula|control"):
            validate(DatasetCard, card_values(channels=[channel], target=channel["name"]), "x")
    layout = ExperimentLayout(tmp_path / "x")
    for changes in (
        {"data": {"checksum": "d" * 64, "target_unit": text}},
        {"environment": {"git_commit": text}},
    ):
        run = synthetic_records.record(KEY)
        values = run.model_dump(mode="json") | changes
        path = layout.metrics(KEY)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
        with pytest.raises(StpruneError, match="formula"):
            read_record(path)


KEY = RunKey("roads", "stid", "st_prune", 0.5, 0)


def test_a_sensor_named_by_a_formula_is_refused(tmp_path: Path, toy_data: Path) -> None:
    header = "time,=1+1,b"
    text = f"{header}\n2024-01-01T00:00,1,2\n2024-01-01T01:00,3,4\n2024-01-01T02:00,5,0\n"
    raw = load_text(tmp_path, text, {"time": "time"})
    with pytest.raises(DataError, match=r"=1\+1"):
        write_canonical(raw, card_with({"time": "time"}), tmp_path / "canonical")


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
def test_a_summary_with_such_a_cell_is_refused(tmp_path: Path, column: str, cell: Any) -> None:
    layout = synthetic_records.write_experiment(tmp_path / "x", pruners=("st_prune",))
    tables = {name: read_store(layout.store, name) for name in STORE_TABLES}
    tables["summary"] = tables["summary"].astype({column: object})
    tables["summary"].loc[1, column] = cell
    write_store(layout.store, tables)
    with pytest.raises(RecordError, match=column) as caught:
        load_results(layout.store)
    assert str(caught.value).isprintable()


def test_a_summary_with_full_at_two_ratios_is_refused(tmp_path: Path) -> None:
    layout = synthetic_records.write_experiment(tmp_path / "x", pruners=("st_prune",))
    summary = read_store(layout.store, "summary")
    summary.loc[summary.index[summary["pruner"] == "full"][0], "prune_ratio"] = 0.8
    with pytest.raises(RecordError, match=r"`full`"):
        aggregate(summary)


@pytest.mark.parametrize("field", ["dataset", "backbone", "pruner", "experiment"])
def test_a_record_cannot_name_another_folder(tmp_path: Path, field: str) -> None:
    values = synthetic_records.record(KEY).model_dump(mode="json") | {field: "../../x"}
    (tmp_path / "metrics.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=f"`{field}`"):
        read_record(tmp_path / "metrics.json")


@pytest.fixture
def small_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb is what unpacks to more than 1 MiB, so that tests need no gigabytes."""
    monkeypatch.setattr(files, "LARGE_BYTES", 1 << 20)


BOMB = "would unpack to .*, over 200 times its size: refused"


@pytest.mark.usefixtures("small_bombs")
def test_bombs_are_refused_before_they_go_off(tmp_path: Path) -> None:
    zeros = np.zeros((500_000, 2))
    np.savez_compressed(tmp_path / "s.npz", values=zeros)
    with pytest.raises(DataError, match=BOMB):
        table.load(card_with({"layout": "array"}), {"series": tmp_path / "s.npz"})
    pd.DataFrame({"when": pd.Timestamp("2024-01-01"), "a": zeros[:, 0]}).to_parquet(
        tmp_path / "s.parquet"
    )
    with pytest.raises(DataError, match=BOMB):
        table.load(card_with({"time": "when"}), {"series": tmp_path / "s.parquet"})
    archive = KeptArchive(np.datetime64("2024-01-01", "m") + np.arange(8))
    archive.add(torch.arange(8), None)
    archive.write(tmp_path / "kept.npz")
    with zipfile.ZipFile(tmp_path / "kept.npz", "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("more.npy", bytes(4 << 20))
    with pytest.raises(RecordError, match=BOMB):
        read_kept(tmp_path / "kept.npz")


def test_an_hdf_of_holes_is_not_filled(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("values", shape=(10**9, 1000), chunks=(1000, 1000), dtype="f8")
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=BOMB):
        table.load(card_with({"layout": "array"}), {"series": path})


def test_an_hdf_does_not_show_other_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(48))
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        stored = [(str(secret), 0, 48)]
        file.create_dataset("values", shape=(3, 2), dtype="f8", external=stored)
    with pytest.raises(DataError, match=r"s\.h5"):
        table.load(card_with({"layout": "array"}), {"series": path})


def test_a_header_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 2), }"
    text = header.ljust(117) + "\n"
    raw = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(48)
    (tmp_path / "s.npy").write_bytes(raw)
    with pytest.raises(DataError, match=r"s\.npy"):
        table.load(card_with({"layout": "array"}), {"series": tmp_path / "s.npy"})


ESCAPES = "\x1b[2J\x1b]0;owned\x07\nstprune: all is well\u202e"


def test_no_message_obeys_its_author(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], toy_values: dict[str, Any]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(toy_values | {ESCAPES: 1}))
    assert main(["config", "--config", str(path)]) == 1
    told = capsys.readouterr().err
    assert told.endswith("\n")
    assert told[:-1].isprintable()
    assert r"\x1b[2J" in told
    for key in ("experiment", "results_directory"):
        path.write_text(json.dumps(toy_values | {key: ESCAPES}))
        with pytest.raises(ConfigError, match="control characters") as caught:
            load_config(path)
        assert str(caught.value).isprintable()


def test_no_log_is_obeyed(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("epoch 1/2: fine\nstprune: error: \x1b[2Jgone\x07\n")
    assert last_line(log) == r"\x1b[2Jgone\x07"


def test_a_line_is_shown_as_it_is_unless_it_could_harm() -> None:
    words = "größer als 5 µm: ∆ = 3 %, 日本"
    assert plain_line(words) == words
    assert plain_line("a\tb\r\nc\x9b\u2028") == r"a\tb\r\nc\x9b\u2028"
    assert plain_line("soft\xad\u200bword") == r"soft\xad\u200bword"
    assert plain_line("http://u:p@h/x?y and https://t@h") == "http://...@h/x?y and https://...@h"
