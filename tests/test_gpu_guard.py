"""Training where every operation on the device is seen: what would make a GPU wait, or fail.

A device is claimed (see `claimed_device`). No operation may mix devices. Inside a batch loop the
host never waits for the device, and outside of it only so often an epoch.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from claimed_device import CLAIMED, Watch, claimed_device, claimed_fabric
from torch import Tensor, nn
from toy_union import union_values, write_union

from stprune import PrunedBatchSampler, Pruning
from stprune.backbones.base import BACKBONES
from stprune.backbones.layers.graph import GraphProduct
from stprune.base.layout import DataLayout, RunKey
from stprune.config.experiment import parse_config
from stprune.config.grid import RunSpec, run_spec
from stprune.pruning.base import PRUNERS
from stprune.pruning.dynamic import DynamicPruner
from stprune.training.engine import Engine
from stprune.training.run import open_run_data
from workflow import gpu_check

pytestmark = pytest.mark.usefixtures("one_thread")
# Of an epoch with validation, on one data set: 13, and one or two more by some pruners' rules.
WAITS = 15
# Of recurrent backbones, which do the same at each step; others want more.
SHORT = {"dcrnn": 3, "geometric_temporal": 3}
BACKBONE_IDS = [name for name in BACKBONES.ids() if BACKBONES.load(name).trains]
DYNAMIC = [name for name in PRUNERS.ids() if issubclass(PRUNERS.load(name), DynamicPruner)]


class WatchedEngine(Engine):
    """Says where it is, and counts the clock's waits outside the batch loop."""

    watch: Watch

    def _train_batches(self, batches: Iterable[Any]) -> Tensor:
        with self.watch.at("loop"):
            return super()._train_batches(batches)

    def watch_epoch(self) -> None:
        """Train an epoch, noted as `epoch` and `loop`."""

        def synchronise() -> None:
            if self.watch.place == "epoch":  # on a GPU the phases of the loop are timed by events
                self.watch.waits.setdefault("epoch", []).append("synchronise")

        self.clock.synchronise = synchronise
        with self.watch.at("epoch"):
            self.train_epoch()


def engine_on(watch: Watch, spec: RunSpec, data_directory: str) -> WatchedEngine:
    """The run's engine on the claimed device."""
    data = open_run_data(spec, DataLayout(Path(data_directory)), CLAIMED)
    engine = WatchedEngine(spec, data, claimed_fabric())
    engine.watch = watch
    return engine


def check(watch: Watch, waits: int = WAITS) -> None:
    assert watch.mixed == []
    assert watch.waits.get("loop", []) == []
    assert watch.kernels["loop"] > 0
    assert len(watch.waits["epoch"]) <= waits, watch.waits["epoch"]


def spec_of(values: dict[str, Any], backbone: str, pruner: str, **entries: Any) -> RunSpec:
    """Two batches of 12 windows in the first epoch, one in a pruned one."""
    values |= {"backbones": {backbone: None}, "pruners": {pruner: entries.pop("entry", None)}}
    part = {"window_stride": 12, "evaluation_stride": 4}
    values["datasets"] = {"toy": part | entries.pop("dataset", {})}
    history = SHORT.get(backbone, 12)
    values["training"] = {"epochs": 4, "batch_size": 12, "history": history}
    ratio = 0.5 if PRUNERS.load(pruner).uses_prune_ratio else 0.0
    key = RunKey("toy", backbone, pruner, ratio, 0)
    return run_spec(parse_config(values | entries, "toy.yaml"), key)


def test_products_with_a_sparse_graph():
    with claimed_device() as watch:
        product = GraphProduct(torch.eye(30)).to(CLAIMED)
        values = torch.rand(30, 4).to(CLAIMED).requires_grad_()
        with watch.at("loop"):
            product(values).sum().backward()
        assert product.sparse
        assert torch.equal(values.grad.cpu(), torch.ones(30, 4))
    assert watch.mixed == watch.waits.get("loop", []) == []


@pytest.mark.parametrize("name", BACKBONE_IDS)
def test_backbones(toy_values, name):
    with claimed_device() as watch:
        spec = spec_of(toy_values, name, "st_prune")
        engine_on(watch, spec, toy_values["data_directory"]).watch_epoch()
    check(watch)


CASES: dict[str, dict[str, Any]] = {
    **{name: {"pruner": name} for name in [*DYNAMIC, "full"]},
    "infobatch, original": {"pruner": "infobatch", "entry": {"options": {"budget": "original"}}},
    **{
        f"st_prune, {spatial}": {
            "pruner": "st_prune",
            "entry": {"options": {"spatial": spatial, "temporal_weight": 1, "score_memory": 0.5}},
        }
        for spatial in ("graph", "top_nodes")
    },
    "legacy": {"pruner": "st_prune", "protocol": "legacy"},
    "imputation": {
        "pruner": "st_prune",
        "dataset": {"task": "impute", "task_options": {"blocks": 0.1, "sensors": 0.1}},
    },
    "micro-batches": {"pruner": "ucb", "compute": {"own_cores": False, "micro_batch": 5}},
}


@pytest.mark.parametrize("case", CASES)
def test_pruners_and_tasks(toy_values, case):
    changes = dict(CASES[case])
    with claimed_device() as watch:
        spec = spec_of(toy_values, "stid", changes.pop("pruner"), **changes)
        engine = engine_on(watch, spec, toy_values["data_directory"])
        engine.train_epoch()  # over all windows, so that the next can choose
        engine.watch_epoch()
    check(watch)


@pytest.mark.parametrize("quota", ["union", "per_dataset"])
def test_unions(tmp_path, quota):
    values = union_values(write_union(tmp_path / "data"), tmp_path)
    values["pruners"] = {"st_prune": {"quota": quota}}
    values["datasets"]["cities"] |= {"window_stride": 9, "evaluation_stride": 9}
    key = RunKey("cities", "opencity", "st_prune", 0.6, 0)
    with claimed_device() as watch:
        spec = run_spec(parse_config(values, "union.yaml"), key)
        engine = engine_on(watch, spec, values["data_directory"])
        engine.train_epoch()
        engine.watch_epoch()
    # Each data set is validated, and pruned, by itself.
    check(watch, 2 * WAITS)


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_loop_of_ones_own(name):
    with claimed_device() as watch:
        options = {"strata": 1} if name == "st_prune" else {}
        settings: dict[str, Any] = {"epochs": 4, "prune_ratio": 0.5, "batch_size": 8}
        pruning = Pruning(name, 24, **settings, options=options, device=CLAIMED)
        inputs = torch.rand(24, 3, 4).to(CLAIMED)
        model = claimed_fabric().setup(nn.Linear(4, 4))
        for _ in range(2):
            with watch.at("epoch"):
                batches = pruning.hand_out()
            with watch.at("loop"):
                for indices in batches:
                    pruning.loss(indices, model(inputs[indices]) - inputs[indices]).backward()
        with watch.at("sampler"):
            drawn = list(PrunedBatchSampler(pruning, range(24)))
    check(watch, 2 * WAITS)
    assert [len(numbers) for numbers in drawn] == [6, 6]
    # Window state, if the choice looks at it, and the batches.
    assert len(watch.waits["sampler"]) <= WAITS


def test_the_guard_sees_what_it_is_for(toy_values):
    """Pruners that read a value, look for true entries, copy, or index on the host."""
    bad = {
        "_local_scalar_dense": lambda errors, mask: errors.mean().item(),
        "_to_copy": lambda errors, mask: errors.sum((1, 2)).cpu(),
        "index": lambda errors, mask: errors[mask],
        "nonzero": lambda errors, mask: mask.nonzero(),
        "a second device": lambda errors, mask: errors[torch.arange(2)],
    }
    with claimed_device() as watch:
        engine = engine_on(
            watch, spec_of(toy_values, "stid", "st_prune"), toy_values["data_directory"]
        )
        for name, deed in bad.items():
            watch.waits.clear()
            engine.pruner.observe = lambda _, e, m, deed=deed: deed(e, m)
            engine.watch_epoch()
            seen = "mixed" if watch.mixed else set(watch.waits.get("loop", []))
            assert seen == ("mixed" if name == "a second device" else {name})


# `make gpu-check`


def test_on_a_processor_every_check_is_made_or_says_why_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(gpu_check.CHECKS, "side_by_side", lambda *_: "its processes take long")
    file = tmp_path / "found.json"
    assert gpu_check.main(["--device", "cpu", "--short", "--json", str(file)]) == 0
    checks = json.loads(file.read_text(encoding="utf-8"))["checks"]
    assert list(checks) == list(gpu_check.CHECKS)
    skipped = {name for name, check in checks.items() if check["verdict"] == "skip"}
    assert skipped == {"attention", "energy", "memory"}
    assert len(capsys.readouterr().out.splitlines()) == len(checks)


def test_a_run_that_is_not_itself_again_fails(monkeypatch):
    state = Engine.state_dict

    def without_generator(engine: Engine) -> dict[str, object]:
        other = torch.Generator().manual_seed(5).get_state()
        return state(engine) | {"torch_rng": other[None]}

    monkeypatch.setattr(Engine, "state_dict", without_generator)
    assert gpu_check.main(["--device", "cpu", "--short", "--only", "resuming"]) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_on_a_gpu():
    assert gpu_check.main([]) == 0
