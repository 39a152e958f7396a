"""The command line: a mistake is one line on standard error; data sets as a user meets them."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import toy
import yaml

from stprune.__main__ import INTERRUPTED, main
from stprune.data.card import dataset_ids

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config_file(toy_values: dict[str, Any], tmp_path: Path) -> Path:
    """The toy configuration as a file."""
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; gives exit status, standard output and standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


def assert_mistake(result: tuple[int, str, str], words: str, code: int = 1) -> None:
    assert result[:2] == (code, "")
    assert re.fullmatch(f"stprune: error: .*{re.escape(words)}.*\n", result[2])


def train_words(config: Path, **changes: object) -> list[object]:
    """A valid ``train`` command but for ``changes``."""
    options = {"config": config, "dataset": "toy", "backbone": "stid", "pruner": "full", **changes}
    words: list[object] = ["train"]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", value]
    return words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pruner": "st-prune"}, "did you mean `st_prune`"),
        ({"prune_ratio": 0.5}, "has no prune ratio"),
        ({"pruner": "st_prune", "prune_ratio": "nan"}, "[0, 1)"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_mistakes_in_a_run_are_one_line(run, config_file, changes, words):
    assert_mistake(run(*train_words(config_file, **changes)), words)


@pytest.mark.parametrize(
    ("words", "named", "code"),
    [
        (["config", "--config", "none.yaml"], "none.yaml", 1),
        (["summarise", "--config", "toy.yaml"], "no record", 1),
        (["config", "--config", "wrong.yaml"], "`prune_ratios`", 1),
        (["data", "prepare", "toy", "--mirror", "gone"], "gone", 1),
        (["data", "fetch", "toy", "los_lop"], "`los_loop`", 1),
        (["trian"], "'train'", 2),
        (["data"], "command", 2),
        (["train", "--backbone", "stid"], "--dataset", 2),
        (["train", "--sed", "1"], "--seed", 2),
        (["data", "describe", "toy", "--split", "none"], "--split", 2),
    ],
    ids=str,
)
def test_other_mistakes_are_one_line(run, toy_values, config_file, monkeypatch, words, named, code):
    monkeypatch.chdir(config_file.parent)
    Path("wrong.yaml").write_text(yaml.safe_dump(toy_values | {"prune_ratio": 0.5}))
    toy.write_toy(Path("data"), Path("mirror"))
    assert_mistake(run(*words), named, code)
    assert not Path("data/raw").exists()


def test_from_raw_files_to_a_finished_run(run, toy_values, tmp_path):
    data, config = tmp_path / "data", tmp_path / "toy.yaml"
    toy.write_toy(data, tmp_path / "mirror")
    values = toy_values | {"data_directory": str(data), "mirror": str(tmp_path / "mirror")}
    config.write_text(yaml.safe_dump(values))
    assert_mistake(run(*train_words(config)), "stprune data prepare toy")
    # The configuration says where the data lie, and where they come from.
    done = run("data", "prepare", "toy", "--config", config)
    assert done[:2] == (0, f"{data / 'processed' / 'toy'}\n")
    assert run(*train_words(config, pruner="st_prune", prune_ratio=0.5))[0] == 0
    record = tmp_path / "results/toy/runs/toy/stid/st_prune/p0.5/s0/metrics.json"
    assert record.is_file()


@pytest.mark.parametrize("words", [[], ["data"], ["train"]], ids=str)
def test_help_loads_neither_torch_nor_rich(words):
    code = (
        "import sys; from stprune.__main__ import main;"
        f" status = main({[*words, '--help']});"
        " sys.exit(status or any(name in sys.modules for name in ('torch', 'numpy', 'rich')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {' '.join(['stprune', *words])}")


def test_config_lists_the_runs(run, toy_values, tmp_path):
    path = tmp_path / "two.yaml"
    changed = {"dataset": "toy", "training": {"epochs": 9, "budget": "total_time"}}
    values = toy_values | {"datasets": {"toy": None, "other": changed}}
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    status, output, _ = run("config", "--config", path)
    assert (status, len(output.splitlines())) == (0, 1 + 4)
    for words in ("4 runs", "  toy/stid/full/p0/s0\n"):
        assert words in output


def test_an_interrupt_is_no_traceback(run, monkeypatch):
    interrupted = mock.Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr("stprune.config.experiment.load_config", interrupted)
    status, _, errors = run("config")
    assert (status, errors.count("\n")) == (INTERRUPTED, 1)


def test_a_mistake_in_a_process_of_its_own(config_file):
    """Nothing but the one line, whatever libraries say while they are imported."""
    words = [str(word) for word in train_words(config_file, dataset="toi")]
    done = subprocess.run(
        [sys.executable, "-m", "stprune", *words], capture_output=True, text=True, check=False
    )
    assert_mistake((done.returncode, done.stdout, done.stderr), "did you mean `toy`")


def test_a_reader_that_leaves_is_no_traceback(config_file):
    command = [sys.executable, "-m", "stprune", "config", "--config", str(config_file)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer.stdout.close()
    _, said = writer.communicate(timeout=120)
    assert (writer.returncode, said) == (0, b"")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with the toy card, whose raw files a mirror holds."""
    toy.write_toy(tmp_path / "data", tmp_path / "mirror")
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "data"


@pytest.fixture
def on(run: Run, data: Path) -> Run:
    """Runs `stprune data ...` there."""
    return lambda *words: run("data", *words, "--data-directory", data)


def test_the_list_names_every_card_and_what_is_here(on, data):
    def state() -> str:
        listed = on("list")[1].splitlines()
        lines = {line.split()[0]: line.split("  ")[-1].strip() for line in listed}
        assert set(lines) == {"id", *dataset_ids(), "toy"}
        return lines["toy"]

    assert state() == "-"
    on("fetch", "toy")
    assert state() == "fetched"
    on("prepare", "toy")
    (data / "raw/toy/series/series.csv").unlink()
    assert state() == "partly fetched, prepared"
    # Raw files may go once the data set is prepared.
    assert on("verify", "toy")[0] == 0
    card = yaml.safe_load((data / "toy.yaml").read_text())
    (data / "toy.yaml").write_text(yaml.safe_dump(card | {"mape_floor": 7.0}))
    assert state() == "partly fetched, prepared from another card"
    assert on("verify", "toy")[0] == 1


def test_fetch_and_prepare_print_paths(on, data):
    files = [data / f"raw/toy/{role}/{role}.csv" for role in ("series", "adjacency")]
    assert on("fetch", "toy")[:2] == (0, "".join(f"{file}\n" for file in files))
    assert on("prepare", "toy")[:2] == (0, f"{data / 'processed/toy'}\n")
    # A simulated data set needs no fetching.
    assert on("fetch", "sim_freeway")[0] == 0


def test_verify_names_what_is_absent_or_damaged_and_what_helps(on, data):
    assert on("verify")[:2] == (0, "")
    status, output, errors = on("verify", "toy", "sim_freeway")
    assert (status, errors.count("\n")) == (1, 1)
    absent = output.splitlines()
    assert "stprune data fetch toy" in absent[0]
    assert "stprune data prepare sim_freeway" in absent[1]
    assert on("fetch", "toy")[0] == on("verify")[0] == on("prepare", "toy")[0] == 0
    raw, values = data / "raw/toy/series/series.csv", data / "processed/toy/series.npy"
    raw.write_bytes(raw.read_bytes()[:-1] + b"0")
    content = bytearray(values.read_bytes())
    content[-1] ^= 1
    values.write_bytes(content)
    (data / "processed/toy/nodes.json").unlink()
    status, output, _ = on("verify", "toy")
    assert status == 1
    fetched, *prepared = output.splitlines()
    assert str(raw) in fetched
    assert "stprune data fetch toy" in fetched
    damaged = {f"toy: {path}" for path in (values, data / "processed/toy/nodes.json")}
    assert {line.split(" is ")[0] for line in prepared} == damaged
    assert all("stprune data prepare toy" in line for line in prepared)
    assert on("fetch", "toy")[0] == on("prepare", "toy")[0] == on("verify", "toy")[0] == 0
    for text in ("[1]", '{"sha256": {}}'):
        (data / "processed/toy/meta.json").write_text(text)
        status, output, _ = on("verify", "toy")
        assert (status, output.count("\n")) == (1, 1)
        assert str(data / "processed/toy") in output


def test_verify_knows_what_a_file_without_a_hash_was(on, data):
    card = yaml.safe_load((data / "toy.yaml").read_text())
    mirror = data.parent / "mirror" / toy.HOST_FOLDER
    for role in card["files"]:
        card["files"][role] = {"kaggle": "someone/toy", "name": f"{role}.csv"}
        target = data / "raw/kaggle.com/someone/toy" / f"{role}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((mirror / f"{role}.csv").read_bytes())
    (data / "toy.yaml").write_text(yaml.safe_dump(card))
    target.write_bytes(target.read_bytes().replace(b"0.500", b"0.700"))
    # What it should be is known from when the data set was prepared.
    assert on("verify", "toy")[0] == on("prepare", "toy")[0] == on("verify", "toy")[0] == 0
    target.write_bytes(target.read_bytes().replace(b"0.700", b"0.500"))
    status, output, _ = on("verify", "toy")
    assert status == 1
    assert str(target) in output
