"""Configurations: every mistake is one line that says where it is and what would be right."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stprune.base.errors import ConfigError
from stprune.base.layout import RunKey, format_ratio
from stprune.config.experiment import ExperimentConfig, load_config, parse_config
from stprune.config.grid import run_keys, run_spec

REPOSITORY = Path(__file__).resolve().parents[1]
SHIPPED = sorted((REPOSITORY / "config").glob("*.yaml"))


def message_of(values: Any) -> str:
    """The one line that refuses ``values``."""
    with pytest.raises(ConfigError) as caught:
        parse_config(values, "my.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(("my.yaml", "unknown")), message
    assert "my.yaml" in message
    return message


def changed(values: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy of ``values`` with ``value`` at the dotted ``place``."""
    result = copy.deepcopy(values)
    *parents, last = place.split(".")
    current = result
    for parent in parents:
        if current.get(parent) is None:
            current[parent] = {}
        current = current[parent]
    current[last] = value
    return result


@pytest.mark.parametrize(
    ("place", "meant"),
    [
        ("prune_ratio", "prune_ratios"),
        ("training.epoch", "epochs"),
        ("datasets.toy.node_strid", "node_stride"),
        ("backbones.stid.option", "options"),
        ("backbones.stid.options.layer", "layers"),
        ("backbones.stid.optimisation.learning_rat", "learning_rate"),
        ("pruners.st_prune.optons", "options"),
        ("pruners.st_prune.options.hard_shares", "hard_share"),
    ],
)
def test_an_unknown_key_is_named_and_the_nearest_suggested(
    toy_values: dict[str, Any], place: str, meant: str
) -> None:
    message = message_of(changed(toy_values, place, 1))
    parent, _, key = place.rpartition(".")
    assert f"unknown key `{key}`" in message
    assert f"did you mean `{meant}`?" in message
    assert parent.rpartition(".")[2] in message


@pytest.mark.parametrize(
    ("place", "name", "meant"),
    [
        ("datasets.toi", None, "toy"),
        ("backbones.stidd", None, "stid"),
        ("backbones.mine", {"backbone": "gwnett"}, "gwnet"),
        ("pruners.infobatsch", None, "infobatch"),
        ("pruners.mine", {"pruner": "st-prune"}, "st_prune"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(
    toy_values: dict[str, Any], place: str, name: Any, meant: str
) -> None:
    message = message_of(changed(toy_values, place, name))
    assert f"did you mean `{meant}`?" in message
    assert place.partition(".")[0] in message


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("training.epochs", "many"),
        ("training.epochs", 0),
        ("training.epochs", True),
        ("training.batch_size", None),
        ("compute.precision", "8"),
        ("compute.own_cores", "perhaps"),
        ("seeds", 0),
        ("seeds", []),
        ("seeds", [2**32]),
        ("seeds", [0, 0]),
        ("seeds", [True]),
        ("prune_ratios", [1.0]),
        ("prune_ratios", [90]),
        ("prune_ratios", [float("nan")]),
        ("prune_ratios", [0.5, 0.5]),
        ("prune_ratios", [0.12345678]),
        ("datasets", {}),
        ("datasets", ["toy"]),
        ("datasets.toy", {"node_stride": 0}),
        ("backbones.stid", {"options": {"dropout": 1.5}}),
        ("backbones.stid", {"optimisation": {"optimiser": "adamm"}}),
        ("pruners.st_prune", {"options": {"hard_share": 2}}),
        ("experiment", "a/b"),
        ("experiment", "new\nline"),
        ("data_directory", 3),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(
    toy_values: dict[str, Any], place: str, value: Any
) -> None:
    assert place.rpartition(".")[2] in message_of(changed(toy_values, place, value))


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "two words", "x\n", "../up"])
@pytest.mark.parametrize("kind", ["datasets", "backbones", "pruners"])
def test_entry_names_make_safe_paths(toy_values: dict[str, Any], kind: str, name: str) -> None:
    known = {
        "datasets": {"dataset": "toy"},
        "backbones": {"backbone": "stid"},
        "pruners": {"pruner": "full"},
    }
    message_of(changed(toy_values, kind, {name: known[kind]}))


@pytest.mark.parametrize("missing", ["experiment", "datasets", "pruners", "prune_ratios", "seeds"])
def test_a_missing_key_is_named(toy_values: dict[str, Any], missing: str) -> None:
    del toy_values[missing]
    assert f"`{missing}`" in message_of(toy_values)


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(values: Any) -> None:
    assert "mapping" in message_of(values)


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,\nb: }")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.yaml", broken, binary, tmp_path):
        with pytest.raises(ConfigError, match=str(path)) as caught:
            load_config(path)
        assert "\n" not in str(caught.value)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"!!python/object/apply:os.mkdir ['{tmp_path / 'trace'}']")
    with pytest.raises(ConfigError):
        load_config(path)
    assert not (tmp_path / "trace").exists()


def test_scientific_notation_is_a_number(toy_values: dict[str, Any]) -> None:
    """YAML reads `1e-3` as text; a learning rate is often written so."""
    rate = yaml.safe_load("1e-3")
    assert isinstance(rate, str)
    values = changed(toy_values, "backbones.stid.optimisation.learning_rate", rate)
    config = parse_config(values, "my.yaml")
    assert run_spec(config, run_keys(config)[0]).optimisation.learning_rate == 1e-3


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(path: Path) -> None:
    config = load_config(path)
    keys = run_keys(config)
    assert len({key.path for key in keys}) == len(keys) > 0
    for key in keys:
        run_spec(config, key)


def test_runs_are_the_product_and_full_is_run_once_a_seed(toy_values: dict[str, Any]) -> None:
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
def test_a_ratio_that_is_accepted_can_be_read_back_from_its_path(ratio: float) -> None:
    values = {
        "experiment": "x",
        "datasets": {"los_loop": None},
        "backbones": {"stid": None},
        "pruners": {"random_static": None},
        "prune_ratios": [ratio],
        "seeds": [0],
    }
    try:
        parse_config(values, "my.yaml")
    except ConfigError:
        return
    assert float(format_ratio(ratio)) == ratio


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (RunKey("nope", "stid", "full", 0, 0), "unknown data set entry"),
        (RunKey("toy", "nope", "full", 0, 0), "unknown backbone entry"),
        (RunKey("toy", "stid", "nope", 0, 0), "unknown pruner entry"),
        (RunKey("toy", "stid", "full", 0.5, 0), "no prune ratio"),
        (RunKey("toy", "stid", "st_prune", float("nan"), 0), r"in \[0, 1\)"),
        (RunKey("toy", "stid", "st_prune", 0.5, 2**32), "seed"),
    ],
)
def test_a_run_that_cannot_be_is_a_users_mistake(
    toy_config: ExperimentConfig, key: RunKey, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run_spec(toy_config, key)


def test_the_fingerprint_follows_what_decides_the_result(toy_values: dict[str, Any]) -> None:
    def fingerprint(values: dict[str, Any]) -> str:
        config = parse_config(values, "my.yaml")
        return run_spec(config, RunKey("toy", "stid", "st_prune", 0.5, 0)).fingerprint

    base = fingerprint(toy_values)
    deciding: list[tuple[str, Any]] = [
        ("training.epochs", 5),
        ("pruners.st_prune", {"options": {"strata": 3}}),
        ("backbones.stid.optimisation.learning_rate", 0.1),
        ("datasets.toy", {"days": 10}),
    ]
    for place, value in deciding:
        assert fingerprint(changed(toy_values, place, value)) != base
    # A default that is spelt out, cores and tracking decide nothing.
    idle: list[tuple[str, Any]] = [
        ("pruners.st_prune", {"options": {"strata": 10}}),
        ("compute.own_cores", True),
        ("tracking.mode", "offline"),
        ("experiment", "other"),
    ]
    for place, value in idle:
        assert fingerprint(changed(toy_values, place, value)) == base
