"""Timing: intervals, when it is enough, sensors, verdicts, and a small job from end to end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toy_runs import key_of

from stprune.__main__ import main
from stprune.base.errors import ConfigError
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout, place_specs
from stprune.records.timing import PARTS, Sensors, read_timing
from stprune.training import sensors
from stprune.training.run import machine, train
from stprune.training.sensors import Watch, mean_of, others_on_gpu
from stprune.training.sharing import available_cores
from stprune.training.timing import Job, enough, interval_of, time_epochs, verdict_of, widest_of

IDLE = Sensors(busy=1.0, others=0.01, waiting=0.01, pressure=None, megahertz=None)


def test_interval_by_hand_and_its_coverage():
    assert interval_of([0.5, 0.5, 0.5]) == pytest.approx((0.5, 0.5, 0.5))
    # The logarithms have mean 0 and standard deviation 0.1; Student's quantile for 2 is 4.3027.
    reach = 4.302653 * 0.1 / 3**0.5
    expected = (1.0, np.exp(-reach), np.exp(reach))
    assert interval_of(np.exp([0.0, 0.1, -0.1])) == pytest.approx(expected)
    skewed = interval_of([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    assert skewed.low <= skewed.ratio <= skewed.high
    # Also when rounds go on only until the interval is narrow, 95 % are nearly 95 %.
    rng, held, drawn = np.random.default_rng(0), 0, 300
    for _ in range(drawn):
        ratios = list(0.5 * np.exp(rng.normal(0, 0.06, 2)))
        while True:
            ratios.append(0.5 * np.exp(rng.normal(0, 0.06)))
            interval = interval_of(ratios)
            if enough([interval], len(ratios), 15):
                break
        held += interval.low <= 0.5 <= interval.high
    assert held / drawn > 0.9


def test_rounds_end_when_every_interval_is_narrow():
    narrow, wide = interval_of([0.50, 0.51, 0.50]), interval_of([0.5, 0.6, 0.5])
    assert widest_of([narrow]) < 0.03 < widest_of([wide])
    assert not enough([narrow], 2, 2)
    assert enough([narrow, narrow], 3, 15)
    assert not enough([narrow, wide], 14, 15)
    assert enough([narrow, wide], 15, 15)
    assert enough([], 3, 15)


def test_verdicts():
    narrow, wide = interval_of([0.50, 0.51, 0.50]), interval_of([0.5, 0.53, 0.5])
    assert verdict_of([narrow, narrow], IDLE) == "steady"
    assert verdict_of([narrow, wide], IDLE) == "noisy"
    assert verdict_of([interval_of([0.5, 0.9, 0.5])], IDLE) == "disturbed"
    unknown = dict.fromkeys(("others", "waiting"))
    assert verdict_of([narrow], IDLE.model_copy(update=unknown)) == "steady"
    for name in ("others", "waiting"):
        busy = IDLE.model_copy(update=unknown | {name: 0.06})
        assert verdict_of([narrow], busy) == "disturbed"


def write_proc(folder: Path, busy: int, waiting: float, pressure: float) -> None:
    """Ticks of 10 ms that core 1 was busy; seconds of waiting and pressure."""
    task = folder / "self" / "task" / "7"
    task.mkdir(parents=True, exist_ok=True)
    (folder / "pressure").mkdir(exist_ok=True)
    # Idle time, time waiting for a disk, and guests, who are users too, do not count.
    rows = ["cpu 9 9 9 9 9 9 9 9 9 9", "cpu0 8 8 8 8 8 8 8 8 8 8"]
    rows.append(f"cpu1 {busy - 40} 10 10 999 999 10 5 5 77 77")
    (folder / "stat").write_text("\n".join([*rows, "intr 1 2", "ctxt 5"]))
    (task / "schedstat").write_text(f"123 {round(waiting * 1e9)} 4")
    text = f"some avg10=0.00 total={round(pressure * 1e6)}\nfull avg10=0.00 total=0\n"
    (folder / "pressure" / "cpu").write_text(text)
    clocks = "".join(f"processor\t: {i}\ncpu MHz\t\t: {2000 + 500 * i}.0\n" for i in (0, 1))
    (folder / "cpuinfo").write_text(clocks)


def test_sensors_tell_others_from_this_process(tmp_path, monkeypatch):
    clock = SimpleNamespace(perf_counter=lambda: 10.0, process_time=lambda: 3.0)
    monkeypatch.setattr(sensors, "time", clock)
    write_proc(tmp_path, 1000, waiting=1.0, pressure=2.0)
    watch = Watch([1], proc=tmp_path)
    before = watch.read()
    clock.perf_counter, clock.process_time = (lambda: 12.0), (lambda: 4.0)
    write_proc(tmp_path, 1150, waiting=1.5, pressure=3.5)
    # In 2 s the core was busy for 1.5 s, of which 1 s was ours.
    seen = watch.since(before)
    expected = {"busy": 0.5, "others": 0.25, "waiting": 0.25, "pressure": 0.75, "megahertz": 2500}
    assert seen.model_dump() == pytest.approx(expected)
    # Elsewhere there are no such files; and some containers show a machine that does nothing.
    bare = Watch([1], proc=tmp_path / "none").since(before).model_dump()
    assert [name for name, value in bare.items() if value is None] == list(bare)[1:]
    epochs = pd.DataFrame([seen.model_dump() | {"train_seconds": weight} for weight in (0.3, 0.1)])
    for others, mean in ((-0.35, 0.1), (-0.85, 0.0), (-1.85, None), (None, None)):
        epochs.loc[1, "others"] = others
        assert mean_of(epochs).model_dump() == pytest.approx(seen.model_dump() | {"others": mean})


def test_others_on_a_gpu_need_this_process_on_the_list(monkeypatch):
    def process(pid: int, used: int) -> SimpleNamespace:
        return SimpleNamespace(pid=pid, smUtil=used)

    listed = [process(1, 20), process(sensors.os.getpid(), 70)]
    nvml: Any = ModuleType("pynvml")
    nvml.NVMLError, nvml.nvmlInit = RuntimeError, lambda: None
    nvml.nvmlDeviceGetHandleByUUID = lambda name: name
    nvml.nvmlDeviceGetProcessUtilization = lambda handle, since: listed
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert others_on_gpu("GPU-1", 1.0) == pytest.approx(0.2)
    del listed[1]
    assert others_on_gpu("GPU-1", 1.0) is None
    nvml.nvmlDeviceGetProcessUtilization = lambda handle, since: 1 / 0
    nvml.NVMLError = ZeroDivisionError
    assert others_on_gpu("GPU-1", 1.0) is None


@pytest.fixture
def timed_config(toy_values: dict[str, Any]) -> ExperimentConfig:
    """Six short epochs and every kind of pruner."""
    toy_values["pruners"] = dict.fromkeys(["full", "full_fewer_epochs", "el2n", "st_prune"])
    toy_values |= {"training": {"epochs": 6, "batch_size": 32}, "timing": {"rounds": 3}}
    return parse_config(toy_values, "the toy configuration")


def test_a_job_times_every_entry_in_turn(timed_config):
    record = time_epochs(timed_config, "toy", "stid")
    layout = experiment_layout(timed_config)
    path = layout.timing("toy", "stid")
    assert read_timing(path) == record
    assert [path.name for path in sorted(path.parent.iterdir())] == ["stid.csv", "stid.json"]
    entries = {entry.pruner: entry for entry in record.entries}
    assert list(entries) == ["full", "full_fewer_epochs", "el2n", "st_prune"]
    # Full epochs are timed once, whoever trains them.
    for name in ("full", "full_fewer_epochs"):
        assert entries[name].ratio == entries[name].ratio_low == entries[name].ratio_high == 1.0
        assert entries[name].epoch_seconds == record.full.epoch_seconds
    assert entries["st_prune"].windows == entries["el2n"].windows == record.full.windows // 2
    assert min(entries["st_prune"].scoring_seconds, entries["st_prune"].selection_seconds) > 0
    assert entries["el2n"].preparation_seconds > entries["st_prune"].preparation_seconds
    table = pd.read_csv(path.with_suffix(".csv"))
    order = ["el2n", "full", "st_prune"]
    assert table["pruner"].tolist() == 3 * order
    assert table["round"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert table[list(PARTS)].sum(axis=1).tolist() == pytest.approx(table["train_seconds"].tolist())
    by_round = table.pivot(index="round", columns="pruner", values="train_seconds")
    ratio = (by_round["st_prune"] / by_round["full"]).median()
    assert entries["st_prune"].ratio == pytest.approx(ratio)
    assert (table["busy"] > 0).all()
    columns = ["validation_seconds", "checkpoint_seconds"]
    assert table[table["pruner"] == "full"][columns].notna().all(axis=None)


def test_timed_epochs_are_those_of_the_runs(timed_config):
    specs = place_specs(timed_config, "toy", "stid")
    with machine(specs[0], "a test") as (fabric, _):
        job = Job(timed_config, specs, fabric, Watch(available_cores()))
        job.run()
    key = key_of("st_prune", 0.5)
    train(timed_config, key, ())
    own = pd.read_csv(experiment_layout(timed_config).run(key) / "epochs.csv")
    (timed,) = (entry for entry in job.timed if entry.key == key)
    seen = {(e.epoch, e.windows, e.gradient_steps, e.learning_rate) for e in timed.epochs}
    columns = ["epoch", "windows", "gradient_steps", "learning_rate"]
    assert seen == {tuple(own.loc[1, columns])}
    # Slices of other entries' epochs draw from the same random numbers, so dropout differs.
    losses = [epoch.train_loss for epoch in timed.epochs]
    assert losses == pytest.approx([own.loc[1, "train_loss"]] * len(losses), rel=0.05)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_with_other_work_ratios_hold_or_the_timing_says_so(toy_values):
    config = parse_config(toy_values | {"timing": {"rounds": 3}}, "the toy configuration")
    alone = {entry.pruner: entry.ratio for entry in time_epochs(config, "toy", "stid").entries}
    with busy_loops(2 * len(available_cores())):
        record = time_epochs(config, "toy", "stid")
    off = max(abs(entry.ratio - alone[entry.pruner]) for entry in record.entries)
    assert record.verdict == "disturbed" or off <= 0.05


def test_mistakes_are_one_line(toy_values, tmp_path, capsys):
    path = tmp_path / "toy.yaml"
    for rounds, place, named in ((3, "toy/stgcn", "toy/stid"), (0, "toy/stid", "timing.rounds")):
        toy_values["timing"] = {"rounds": rounds}
        config = parse_config(toy_values, "the toy configuration")
        path.write_text(config.model_dump_json())
        assert main(["time", place, "--config", str(path)]) == 1
        assert named in capsys.readouterr().err
    with pytest.raises(ConfigError, match="rounds"):
        parse_config(toy_values | {"timing": {"rounds": 2}}, "the toy configuration")
