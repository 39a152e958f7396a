"""`stprune show`: results so far, progress of a running grid, failures with their reasons."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import synthetic_records as made_up
import yaml
from rich.console import Console

from stprune.__main__ import main
from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.base.quantities import duration, size
from stprune.config.experiment import ExperimentConfig
from stprune.workflow.run_states import begun_runs, planned_runs, run_states
from stprune.workflow.show import show

PRUNERS = ("random_dynamic", "st_prune")
# Of synthetic_roads/stid, p0.5: full is 3 and 11.1 s an epoch; 2 pruners at 2 ratios, 2 seeds.
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


def undo(layout: ExperimentLayout, key: RunKey, log: str | None = None) -> Path:
    """Make the run one that has no record, with this log."""
    layout.metrics(key).unlink()
    path = layout.train_log(key)
    if log is not None:
        path.parent.mkdir(parents=True)
        path.write_text(log)
    return path


def shown(layout: ExperimentLayout, width: int = 80, colour: bool = False) -> str:
    """What is printed on a terminal of that width."""
    file = io.StringIO()
    system = "truecolor" if colour else None
    console = Console(file=file, width=width, force_terminal=colour, color_system=system)
    show(layout.root, layout.root.parent, console)
    return file.getvalue()


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Stands for a run that writes its log."""
    with path.open("a"):
        yield


def test_a_finished_experiment(layout: ExperimentLayout) -> None:
    text = shown(layout)
    assert "10 of 10 runs done" in text
    assert "synthetic_roads, STID" in text
    assert "vehicles / 5 min" in text
    rows = [line for line in text.splitlines() if "ST-Prune" in line]
    assert [row.split()[1] for row in rows] == ["0.5", "0.9"]
    assert "failed" not in text
    assert "left" not in text


@pytest.mark.parametrize("width", [60, 86, 132, 200])
def test_fits_any_terminal(layout: ExperimentLayout, width: int) -> None:
    undo(layout, KEY, "stprune: error: a reason\n")
    text = shown(layout, width)
    # Rules of the failures are lines of their own, to be searched for.
    table = [line for line in text.splitlines() if not line.startswith(("failed", "/", "Unit"))]
    assert max(map(len, table)) <= width
    assert all(name in text for name in ("Full training", "ST-Prune", "Random (dynamic)", "MAE"))
    assert "…" not in text


def test_no_colour_in_a_pipe(layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]) -> None:
    undo(layout, KEY, "stprune: error: a reason\n")
    assert "\x1b[" in shown(layout, colour=True)
    assert "\x1b[" not in shown(layout)
    assert main(["show", str(layout.root)]) == 0
    assert "\x1b[" not in capsys.readouterr().out


def test_what_is_done_is_shown_before_the_summary_is_written(layout: ExperimentLayout) -> None:
    shutil.rmtree(layout.store)
    undo(layout, KEY)
    text = shown(layout)
    assert "9 of 10 runs done, 1 to do" in text
    assert "No run is under way" in text
    rows = [line for line in text.splitlines() if line.startswith("ST-Prune")]
    assert len(rows) == 2
    assert not layout.store.exists()


def test_failures_say_why(layout: ExperimentLayout) -> None:
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
    assert "is not a readable record" in text


def test_runs_under_way_and_those_that_stopped(layout: ExperimentLayout) -> None:
    log = undo(layout, KEY, "10:00:00 x: 8 epochs\n10:00:01 epoch 3/8: kept 10.0 %\n")
    interrupted = KEY._replace(seed=0)
    undo(layout, interrupted, "10:00:01 epoch 5/8: kept\nstprune: interrupted; the same ...\n")
    checkpoint = KEY._replace(pruner="random_dynamic")
    undo(layout, checkpoint)
    layout.checkpoint(checkpoint).parent.mkdir(parents=True)
    layout.checkpoint(checkpoint).touch()
    with held_open(log):
        text = shown(layout, width=60)
    assert "7 of 10 runs done, 1 running, 2 stopped" in text
    assert f"  {KEY.path}: epoch 3 of 8\n" in text
    assert f"stopped {interrupted.path}: interrupted, after epoch 5 of 8\n" in text
    killed = {state.key: state for state in run_states(layout, [KEY])}[KEY]
    assert (killed.state, killed.note) == (
        "stopped",
        "its log ends abruptly (killed?), after epoch 3 of 8",
    )


def test_time_left_by_hand(layout: ExperimentLayout) -> None:
    """Nine runs ended 20 s apart; one is left."""
    log = undo(layout, KEY, "")
    keys = [key for key in planned_runs(layout) or [] if key != KEY]
    for number, key in enumerate(keys):
        end = f"2026-01-01T10:{number // 3:02}:{number % 3 * 20:02}+00:00"
        run = made_up.record(key, finished=end)
        made_up.write_run(layout, run, made_up.epochs(made_up.EPOCHS))
    with held_open(log):
        assert "Rate of the last 9: 180 runs an hour; about 20 s left." in shown(layout)


def test_a_summary_alone_is_enough(layout: ExperimentLayout) -> None:
    """What is committed of a study: neither records nor configuration."""
    for path in layout.root.rglob("metrics.json"):
        path.unlink()
    layout.config.unlink()
    text = shown(layout)
    assert "ST-Prune" in text
    assert "runs done" not in text


def test_records_without_a_configuration(layout: ExperimentLayout) -> None:
    layout.config.unlink()
    (layout.root / "runs/synthetic_roads/stid/full/p0/notes/s1").mkdir(parents=True)
    assert len(begun_runs(layout)) == 10
    text = shown(layout)
    assert "10 of 10 runs done" in text
    assert "what is to do is not known" in text


def test_records_that_cannot_be_compared(layout: ExperimentLayout) -> None:
    other = made_up.record(KEY, data={"checksum": "e" * 64, "target_unit": "x"})
    made_up.write_run(layout, other, made_up.epochs(made_up.EPOCHS))
    text = shown(layout)
    assert "no table: runs of `synthetic_roads` are of different data" in text
    assert "10 of 10 runs done" in text


def test_which_experiment(layout: ExperimentLayout, capsys: pytest.CaptureFixture[str]) -> None:
    results = layout.root.parent
    words = ["show", "--results", str(results)]
    assert main(words) == 0
    assert "10 of 10 runs done" in capsys.readouterr().out
    made_up.write_experiment(results / "rails", pruners=PRUNERS, seeds=(0,))
    assert main(words) == 0
    listed = capsys.readouterr().out
    assert f"{results / 'rails'}: 5 runs with a record\n" in listed
    assert "10 of" not in listed
    assert main([*words, "roads"]) == 0
    assert "10 of 10 runs done" in capsys.readouterr().out
    assert main([*words, "raods"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "rails, roads" in error


def test_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no experiment in"):
        show(None, tmp_path, Console(file=io.StringIO()))


def test_times_and_sizes_in_words() -> None:
    assert [duration(s) for s in (0, 42.4, 99.6, 5969, 5970, 360_000)] == [
        *("0 s", "42 s", "2 min", "99 min", "1.7 h", "4 days"),
    ]
    assert [size(n) for n in (12, 12_345, 3_400_000_000, 2.1e13)] == [
        *("12 B", "12 kB", "3.4 GB", "21.0 TB"),
    ]
