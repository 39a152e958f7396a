"""Energy: summed from counters by hand-worked numbers, and absent wherever one cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toy_runs import Listener, StoppedError, key_of

from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import experiment_layout
from stprune.records.run import read_record
from stprune.training import energy
from stprune.training.energy import (
    Counter,
    Energy,
    device_counters,
    nvml_counters,
    processor_counters,
)
from stprune.training.run import train


def zone(powercap: Path, folder: str, name: str, microjoules: int, limit: int = 10**6) -> Path:
    """A zone of powercap as Linux shows it; returns the file of its counter."""
    place = powercap / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text(f"{limit * 10**6}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    return place / "energy_uj"


def scripted(*values: float | str, range: float | None = None) -> Energy:
    """A meter of one counter that gives these values, one a reading; a word is a failure."""
    script: Iterator[float | str] = iter(values)

    def read() -> float:
        value = next(script)
        if isinstance(value, str):
            raise OSError(value)
        return value

    return Energy({"processor": [Counter("scripted", read, range)]})


def test_packages_and_memory_count_once(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)  # a part of the package
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 2_500_000)
    zone(tmp_path, "intel-rapl:1", "psys", 1)  # holds the package
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1)  # the same package again
    meter = Energy({"processor": processor_counters(tmp_path)})
    package.write_text("8000000\n")
    memory.write_text("3000000\n")
    meter.update()
    assert meter.joules["processor"] == pytest.approx(3.5)
    assert meter.counted == ["package-0", "dram (intel-rapl:0:1)"]


def test_a_counter_that_begins_anew(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 999_990_000_000)
    meter = Energy({"processor": processor_counters(tmp_path)})
    for microjoules, joules in ((15_000_000, 25.0), (16_000_000, 26.0)):
        package.write_text(f"{microjoules}\n")
        meter.update()
        assert meter.joules["processor"] == pytest.approx(joules)


def test_a_counter_that_may_have_begun_anew_twice_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """200 kJ at 500 W at most are 400 s."""
    times = iter((0.0, 0.0, 0.0, 399.0, 399.0, 800.0, 800.0))
    monkeypatch.setattr(energy.time, "monotonic", lambda: next(times))
    meter = scripted(1.0, 2.0, 3.0, range=200_000)
    meter.update()
    assert meter.joules == {"processor": 1.0}
    meter.update()
    assert meter.joules == {"processor": None}


@pytest.mark.parametrize("damage", ["", "not a number", None])
def test_a_counter_that_breaks_on_the_way_leaves_no_part_of_the_sum(
    tmp_path: Path, damage: str | None
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    meter = Energy({"processor": processor_counters(tmp_path)})
    if damage is None:
        second.unlink()
    else:
        second.write_text(damage)
    meter.update()
    assert meter.joules["processor"] is None
    assert meter.counted == []
    second.write_text("0\n")
    meter.update()
    assert meter.joules["processor"] is None


def test_without_counters_nothing_is_recorded(tmp_path: Path) -> None:
    assert processor_counters(tmp_path / "none") == []
    assert device_counters(torch.device("cpu")) == []
    assert Energy({"device": []}).joules == {"device": None}


@pytest.mark.parametrize(("before", "joules"), [(5.0, 7.0), (None, None)])
def test_earlier_starts_count_unless_they_are_not_known(
    before: float | None, joules: float | None
) -> None:
    script = iter((10.0, 12.0))
    counters = {"device": [Counter("scripted", lambda: next(script))]}
    meter = Energy(counters, {"device": before})
    meter.update()
    assert meter.joules["device"] == joules


def test_a_gpus_counter_that_goes_back_is_absent() -> None:
    meter = scripted(10.0, 9.0)
    meter.update()
    assert meter.joules["processor"] is None


def test_devices_are_found_by_their_ids() -> None:
    millijoules = {"GPU-a": 1000, "GPU-b": 500}
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=millijoules.__getitem__,
    )
    meter = Energy({"device": nvml_counters(nvml, ["a", "b"])})
    millijoules |= {"GPU-a": 3000, "GPU-b": 700}
    meter.update()
    assert meter.joules["device"] == pytest.approx(2.2)
    assert meter.counted == ["GPU-a", "GPU-b"]


def test_a_resumed_run_records_the_joules_of_both_starts(
    toy_config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that moves by 1 J a reading: at the start, after each of 4 epochs, at the end."""
    readings = iter(range(100))
    counter = Counter("package-0", lambda: float(next(readings)))
    monkeypatch.setattr("stprune.training.run.processor_counters", lambda: [counter])
    with pytest.raises(StoppedError):
        train(toy_config, key_of("full"), [Listener(stop_after=1)])
    train(toy_config, key_of("full"), [])
    record = read_record(experiment_layout(toy_config).metrics(key_of("full")))
    epochs = record.cost.epochs
    assert record.cost.processor_joules == epochs + 1
    assert record.cost.device_joules is None
    assert record.environment["energy"] == ["package-0"]
