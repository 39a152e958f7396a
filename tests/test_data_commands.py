"""`stprune data ...`: list, info, fetch, prepare, verify and path, as a user meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import toy
import yaml

from stprune.__main__ import main
from stprune.data.card import dataset_ids

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with the toy card, whose raw files a mirror holds."""
    toy.write_toy(tmp_path / "data", tmp_path / "mirror")
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "data"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], data: Path) -> Run:
    """Runs `stprune data ...` there; gives exit status, standard output and standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        status = main(["data", *map(str, words), "--data-directory", str(data)])
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


def state(run: Run) -> str:
    """What the list says is here of the toy data set."""
    status, output, _ = run("list")
    assert status == 0
    return next(line for line in output.splitlines() if line.startswith("toy ")).split("  ")[-1]


def change_card(data: Path) -> None:
    card = yaml.safe_load((data / "toy.yaml").read_text())
    (data / "toy.yaml").write_text(yaml.safe_dump(card | {"mape_floor": 7.0}))


def test_the_list_names_every_card_and_what_is_here(run: Run, data: Path) -> None:
    lines = run("list")[1].splitlines()
    assert lines[0].split() == ["id", "nodes", "steps", "min", "target", "source", "here"]
    assert sorted(line.split()[0] for line in lines[1:]) == sorted({*dataset_ids(), "toy"})
    (los_loop,) = (line for line in lines if line.startswith("los_loop "))
    assert los_loop.split()[1:4] == ["207", "2016", "5"]
    assert state(run).strip() == "-"
    run("fetch", "toy")
    assert state(run).strip() == "fetched"
    run("prepare", "toy")
    assert state(run).strip() == "fetched, prepared"
    (data / "raw/toy/series/series.csv").unlink()
    assert state(run).strip() == "partly fetched, prepared"
    # Raw files may go once the data set is prepared.
    assert run("verify", "toy")[0] == 0
    change_card(data)
    assert state(run).strip() == "partly fetched, prepared from another card"
    assert run("verify", "toy")[0] == 1


def test_info_shows_the_whole_card(run: Run, data: Path) -> None:
    run("fetch", "toy")
    status, output, _ = run("info", "toy")
    assert status == 0
    card = yaml.safe_load((data / "toy.yaml").read_text())
    assert card.items() <= yaml.safe_load(output.split("\nsource:")[0]).items()
    for text in (data / "toy.yaml", data / "raw/toy/series/series.csv"):
        assert str(text) in output


def test_fetch_prints_paths_and_path_says_where(run: Run, data: Path) -> None:
    files = [data / f"raw/toy/{role}/{role}.csv" for role in ("series", "adjacency")]
    assert run("fetch", "toy")[:2] == (0, "".join(f"{file}\n" for file in files))
    assert run("path", "toy")[0] == 1
    run("prepare", "toy")
    assert run("path", "toy") == (0, f"{data / 'processed/toy'}\n", "")
    # A simulated data set needs no fetching.
    assert run("fetch", "sim_freeway")[0] == 0


def test_an_unknown_one_of_several_is_named_before_anything_is_fetched(
    run: Run, data: Path
) -> None:
    for words in (["fetch", "toy"], ["info"], ["verify"], ["path"]):
        status, output, errors = run(*words, "los_lop")
        assert (status, output, errors.count("\n")) == (1, "", 1)
        assert "`los_loop`" in errors
    assert not (data / "raw").exists()


def test_verify_checks_what_is_here(run: Run) -> None:
    assert run("verify")[:2] == (0, "")
    status, output, errors = run("verify", "toy", "sim_freeway")
    assert (status, errors.count("\n")) == (1, 1)
    lines = output.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["toy", "sim_freeway"]
    assert "stprune data fetch toy" in lines[0]
    assert "stprune data prepare sim_freeway" in lines[1]
    for words in (["fetch", "toy"], ["prepare", "toy"]):
        assert run(*words)[0] == run("verify")[0] == 0


def test_verify_names_each_damaged_file_and_what_helps(run: Run, data: Path) -> None:
    run("prepare", "toy")
    series, values = data / "raw/toy/series/series.csv", data / "processed/toy/series.npy"
    series.write_bytes(series.read_bytes()[:-1] + b"0")
    content = bytearray(values.read_bytes())
    content[-1] ^= 1
    values.write_bytes(content)
    (data / "processed/toy/nodes.json").unlink()
    status, output, errors = run("verify", "toy")
    assert (status, errors.count("\n")) == (1, 1)
    raw, *prepared = output.splitlines()
    assert str(series) in raw
    assert "stprune data fetch toy" in raw
    assert {line.split(" is ")[0] for line in prepared} == {
        f"toy: {values}",
        f"toy: {data / 'processed/toy/nodes.json'}",
    }
    assert all("stprune data prepare toy" in line for line in prepared)
    for action in ("fetch", "prepare"):
        assert run(action, "toy")[0] == 0
    assert run("verify", "toy")[0] == 0


@pytest.mark.parametrize("text", ["", "[1]", '{"sha256": [1]}', '{"sha256": {}}'])
def test_verify_of_a_damaged_record(run: Run, data: Path, text: str) -> None:
    run("prepare", "toy")
    (data / "processed/toy/meta.json").write_text(text)
    status, output, _ = run("verify", "toy")
    assert (status, output.count("\n")) == (1, 1)
    assert str(data / "processed/toy") in output


def test_the_configuration_says_where_and_from_where(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STPRUNE_MIRROR")
    one = {"datasets": {"toy": None}, "backbones": {"stid": None}, "pruners": {"full": None}}
    config = {"experiment": "toy", **one, "prune_ratios": [0.0], "seeds": [0]}
    config |= {"data_directory": str(data), "mirror": str(tmp_path / "mirror")}
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["data", "fetch", "toy", "--config", str(path)]) == 0
    assert str(data / "raw/toy/series/series.csv") in capsys.readouterr().out
    assert main(["data", "verify", "--config", str(path)]) == 0


def test_verify_knows_what_a_file_without_a_hash_was(run: Run, data: Path) -> None:
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
    assert run("verify", "toy")[0] == run("prepare", "toy")[0] == run("verify", "toy")[0] == 0
    target.write_bytes(target.read_bytes().replace(b"0.700", b"0.500"))
    status, output, _ = run("verify", "toy")
    assert status == 1
    assert str(target) in output
