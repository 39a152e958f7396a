"""Configurations: every mistake is one line that says where it is and what would be right."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stprune.backbones.base import BACKBONES
from stprune.base.errors import ConfigError
from stprune.base.layout import RunKey, format_ratio
from stprune.base.schema import read_yaml, validate
from stprune.config.experiment import ExperimentConfig, load_config, parse_config
from stprune.config.grid import run_keys, run_spec
from stprune.paper import FIGURES, TABLES
from stprune.pruning.base import PRUNERS

REPOSITORY = Path(__file__).resolve().parents[1]
SELECTION = REPOSITORY / "config" / "method_selection"
# The others there are merged: one that names the entries, and one that names the place.
WHOLE = [*sorted(SELECTION.glob("epochs*.yaml")), *sorted(SELECTION.glob("confirmation*.yaml"))]
SHIPPED = [*sorted((REPOSITORY / "config").glob("*.yaml")), *WHOLE]


def message_of(values: Any) -> str:
    """The one line that refuses ``values``."""
    with pytest.raises(ConfigError) as caught:
        parse_config(values, "my.yaml")
    message = str(caught.value)
    assert message.startswith(("my.yaml", "unknown")), message
    assert "my.yaml" in message
    return message


def changed(values: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy of ``values`` with ``value`` at the dotted ``place``."""
    first, _, rest = place.partition(".")
    return {**values, first: changed(values.get(first) or {}, rest, value) if rest else value}


@pytest.mark.parametrize(
    ("place", "value", "meant"),
    [
        ("prune_ratio", 1, "prune_ratios"),
        ("training.epoch", 1, "epochs"),
        ("datasets.toy.node_strid", 1, "node_stride"),
        ("backbones.stid.options.layer", 1, "layers"),
        ("backbones.stid.optimisation.learning_rat", 1, "learning_rate"),
        ("pruners.st_prune.options.hard_shares", 1, "hard_share"),
        ("datasets.toi", None, "toy"),
        ("datasets.mine", {"dataset": "tooy"}, "toy"),
        ("backbones.mine", {"backbone": "gwnett"}, "gwnet"),
        ("pruners.mine", {"pruner": "st-prune"}, "st_prune"),
    ],
)
def test_an_unknown_key_or_name_is_refused_with_a_suggestion(toy_values, place, value, meant):
    message = message_of(changed(toy_values, place, value))
    assert f"`{meant}`" in message
    assert place.rpartition(".")[0].rpartition(".")[2] in message


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("training.epochs", ["many", 1.5, 0, True]),
        ("compute.precision", ["8"]),
        ("tracking.mode", ["on"]),
        ("seeds", [0, [], [-1], [2**32], [0, 0], [True]]),
        ("prune_ratios", [[], [1.0], [-0.1], [90], [float("nan")], [0.5, 0.5], [0.12345678], 0.5]),
        ("datasets", [{}, ["toy"]]),
        ("datasets.toy", [{"node_stride": 0}, 3]),
        ("backbones.stid", [{"options": {"dropout": 1.5}}, {"options": []}]),
        ("backbones.stid", [{"optimisation": {"optimiser": "adamm"}}]),
        ("pruners.st_prune", [{"options": {"hard_share": 2}}]),
        ("pruners.full", [{"options": {"anything": 1}}]),
        ("experiment", ["a/b", "", "new\nline"]),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(toy_values, place, values):
    for value in values:
        assert place.rpartition(".")[2] in message_of(changed(toy_values, place, value))


def test_what_is_missing_or_cannot_be_read_is_named(toy_values, tmp_path):
    for missing in ("experiment", "datasets", "pruners", "prune_ratios", "seeds"):
        rest = {key: value for key, value in toy_values.items() if key != missing}
        assert f"`{missing}`" in message_of(rest)
    for values in (None, [], "text", 3):
        assert "mapping" in message_of(values)
    for text in (b"a: [1,\nb: }", b"\xff\xfe\x00"):
        (tmp_path / "broken.yaml").write_bytes(text)
        for path in (tmp_path / "none.yaml", tmp_path / "broken.yaml", tmp_path):
            with pytest.raises(ConfigError, match=str(path)):
                load_config(path)


def test_scientific_notation_is_a_number(toy_values):
    """YAML reads `1e-3` as text; a learning rate is often written so."""
    values = changed(toy_values, "backbones.stid.optimisation.learning_rate", "1e-3")
    config = parse_config(values, "my.yaml")
    assert run_spec(config, run_keys(config)[0]).optimisation.learning_rate == 1e-3


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(path):
    config = load_config(path)
    keys = run_keys(config)
    assert len({key.path for key in keys}) == len(keys) > 0
    for key in {(key.dataset, key.backbone, key.pruner): key for key in keys}.values():
        run_spec(config, key)


@pytest.mark.parametrize(
    ("page", "registries"), [("use", (PRUNERS, BACKBONES)), ("results", (FIGURES, TABLES))]
)
def test_the_guide_names_every_component(page, registries):
    text = (REPOSITORY / "docs" / f"{page}.md").read_text("utf-8")
    names = set(re.findall(r"[a-z_0-9]+", text))
    assert {name for registry in registries for name in registry.ids()} <= names


def test_every_place_of_the_method_selection_fits_its_candidates():
    entries = {"short": SELECTION / "candidates.yaml", "converged": SELECTION / "converged.yaml"}
    places = []
    for path in sorted({*SELECTION.glob("*.yaml")} - {*entries.values(), *WHOLE}):
        candidates = read_yaml(entries[path.stem.rpartition("_")[2]])
        config = parse_config({**candidates, **read_yaml(path)}, path.name)
        assert config.experiment == f"method_selection_{path.stem}"
        (place,), (backbone,) = config.datasets, config.backbones
        assert path.stem == place + ("" if backbone == "stid" else f"_{backbone}")
        places.append(place)
    assert {name.rpartition("_")[2] for name in places} <= {"short", "converged"}


def test_runs_are_the_product_and_full_is_run_once_a_seed(toy_values):
    toy_values |= {"prune_ratios": [0.5, 0.9], "seeds": [0, 1, 2]}
    keys = run_keys(parse_config(toy_values, "my.yaml"))
    assert len(keys) == (1 + 2) * 3
    assert [key.path for key in keys[:4]] == [
        "toy/stid/full/p0/s0",
        "toy/stid/full/p0/s1",
        "toy/stid/full/p0/s2",
        "toy/stid/st_prune/p0.5/s0",
    ]


@given(ratio=st.floats(0, 1, exclude_max=True, allow_nan=False))
def test_a_ratio_that_is_accepted_can_be_read_back_from_its_path(ratio):
    entries = {"datasets": {"los_loop": None}, "backbones": {"stid": None}, "pruners": {"full": {}}}
    values = {"experiment": "x", **entries, "prune_ratios": [ratio], "seeds": [0]}
    try:
        validate(ExperimentConfig, values, "my.yaml")
    except ConfigError:
        return
    assert float(format_ratio(ratio)) == ratio


def test_a_run_that_cannot_be_is_a_users_mistake(toy_config):
    known = RunKey("toy", "stid", "st_prune", 0.5, 0)
    names: list[dict[str, Any]] = [{name: "nope"} for name in ("dataset", "backbone", "pruner")]
    numbers: list[dict[str, Any]] = [{"prune_ratio": ratio} for ratio in (1.0, float("nan"))]
    numbers += [{"pruner": "full"}, {"seed": -1}, {"seed": 2**32}]
    for change in names + numbers:
        with pytest.raises(ConfigError):
            run_spec(toy_config, known._replace(**change))


def test_the_fingerprint_follows_what_decides_the_result(toy_values):
    def fingerprint(values: dict[str, Any]) -> str:
        config = parse_config(values, "my.yaml")
        return run_spec(config, RunKey("toy", "stid", "st_prune", 0.5, 0)).fingerprint

    base = fingerprint(toy_values)
    cases: list[tuple[str, Any, bool]] = [
        ("training.epochs", 5, False),
        ("pruners.st_prune", {"options": {"strata": 3}}, False),
        ("backbones.stid.optimisation.learning_rate", 0.1, False),
        ("datasets.toy", {"days": 10}, False),
        ("datasets.toy", {"task": "impute"}, False),
        ("datasets.toy", {"task": "impute", "task_options": {"points": 0.5}}, False),
        ("datasets.toy", {"task": "few_shot"}, False),
        ("protocol", "strict", False),
        # A default that is spelt out, cores, jobs and tracking decide nothing.
        ("pruners.st_prune", {"options": {"strata": 10}}, True),
        ("compute.own_cores", True, True),
        ("compute.runs_per_job", 2, True),
        ("compute.runs_per_gpu", 2, True),
        ("tracking.mode", "offline", True),
        ("experiment", "other", True),
    ]
    prints = [fingerprint(changed(toy_values, place, value)) for place, value, _ in cases]
    assert [one == base for one in prints] == [same for *_, same in cases]
    assert len(set(prints)) == 9


def test_a_device_of_the_machines_choice_is_part_of_the_fingerprint(toy_values, monkeypatch):
    monkeypatch.setattr("torch.backends.cuda.is_built", lambda: True)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    prints = set()
    for gpus, device in (([], "cpu"), (["GPU-a"], "cuda")):
        monkeypatch.setattr("stprune.config.experiment.visible_gpus", lambda gpus=gpus: gpus)
        config = parse_config(toy_values | {"compute": {"accelerator": "auto"}}, "auto")
        assert config.compute.accelerator == device
        prints.add(run_spec(config, RunKey("toy", "stid", "full", 0.0, 0)).fingerprint)
    assert len(prints) == 2
