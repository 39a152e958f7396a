"""Energy: summed from counters by hand-worked numbers, and absent wherever one cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toy_runs import key_of

from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import experiment_layout
from stprune.records.run import RunRecord, read_record
from stprune.training import energy
from stprune.training.energy import (
    Counter,
    CounterError,
    EnergyMeter,
    device_counters,
    nvml_counters,
    processor_counters,
)
from stprune.training.run import train


def zone(powercap: Path, folder: str, name: str, microjoules: int, limit: int = 1000) -> Path:
    """A zone of powercap as Linux shows it; returns the file of its counter."""
    place = powercap / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text(f"{limit * 10**6}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    return place / "energy_uj"


def scripted(*values: float | str, range: float | None = None) -> Counter:
    """A counter that says these, one a reading; a word is a failure."""
    script: Iterator[float | str] = iter(values)

    def read() -> float:
        value = next(script)
        if isinstance(value, str):
            raise CounterError(value)
        return value

    return Counter("scripted", read, range)


def test_packages_and_memory_count_once(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)  # a part of the package
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 2_500_000)
    zone(tmp_path, "intel-rapl:1", "psys", 1)  # holds the package
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1)  # the same package again
    with EnergyMeter(processor_counters(tmp_path)) as meter:
        package.write_text("8000000\n")
        memory.write_text("3000000\n")
        assert meter.take().joules == pytest.approx(3.5)
    assert meter.take().counted == ("package-0", "dram (intel-rapl:0:1)")


def test_a_counter_that_begins_anew(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 990_000_000, limit=1000)
    with EnergyMeter(processor_counters(tmp_path)) as meter:
        package.write_text("15000000\n")  # 10 J to the maximum and 15 J after it
        assert meter.take().joules == pytest.approx(25.0)
        package.write_text("16000000\n")
    assert meter.take().joules == pytest.approx(26.0)
    package.write_text("99000000\n")  # later work is not the run's
    assert meter.take().joules == pytest.approx(26.0)


def test_a_file_that_may_not_be_read_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    real = Path.read_text

    def guarded(path: Path, encoding: str | None = None) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, encoding)

    # Tests may run as a user whom no permission stops.
    monkeypatch.setattr(Path, "read_text", guarded)
    with EnergyMeter(processor_counters(tmp_path)) as meter:
        assert meter.take() == energy.Energy(None)


@pytest.mark.parametrize("damage", ["", "not a number", None])
def test_a_counter_that_breaks_on_the_way_leaves_no_part_of_the_sum(
    tmp_path: Path, damage: str | None
) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    with EnergyMeter(processor_counters(tmp_path)) as meter:
        first.write_text("1000000\n")
        assert meter.take().joules == pytest.approx(1.0)
        if damage is None:
            second.unlink()
        else:
            second.write_text(damage)
        assert meter.take().joules is None
        second.write_text("0\n")
        assert meter.take().joules is None


def test_without_counters_nothing_is_said(tmp_path: Path) -> None:
    assert processor_counters(tmp_path / "none") == []
    assert device_counters(torch.device("cpu")) == []
    with EnergyMeter([]) as meter:
        assert meter.take() == energy.Energy(None)


def test_earlier_starts_count_unless_they_are_not_known() -> None:
    with EnergyMeter([scripted(10.0, 12.0, 12.0)], before=5.0) as meter:
        assert meter.take().joules == 7.0
    with EnergyMeter([scripted()], before=None) as meter:
        assert meter.take().joules is None


def test_a_counter_without_a_maximum_must_not_go_back() -> None:
    with EnergyMeter([scripted(10.0, 9.0)]) as meter:
        assert meter.take().joules is None


def test_counters_are_read_while_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each passes its maximum between two questions, twice; only readings between tell."""
    monkeypatch.setattr(energy, "READ_EVERY_SECONDS", 0.001)
    meter = EnergyMeter([scripted(0.0, 60.0, 20.0, 80.0, 40.0, "the end", range=100.0)])
    sums: list[float] = []
    give_up = meter._give_up

    def note(error: CounterError) -> None:
        sums.append(meter.total or 0.0)
        give_up(error)

    monkeypatch.setattr(meter, "_give_up", note)
    with meter:
        assert meter._thread is not None
        meter._thread.join(60)
    assert sums == [240.0]


class NvmlError(Exception):
    pass


def test_devices_by_their_ids() -> None:
    counts = {"GPU-a": 4_000, "GPU-b": 1_000}
    nvml = SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=str,
        nvmlDeviceGetTotalEnergyConsumption=counts.__getitem__,
    )
    with EnergyMeter(nvml_counters(nvml, ["a", "b"])) as meter:
        counts["GPU-a"] += 500
        counts["GPU-b"] += 250
        assert meter.take() == energy.Energy(0.75, ("GPU-a", "GPU-b"))


def test_a_device_that_does_not_count_is_absent() -> None:
    def refuse(handle: str) -> int:
        raise NvmlError("Not Supported")

    nvml = SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=str,
        nvmlDeviceGetTotalEnergyConsumption=refuse,
    )
    with EnergyMeter(nvml_counters(nvml, ["a"])) as meter:
        assert meter.take().joules is None
    nvml.nvmlInit = lambda: refuse("a")
    assert nvml_counters(nvml, ["a"]) == []


def test_a_run_records_it(
    toy_config: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0)

    class Worker:
        """Adds 3 J an epoch."""

        def run_started(self, *_: object) -> None: ...

        def epoch_finished(self, record: object) -> None:
            counter.write_text(f"{int(counter.read_text()) + 3_000_000}\n")

        def run_finished(self, record: RunRecord) -> None: ...

        def run_failed(self, error: BaseException) -> None: ...

    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    train(toy_config, key_of("full"), [Worker()])
    record = read_record(experiment_layout(toy_config).metrics(key_of("full")))
    assert record.cost.processor_joules == pytest.approx(4 * 3.0)
    assert record.cost.device_joules is None
    assert record.environment["energy"] == ["package-0"]


def test_records_from_before_it_was_counted_can_be_read(toy_config: ExperimentConfig) -> None:
    record = train(toy_config, key_of("full"), [])
    values = record.model_dump(mode="json")
    del values["cost"]["processor_joules"], values["cost"]["device_joules"]
    assert RunRecord.model_validate(values).cost.processor_joules is None
