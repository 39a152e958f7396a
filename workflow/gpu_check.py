"""Check on a GPU what the tests can only check on claimed devices: one line a check, and a JSON.

`make gpu-check` runs it, within minutes; the JSON can be attached to an issue. All but what needs
CUDA runs with ``--device cpu`` as well, so that the checks themselves are checked.
"""

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from stprune.backbones.base import BACKBONES
from stprune.base.errors import OutOfMemoryError, StpruneError
from stprune.base.settings import ComputeSettings
from stprune.config.experiment import parse_config
from stprune.config.grid import RunSpec, run_keys, run_spec
from stprune.data.card import load_card
from stprune.data.dataset import alone, forecast_data
from stprune.pruning.base import PRUNERS
from stprune.training.cost import device_counters
from stprune.training.devices import fabric_on, naming_failures
from stprune.training.engine import Engine
from stprune.training.run import prepare
from stprune.training.sharing import claim
from stprune.workflow.estimate import made_up

DATASET = "sim_freeway"  # for its card; the values are made here
CLOSE = 1e-4  # forecasts of two devices, in standard deviations
Device = Literal["cpu", "cuda"]


class NeedsGpuError(Exception):
    """The check says nothing about a CPU."""


class CheckFailedError(StpruneError):
    """What was found is wrong."""


def require(holds: bool, otherwise: str) -> None:
    """Fail the check unless ``holds``."""
    if not holds:
        raise CheckFailedError(otherwise)


class QuietEngine(Engine):
    """Fails if anything in the batch loop waits for a CUDA device."""

    def _train_batches(self, batches: Iterable[Any]) -> Tensor:
        if self.fabric.device.type != "cuda":
            return super()._train_batches(batches)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return super()._train_batches(batches)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def spec_of(device: Device, backbone: str, pruner: str = "full", **compute: Any) -> RunSpec:
    """A run of a few epochs on the made-up data."""
    values = {
        "experiment": "gpu_check",
        "datasets": {DATASET: None},
        "backbones": {backbone: None},
        "pruners": {pruner: None},
        "prune_ratios": [0.5],
        "seeds": [0],
        "training": {"epochs": 4, "batch_size": 64},
        "compute": {"accelerator": device, **compute},
    }
    config = parse_config(values, "the check")
    return run_spec(config, run_keys(config)[0])


def engine_of(spec: RunSpec, epochs: int = 0, nodes: int = 12) -> QuietEngine:
    """The engine of a run on made-up data, after some epochs."""
    fabric = fabric_on(spec.compute)
    dataset = made_up(load_card(DATASET, Path("data")), nodes, 400)
    data = forecast_data(dataset, history=12, horizon=12, window_stride=2, device=fabric.device)
    engine = QuietEngine(spec, alone(data), fabric)
    for _ in range(epochs):
        engine.train_epoch()
    return engine


def forecast(engine: Engine) -> Tensor:
    """Forecast the first test windows in evaluation mode; the result is on the CPU."""
    batch = engine.members[0][1].test.gather(torch.arange(8, device=engine.fabric.device))
    with torch.no_grad():
        made: Tensor = engine.network.eval()(batch.inputs, batch.time_of_day, batch.day_of_week)
    return made.cpu()


def backbones(device: Device, short: bool) -> str:
    """Every backbone forecasts as on the CPU and trains an epoch; under bf16 errors are float32."""
    names = [name for name in BACKBONES.ids() if BACKBONES.load(name).trains]
    largest, kinds = 0.0, set[torch.dtype]()
    for name in ["stid"] if short else names:
        here, there = engine_of(spec_of("cpu", name)), engine_of(spec_of(device, name))
        there.network.load_state_dict(here.network.state_dict())
        difference = float((forecast(there) - forecast(here)).abs().max())
        require(difference < CLOSE, f"{name}: forecasts differ by {difference:.2g}")
        largest = max(largest, difference)
        there.train_epoch()
        mixed = engine_of(spec_of(device, name, precision="bf16-mixed"), epochs=1)
        ((part, data),) = mixed.members
        mixed.evaluate(part, data, data.test, lambda _, errors, mask: kinds.add(errors.dtype))
        require(kinds == {torch.float32}, f"{name}: errors under bf16 are {kinds}")
    return f"forecasts differ from the CPU's by at most {largest:.1g} standard deviations"


def pruners(device: Device, short: bool) -> str:
    """No pruner waits for the device in the batch loop of two epochs."""
    names = ["st_prune", "el2n"] if short else PRUNERS.ids()
    for name in names:
        engine = engine_of(spec_of(device, "stid", name))
        prepare(engine)
        for _ in range(2):
            engine.train_epoch()
    return f"{len(names)} pruners, none waits"


def resuming(device: Device, short: bool) -> str:
    """A run twice, one stopped and resumed from its state, and its weights on a CPU."""
    spec = spec_of(device, "stid", "st_prune")
    once, again = engine_of(spec, epochs=2), engine_of(spec, epochs=2)
    file = io.BytesIO()
    torch.save(engine_of(spec, epochs=1).state_dict(), file)
    file.seek(0)
    resumed = engine_of(spec)
    resumed.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    resumed.train_epoch()
    whole, *others = (
        torch.cat([p.detach().flatten().cpu() for p in engine.network.parameters()])
        for engine in (once, again, resumed)
    )
    apart = [float((other - whole).abs().max()) for other in others]
    require(max(apart) <= (1e-3 if device == "cuda" else 0), f"weights differ by {apart}")
    local = engine_of(spec_of("cpu", "stid"))
    local.network.load_state_dict({k: v.cpu() for k, v in once.network.state_dict().items()})
    difference = float((forecast(local) - forecast(once)).abs().max())
    require(difference < CLOSE, f"on a CPU, forecasts differ by {difference:.2g}")
    said = [f"weights differ by {d:.1g}" if d else "bit-equal" for d in apart]
    return f"twice: {said[0]}; resumed: {said[1]}"


def attention(device: Device, short: bool) -> str:
    """STAEformer's attention stores no scores, and fits with 883 nodes."""
    if device == "cpu":
        raise NeedsGpuError
    engine = engine_of(spec_of(device, "staeformer", micro_batch="auto"), nodes=883)
    fused = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.FLASH_ATTENTION]
    with sdpa_kernel(fused):
        engine.train_epoch()
    peak = torch.cuda.max_memory_allocated(engine.fabric.device) / 2**30
    sizes = engine.micro_batch, engine.evaluation_batch
    return f"peak {peak:.1f} GiB with {sizes[0]} windows at a time, {sizes[1]} in evaluation"


def steps(device: Device, short: bool) -> str:
    """Seconds, launches and idle share of a step of STID; of other arithmetic, seconds alone."""
    ways: dict[str, dict[str, Any]] = {"fp32": {}}
    if device == "cuda":
        ways |= {"tf32": {"matmul": "tf32"}, "bf16": {"precision": "bf16-mixed"}}
        ways |= {"compiled": {"compile": True}, "graphs": {"compile": "reduce-overhead"}}
    said = []
    for name, compute in ways.items():
        engine = engine_of(spec_of(device, "stid", "st_prune", **compute), epochs=1)
        record = engine.train_epoch()  # the first one warmed up
        milliseconds = 1000 * record.train_seconds / record.gradient_steps
        said.append(f"{name} {milliseconds:.2f} ms a step")
        if name == "fp32" and device == "cuda":
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
                record = engine.train_epoch()
            events = seen.key_averages()
            launches = sum(e.count for e in events if "LaunchKernel" in e.key)
            busy = sum(e.self_device_time_total for e in events) / 1e6
            whole = record.train_seconds + record.validation_seconds
            said.append(f"{launches / record.gradient_steps:.0f} launches a step, validation too")
            said.append(f"idle {1 - busy / whole:.0%} under the profiler")
    return ", ".join(said)


def side_by_side(device: Device, short: bool) -> str:
    """Two processes train on the same device at the same time."""
    words = [sys.executable, "-m", "workflow.gpu_check", "--device", device, "--short"]
    words += ["--only", "resuming"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]  # noqa: S603 - fixed words
    said = [process.communicate()[0] for process in both]
    require([process.returncode for process in both] == [0, 0], f"they say {said}")
    return "both end well"


def energy(device: Device, short: bool, gpus: Sequence[str] = ()) -> str:
    """NVML's counter of the claimed GPU rises while it works."""
    if device == "cpu":
        raise NeedsGpuError
    (read,) = device_counters(gpus)
    before, matrix = read(), torch.rand(4096, 4096, device=device)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        matrix = (matrix @ matrix).clamp(0, 1)
        torch.cuda.synchronize()
    spent = read() - before
    require(spent > 0, "the counter did not move")
    return f"{spent:.0f} J in a second of products"


def memory(device: Device, short: bool) -> str:
    """A refusal of memory ends in a line that says what to lower."""
    if device == "cpu":
        raise NeedsGpuError
    spec = spec_of(device, "stid")
    try:
        with naming_failures(fabric_on(spec.compute), spec):
            torch.empty(2 * torch.cuda.mem_get_info()[1], dtype=torch.uint8, device=device)
    except OutOfMemoryError as error:
        return str(error)
    raise CheckFailedError("twice the device's memory was given")


CHECKS: dict[str, Callable[..., str]] = {
    check.__name__: check
    for check in (backbones, pruners, resuming, attention, steps, side_by_side, energy, memory)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks, print a line of each and write the JSON; 1 if one failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--short", action="store_true", help="a backbone, two pruners")
    parser.add_argument("--only", choices=CHECKS, nargs="+", default=list(CHECKS))
    parser.add_argument("--json", type=Path, help="where to write what was found")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as in a run
    results = dict[str, dict[str, Any]]()
    with ExitStack() as stack:
        gpus: Sequence[str] = ()
        if asked.device == "cuda":
            # Three slots: of this process, and of the two that it starts to be side by side.
            settings = ComputeSettings(accelerator="cuda", runs_per_gpu=3, own_cores=False)
            try:
                gpus = list(stack.enter_context(claim(settings, "gpu-check")).gpus)
            except StpruneError as error:
                sys.stderr.write(f"gpu-check: {error}; DEVICE=cpu runs on the processor\n")
                return 1
        for name in asked.only:
            check, start = partial(CHECKS[name], asked.device, asked.short), time.perf_counter()
            try:
                verdict, found = "ok", check(gpus) if name == "energy" else check()
            except NeedsGpuError:
                verdict, found = "skip", "not on a CPU"
            except (RuntimeError, StpruneError) as error:
                verdict, found = "FAIL", " ".join(str(error).split())[:300]
            seconds = time.perf_counter() - start
            results[name] = {"verdict": verdict, "found": found, "seconds": round(seconds, 1)}
            sys.stdout.write(f"{verdict:5}{name} ({seconds:.0f} s): {found}\n")
            sys.stdout.flush()
    place = torch.cuda.get_device_name() if asked.device == "cuda" else "cpu"
    if asked.json:
        whole = {"device": place, "torch": torch.__version__, "checks": results}
        asked.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return int(any(result["verdict"] == "FAIL" for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
