"""`stprune data add`: what it finds in files, the card that it writes, and what it refuses."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_up_files import write_frame
from own_data import WIDE

from stprune.__main__ import main
from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.data.canonical import read_canonical
from stprune.data.card import load_card
from stprune.data.prepare import prepare

WORDS = ("--series", "a.csv", "--channel", "flow=vehicles")
FIVE = WIDE + "2024-01-01T03:00,1,1\n2024-01-01T04:00,1,1\n"
START = np.datetime64("2024-01-01T00:00:00")


def long_series(steps: int = 30, minutes: int = 15) -> str:
    """Three sensors and two columns; sensor c has no row in the last step."""
    rows = ["time,sensor,flow,temperature"]
    for step in range(steps):
        time = START + step * np.timedelta64(minutes, "m")
        rows += [
            f"{time},{sensor},{step + number},{(step % 7) - 3}"
            for number, sensor in enumerate("abc")
            if (step, sensor) != (steps - 1, "c")
        ]
    return "\n".join(rows) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["data", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_long_csv_with_distances_from_command_to_data_set(folder, capsys):
    (folder / "data" / "own").mkdir()
    (folder / "data" / "own" / "series.csv").write_text(long_series())
    (folder / "roads.csv").write_text("from,to,km\nc,a,1\na,b,3\n")
    words = ["add", "mine", "--series", "data/own/series.csv", "--edges", "roads.csv"]
    words += ["--channel", "flow=vehicles", "--channel", "temperature=C"]
    words += ["--option", "gaps=missing", "--option", "allow_negative=[temperature]"]
    words += ["--option", "graph.weights=gaussian", "--option", "graph.sigma=2"]
    code, out, err = run(capsys, *words, "--option", "graph.threshold=0", "--card", "title=Mine")
    assert code == 0, err
    for said in ("30 steps of 15 min from 2024-01-01T00:00:00", "temperature (C): -3 to 3"):
        assert said in out
    for said in ("flow (vehicles): 0 to 30, 1.11% missing", "2 edges, directed", "data/mine.yaml"):
        assert said in out
    card = load_card("mine", folder / "data")
    assert (card.title, card.nodes, card.steps, card.step_minutes) == ("Mine", 3, 30, 15)
    values = yaml.safe_load((folder / "data" / "mine.yaml").read_text())
    # Below the data directory a path is seen from there, else it is absolute.
    assert values["files"]["series"]["path"] == "own/series.csv"
    assert values["files"]["edges"]["path"] == str((folder / "roads.csv").resolve())
    code, _, err = run(capsys, "prepare", "mine")
    assert code == 0, err
    dataset = read_canonical(folder / "data" / "processed" / "mine")
    np.testing.assert_array_equal(dataset.series[:29, :, 0], np.add.outer(np.arange(29), [0, 1, 2]))
    np.testing.assert_array_equal(dataset.mask[29, :, 0], [True, True, False])
    expected = np.zeros((3, 3))
    expected[2, 0], expected[0, 1] = np.exp(-0.25), np.exp(-2.25)
    np.testing.assert_allclose(dataset.adjacency, expected, rtol=1e-6)


def test_a_changed_file_is_noticed(folder, capsys):
    (folder / "a.csv").write_text(FIVE)
    assert run(capsys, "add", "mine", *WORDS)[0] == 0
    layout = DataLayout(folder / "data")
    meta = prepare("mine", layout) / "meta.json"
    assert run(capsys, "verify", "mine")[0] == 0
    (folder / "a.csv").write_text(FIVE[:-2] + "2\n")
    code, out, _ = run(capsys, "verify", "mine")
    assert (code, "a.csv is damaged: SHA-256" in out) == (1, True)
    later = meta.stat().st_mtime_ns + 10**9
    os.utime(folder / "a.csv", ns=(later, later))
    with pytest.raises(DataError, match=r"a\.csv"):
        prepare("mine", layout)
    code, _, err = run(capsys, "add", "mine", *WORDS)
    assert (code, "data/mine.yaml" in err) == (1, True)
    assert run(capsys, "add", "mine", *WORDS, "--replace")[0] == 0
    prepare("mine", layout)
    assert read_canonical(layout.processed("mine")).series[4, 1, 0] == 2


def test_semicolons_decimal_commas_and_old_words_for_time(folder, capsys):
    text = "\ufeffDatum;a;b\r\n" + "".join(
        f"{START + step * np.timedelta64(1, 'h')};1,5;{step}\r\n" for step in range(9)
    )
    (folder / "a.csv").write_bytes(text.encode())
    code, _, err = run(capsys, "add", "mine", *WORDS)
    assert (code, "`separator`" in err) == (1, True)
    words = ["--option", "separator=;", "--option", "decimal=,"]
    code, out, err = run(capsys, "add", "mine", *WORDS, *words)
    assert code == 0, err
    assert "time: 'Datum'" in out


@pytest.mark.parametrize("kind", ["pandas", "npz", "untimed"])
def test_other_kinds_of_files(folder, capsys, kind):
    times = START + np.arange(8) * np.timedelta64(5, "m").astype("timedelta64[s]")
    values = np.arange(16.0).reshape(8, 2)
    words = ["--channel", "flow=vehicles"]
    if kind == "pandas":
        name = "series.h5"
        write_frame(folder / name, "df", ["a", "b"], times, values)
    elif kind == "npz":
        name = "series.npz"
        np.savez(folder / name, data=values, when=times)
        words += ["--option", "array=data", "--option", "time=when"]
    else:
        name = "series.npy"
        np.save(folder / name, values)
        words += ["--card", "start=2024-01-01", "--card", "step_minutes=5"]
    code, _, err = run(capsys, "add", "mine", "--series", name, *words)
    assert code == 0, err
    layout = DataLayout(folder / "data")
    dataset = read_canonical(prepare("mine", layout))
    np.testing.assert_array_equal(dataset.series[:, :, 0], values)
    np.testing.assert_array_equal(dataset.timestamps, times)


def test_an_id_is_plain_and_not_that_of_a_shipped_card(folder, capsys):
    (folder / "a.csv").write_text(FIVE)
    for name in ("Mine", "../mine", "los_loop"):
        code, _, err = run(capsys, "add", name, *WORDS, "--replace")
        assert (code, f"`{name}`" in err) == (1, True)


@pytest.mark.parametrize(
    ("text", "words", "named"),
    [
        (WIDE, ["--series", "a.csv"], "--channel"),
        (WIDE, ["--series", "a.csv", "--channel", "flow"], "--channel flow=UNIT"),
        (WIDE, ["--series", "no.csv", "--channel", "flow=v"], "no.csv"),
        (WIDE, [*WORDS, "--option", "gaps"], "gaps"),
        (WIDE, [*WORDS, "--option", "graph=1", "--option", "graph.sigma=2"], "graph"),
        (WIDE, [*WORDS, "--card", "target=speed"], "`speed`"),
        (WIDE, [*WORDS, "--card", "start=soon"], "soon"),
        (WIDE, [*WORDS, "--card", "step_minutes=x"], "step_minutes"),
        (WIDE, [*WORDS, "--card", "step_minutes=true"], "step_minutes"),
        (WIDE, [*WORDS, "--card", "nodes=4"], "nodes"),
        ("time,a\n2024-01-01,1\n", WORDS, "a.csv"),
        ("time,a\n2024-01-01,1\n2024-01-04,1\n", WORDS, "259200 s"),
        ("a,b\n1,2\n3,4\n", WORDS, "time=NAME"),
        ("Zeit,b\n1/5/24,2\n2/5/24,4\n", [*WORDS, "--option", "time_format=%d.%m.%Y"], "`time`"),
        (FIVE.replace("a,b", "Unnamed: 0,b"), WORDS, "`Unnamed: 0`"),
        (WIDE, [*WORDS, "--edges", "roads.csv"], "`km`"),
        (WIDE, [*WORDS, "--edges", "roads.csv", "--adjacency", "roads.csv"], "graph"),
        ("", WORDS, "a.csv"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_no_card(folder, capsys, text, words, named):
    (folder / "a.csv").write_text(text)
    (folder / "roads.csv").write_text("from,to,km\na,b,1\n")
    code, _, err = run(capsys, "add", "mine", *words)
    assert code == 1, err
    assert not Path("data/mine.yaml").exists()
    lines = [line for line in err.splitlines() if line.startswith("stprune: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    assert named in lines[0]
