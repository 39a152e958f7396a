"""The command line: a user's mistake is one line on standard error and exit status 1."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy
import yaml

from stprune.__main__ import INTERRUPTED, main

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


def assert_mistake(result: tuple[int, str, str], words: str) -> None:
    status, output, errors = result
    assert status == 1
    assert output == ""
    assert errors.startswith("stprune: error: ")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    assert words in errors
    assert "Traceback" not in errors


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
        ({"dataset": "toi"}, "did you mean `toy`"),
        ({"backbone": "stidd"}, "did you mean `stid`"),
        ({"pruner": "st-prune"}, "did you mean `st_prune`"),
        ({"prune_ratio": 0.5}, "has no prune ratio"),
        ({"pruner": "st_prune", "prune_ratio": 1.5}, "[0, 1)"),
        ({"pruner": "st_prune", "prune_ratio": "nan"}, "[0, 1)"),
        ({"seed": -1}, "seed"),
        ({"devices": 0}, "devices"),
    ],
    ids=str,
)
def test_mistakes_in_a_run_are_one_line(
    run: Run, config_file: Path, changes: dict[str, object], words: str
) -> None:
    assert_mistake(run(*train_words(config_file, **changes)), words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["config", "--config", "none.yaml"], "none.yaml"),
        (["summarise", "--config", "none.yaml"], "none.yaml"),
        (["summarise", "--config", "toy.yaml"], "no record"),
        (["config", "--config", "wrong.yaml"], "`prune_ratios`"),
        (["data", "prepare", "los_lop"], "`los_loop`"),
        (["data", "prepare", "toy", "--mirror", "gone"], "gone"),
    ],
    ids=str,
)
def test_other_mistakes_are_one_line(
    run: Run,
    toy_values: dict[str, Any],
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(config_file.parent)
    Path("wrong.yaml").write_text(yaml.safe_dump(toy_values | {"prune_ratio": 0.5}))
    toy.write_toy(Path("data"), Path("mirror"))
    assert_mistake(run(*words), named)


def test_from_raw_files_to_a_finished_run(
    run: Run, toy_values: dict[str, Any], tmp_path: Path
) -> None:
    data, config = tmp_path / "data", tmp_path / "toy.yaml"
    toy.write_toy(data, tmp_path / "mirror")
    values = toy_values | {"data_directory": str(data), "mirror": str(tmp_path / "mirror")}
    config.write_text(yaml.safe_dump(values))
    mistake = run(*train_words(config))
    assert_mistake(mistake, "stprune data prepare toy")
    status, output, _ = run("data", "prepare", "toy", "--config", config)
    assert (status, output) == (0, f"{data / 'processed' / 'toy'}\n")
    assert run(*train_words(config, pruner="st_prune", prune_ratio=0.5))[0] == 0
    record = tmp_path / "results/toy/runs/toy/stid/st_prune/p0.5/s0/metrics.json"
    assert record.is_file()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["trian"], "'train'"),
        (["data"], "command"),
        (["train", "--backbone", "stid"], "--dataset"),
        (["train", "--sed", "1"], "--seed"),
        (["data", "describe", "toy", "--history", "many"], "--history"),
        (["data", "describe", "toy", "--split", "none"], "--split"),
    ],
    ids=str,
)
def test_a_command_that_does_not_exist_is_one_line(run: Run, words: list[str], named: str) -> None:
    status, output, errors = run(*words)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("stprune: error: ")
    assert named in errors


@pytest.mark.parametrize("words", [[], ["data"], ["wandb"], ["train"], ["data", "add"]], ids=str)
def test_help_loads_neither_torch_nor_rich(words: list[str]) -> None:
    code = (
        "import sys; from stprune.__main__ import main;"
        f" status = main({[*words, '--help']});"
        " sys.exit(status or any(name in sys.modules for name in ('torch', 'numpy', 'rich')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {' '.join(['stprune', *words])}")


def test_config_lists_the_runs(run: Run, toy_values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    changed = {"dataset": "toy", "training": {"epochs": 9, "budget": "total_time"}}
    values = toy_values | {"datasets": {"toy": None, "other": changed}}
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    status, output, _ = run("config", "--config", path)
    assert status == 0
    assert len(output.splitlines()) == 3 + 4
    assert output.splitlines()[:4] == [
        f"{path}: experiment toy, 4 runs",
        "toy: 2 runs, 4 epochs of full training, budget epochs",
        "other: 2 runs, 9 epochs of full training, budget total_time",
        "  toy/stid/full/p0/s0",
    ]


def test_list_names_every_component(run: Run) -> None:
    status, output, _ = run("list")
    assert status == 0
    for name in ("st_prune", "infobatch", "full_fewer_epochs", "stid", "gwnet", "los_loop"):
        assert name in output
    assert run("data", "list")[0] == 0


def test_an_interrupt_is_no_traceback(
    run: Run, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stprune.config.experiment.load_config", interrupted)
    status, _, errors = run("config", "--config", config_file)
    assert status == INTERRUPTED
    assert errors.count("\n") == 1


def test_a_mistake_in_a_process_of_its_own(config_file: Path) -> None:
    """Nothing but the one line, whatever libraries say while they are imported."""
    words = [str(word) for word in train_words(config_file, dataset="toi")]
    done = subprocess.run(
        [sys.executable, "-m", "stprune", *words], capture_output=True, text=True, check=False
    )
    assert_mistake((done.returncode, done.stdout, done.stderr), "did you mean `toy`")


def test_a_reader_that_leaves_is_no_traceback(config_file: Path) -> None:
    command = [sys.executable, "-m", "stprune", "config", "--config", str(config_file)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.close()
    _, said = writer.communicate(timeout=120)
    assert (writer.returncode, said) == (0, b"")
