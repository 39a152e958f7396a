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


def row(run: Run, dataset: str) -> str:
    """The line of one data set in the list."""
    status, output, _ = run("list")
    assert status == 0
    return next(line for line in output.splitlines() if line.startswith(f"{dataset} "))


def mistake(result: tuple[int, str, str]) -> str:
    """The one line of a mistake."""
    status, _, errors = result
    assert status == 1
    assert errors.startswith("stprune: error: ")
    assert errors.count("\n") == 1
    return errors


def test_the_list_names_every_card_with_its_size(run: Run) -> None:
    _, output, _ = run("list")
    lines = output.splitlines()
    assert lines[0].split() == ["id", "nodes", "steps", "min", "channels", "source", "here"]
    assert sorted(line.split()[0] for line in lines[1:]) == sorted({*dataset_ids(), "toy"})
    assert row(run, "toy").split() == ["toy", "8", "504", "60", "load", "data.example.org", "-"]
    assert row(run, "los_loop").split()[1:4] == ["207", "2016", "5"]
    assert "github.com/lehaifeng/T-GCN" in row(run, "los_loop")
    assert row(run, "sim_freeway").split()[-2:] == ["simulated", "-"]


def test_the_list_says_what_is_here(run: Run, data: Path) -> None:
    run("fetch", "toy")
    assert row(run, "toy").endswith("  fetched")
    (data / "raw/toy/series/series.csv").unlink()
    assert row(run, "toy").endswith("  partly fetched")
    run("prepare", "toy")
    assert row(run, "toy").endswith("  fetched, prepared")
    (data / "raw/toy/series/series.csv").unlink()
    (data / "raw/toy/adjacency/adjacency.csv").unlink()
    assert row(run, "toy").endswith("  prepared")
    card = yaml.safe_load((data / "toy.yaml").read_text())
    (data / "toy.yaml").write_text(yaml.safe_dump(card | {"mape_floor": 7.0}))
    assert row(run, "toy").endswith("  prepared from another card")


def test_info_shows_the_whole_card(run: Run, data: Path) -> None:
    run("fetch", "toy")
    status, output, _ = run("info", "toy")
    assert status == 0
    card = yaml.safe_load((data / "toy.yaml").read_text())
    assert card.items() <= yaml.safe_load(output.split("\nsource:")[0]).items()
    for text in (data / "toy.yaml", data / "raw/toy/series/series.csv", "state: fetched"):
        assert str(text) in output


def test_fetch_prints_paths_and_path_says_where(run: Run, data: Path) -> None:
    status, output, _ = run("fetch", "toy")
    assert status == 0
    series, adjacency = data / "raw/toy/series/series.csv", data / "raw/toy/adjacency/adjacency.csv"
    assert output.splitlines() == [str(series), str(adjacency)]
    assert "run `stprune data prepare toy`" in mistake(run("path", "toy"))
    run("prepare", "toy")
    assert run("path", "toy") == (0, f"{data / 'processed/toy'}\n", "")


def test_an_unknown_one_of_several_is_named_before_anything_is_fetched(
    run: Run, data: Path
) -> None:
    assert "did you mean `los_loop`?" in mistake(run("fetch", "toy", "los_lop"))
    assert not (data / "raw").exists()
    for action in ("info", "verify", "path"):
        assert "did you mean `los_loop`?" in mistake(run(action, "los_lop"))


def test_verify_of_what_is_whole_or_absent(run: Run, data: Path) -> None:
    assert run("verify")[:2] == (0, ""), "nothing is here yet"
    status, output, _ = run("verify", "toy", "sim_freeway")
    assert (status, len(output.splitlines())) == (1, 2)
    run("fetch", "toy")
    assert run("verify", "toy")[:2] == (0, "toy: all is right\n")
    series = data / "raw/toy/series/series.csv"
    series.unlink()
    assert str(series) in run("verify", "toy")[1]
    run("prepare", "toy")
    assert run("verify")[:2] == (0, "toy: all is right\n")
    series.write_bytes(b"other")
    assert "run `stprune data fetch toy`" in run("verify", "toy")[1]
    assert run("fetch", "toy")[0] == 0
    series.unlink()  # not needed once the data set is prepared
    assert run("verify", "toy")[0] == 0
    card = yaml.safe_load((data / "toy.yaml").read_text())
    (data / "toy.yaml").write_text(yaml.safe_dump(card | {"mape_floor": 7.0}))
    assert run("verify", "toy")[0] == 1


def test_verify_tells_each_damage_in_a_line(run: Run, data: Path) -> None:
    run("prepare", "toy")
    series = data / "raw/toy/series/series.csv"
    series.write_bytes(series.read_bytes()[:-1] + b"0")
    values = data / "processed/toy/series.npy"
    content = bytearray(values.read_bytes())
    content[-1] ^= 1
    values.write_bytes(bytes(content))
    (data / "processed/toy/nodes.json").unlink()
    status, output, errors = run("verify", "toy")
    assert status == 1
    lines = output.splitlines()
    damaged = {line.split(" is ")[0].removeprefix("toy: ") for line in lines}
    assert damaged == {str(series), str(values), str(data / "processed/toy/nodes.json")}
    assert errors.count("\n") == 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"sha256": [1]}', '{"sha256": {}}'])
def test_verify_of_a_damaged_record(run: Run, data: Path, text: str) -> None:
    run("prepare", "toy")
    (data / "processed/toy/meta.json").write_text(text)
    status, output, _ = run("verify", "toy")
    assert status == 1
    assert len(output.splitlines()) == 1
    assert str(data / "processed/toy") in output


def test_the_configuration_says_where_and_from_where(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STPRUNE_MIRROR")
    config = {
        "experiment": "toy",
        "datasets": {"toy": None},
        "backbones": {"stid": None},
        "pruners": {"full": None},
        "prune_ratios": [0.0],
        "seeds": [0],
        "data_directory": str(data),
        "mirror": str(tmp_path / "mirror"),
    }
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["data", "fetch", "toy", "--config", str(path)]) == 0
    assert main(["data", "verify", "--config", str(path)]) == 0
    assert capsys.readouterr().out.endswith("toy: all is right\n")


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
    assert run("verify", "toy")[0] == 0, "nobody knows what it should be"
    assert run("prepare", "toy")[0] == 0
    assert run("verify", "toy")[0] == 0
    target.write_bytes(target.read_bytes().replace(b"0.700", b"0.500"))
    assert f"{target} is damaged: SHA-256 " in run("verify", "toy")[1]
