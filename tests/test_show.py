"""`stprune show`: results so far, progress of a running grid, failures with their reasons."""

import io
import shutil
from pathlib import Path

import pytest
import synthetic_records as made_up
import yaml
from rich.console import Console

from stprune.__main__ import main
from stprune.base.errors import RecordError
from stprune.base.files import folder_lock
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.workflow.run_states import run_state
from stprune.workflow.show import show

PRUNERS = ("random_dynamic", "st_prune")
KEY = RunKey("synthetic_roads", "stid", "st_prune", 0.9, 1)


@pytest.fixture
def layout(tmp_path: Path) -> ExperimentLayout:
    """Ten runs that are done, and the configuration they are of."""
    layout = made_up.write_experiment(tmp_path / "results" / "roads", pruners=PRUNERS)
    config = ExperimentConfig.model_validate(
        {
            "experiment": "roads",
            "datasets": {"synthetic_roads": None},
            "backbones": {"stid": None},
            "pruners": dict.fromkeys(["full", *PRUNERS]),
            "prune_ratios": [0.5, 0.9],
            "seeds": [0, 1],
        }
    )
    layout.config.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return layout


def undo(layout: ExperimentLayout, key: RunKey, log: str | None = None) -> None:
    """Make the run one that has no record, with this log."""
    layout.metrics(key).unlink()
    if log is not None:
        path = layout.train_log(key)
        path.parent.mkdir(parents=True)
        path.write_text(log)


def shown(layout: ExperimentLayout, width: int = 80) -> str:
    """What is printed on a terminal of that width."""
    file = io.StringIO()
    show(layout.root, layout.root.parent, Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 200])
def test_a_finished_experiment_fits_any_terminal(layout, width):
    text = shown(layout, width)
    assert "10 of 10 runs done" in text
    assert "synthetic_roads, STID" in text
    assert "vehicles / 5 min" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("ST-Prune")]
    # At a glance, then of the place.
    assert [row[1] for row in rows] == ["0.5", "0.9"] * 2
    assert [row[1:3] for row in rows[2:]] == [["0.5", "2"], ["0.9", "2"]]
    assert text.splitlines()[1].startswith("STID on synthetic_roads · 2 pruners at prune ratio")
    assert not {"failed", "left", "…"} & set(text.split())
    table = [line for line in text.splitlines() if not line.startswith(("/", "Unit"))]
    assert max(map(len, table)) <= width


def test_what_is_done_is_shown_before_the_summary_is_written(layout):
    shutil.rmtree(layout.store)
    undo(layout, KEY)
    text = shown(layout)
    assert "9 of 10 runs done, 1 to do" in text
    assert len([line for line in text.splitlines() if line.startswith("ST-Prune")]) == 4
    assert not layout.store.exists()


def test_failures_say_why(layout):
    why = "run x: the training loss of epoch 3 is nan; lower the learning rate or clip gradients"
    undo(layout, KEY, f"10:00:00 epoch 2/8: kept 10 %\nstprune: error: {why}\n")
    other = KEY._replace(seed=0)
    undo(layout, other, "Traceback (most recent call last):\n  ...\nValueError: [bold] no[/bold]\n")
    damaged = KEY._replace(pruner="random_dynamic")
    layout.metrics(damaged).write_text("{")
    text = shown(layout, width=60)
    assert "7 of 10 runs done, 3 failed" in text
    assert f"failed {KEY.path}: {why}\n" in text
    assert f"failed {other.path}: ValueError: [bold] no[/bold]\n" in text
    assert str(layout.metrics(damaged)) in text


def test_runs_under_way_and_those_that_stopped(layout):
    undo(layout, KEY, "10:00:00 x: 8 epochs\n10:00:01 epoch 3/8: kept 10.0 %\n")
    interrupted = KEY._replace(seed=0)
    undo(layout, interrupted, "10:00:01 epoch 5/8: kept\nstprune: interrupted; the same ...\n")
    checkpoint = KEY._replace(pruner="random_dynamic")
    undo(layout, checkpoint)
    layout.checkpoint(checkpoint).parent.mkdir(parents=True)
    layout.checkpoint(checkpoint).touch()
    with folder_lock(layout.checkpoint(KEY).parent):
        text = shown(layout, width=60)
    assert "7 of 10 runs done, 1 running, 2 stopped" in text
    assert f"running {KEY.path}: epoch 3 of 8\n" in text
    assert f"stopped {interrupted.path}: interrupted, after epoch 5 of 8\n" in text
    killed = run_state(layout, KEY)
    assert killed.state == "stopped"
    assert killed.note.endswith("after epoch 3 of 8")


def test_with_less_than_everything(layout):
    layout.config.unlink()
    assert "10 of 10 runs done" in shown(layout)
    # A copy of the store alone.
    shutil.rmtree(layout.root / "runs")
    text = shown(layout)
    assert "ST-Prune" in text
    assert "runs done" not in text


def test_records_that_cannot_be_compared(layout):
    other = made_up.record(KEY, data={"checksum": "e" * 64, "target_unit": "x"})
    made_up.write_run(layout, other, made_up.epochs(made_up.EPOCHS))
    text = shown(layout)
    assert "no table: runs of `synthetic_roads`" in text
    assert "10 of 10 runs done" in text


def test_which_experiment(layout, capsys):
    results = layout.root.parent
    words = ["show", "--results", str(results)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "10 of 10 runs done" in said
    assert "\x1b[" not in said
    made_up.write_experiment(results / "rails", pruners=PRUNERS, seeds=(0,))
    assert main(words) == 1
    assert "rails, roads" in capsys.readouterr().err
    assert main([*words, "roads"]) == 0
    assert "10 of 10 runs done" in capsys.readouterr().out
    assert main([*words, "raods"]) == 1
    assert "rails, roads" in capsys.readouterr().err
    with pytest.raises(RecordError):
        show(None, results / "roads", Console(file=io.StringIO()))
