"""Where a run comes from, and that its record is enough to make it again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_runs import key_of
from toy_union import KEY, union_config, union_values, write_union

from stprune.backbones.base import BACKBONES
from stprune.base.errors import RecordError, StpruneError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout, run_spec
from stprune.pruning.base import PRUNERS
from stprune.records.run import read_record
from stprune.training import provenance
from stprune.training.rerun import Difference, config_of_record, rerun
from stprune.training.run import train

COMPONENT_FOLDERS = ("stprune/backbones", "baselines")


def names(files: list[Path]) -> set[str]:
    return {path.relative_to(provenance.REPOSITORY).as_posix() for path in files}


def test_a_run_depends_on_its_own_backbone_and_pruner_and_no_other():
    pairs = [("stid", pruner) for pruner in PRUNERS.ids()]
    for backbone, pruner in (*pairs, *((backbone, "full") for backbone in BACKBONES.ids())):
        found = names(provenance.run_sources(backbone, pruner))
        components = {name for name in found if name.rpartition("/")[0] in COMPONENT_FOLDERS}
        own = PRUNERS.path(pruner).relative_to(provenance.REPOSITORY).as_posix()
        expected = {own, "stprune/backbones/base.py", f"stprune/backbones/{backbone}.py"}
        if pruner == "full_fewer_epochs":  # full training, of which it has fewer epochs
            expected.add("baselines/full.py")
        assert components | {own} == expected
        assert ("stprune/pruning/st_prune.py" in found) == (pruner == "st_prune")


def test_a_run_depends_on_the_engine_and_not_on_what_comes_after():
    found = names(provenance.run_sources("stid", "st_prune"))
    training = ("training/engine", "training/evaluation", "pruning/batch_order")
    for part in (*training, "pruning/base", "data/windows"):
        assert f"stprune/{part}.py" in found
    # Only st_prune selects by complexity and strata.
    own = {f"stprune/pruning/{part}.py" for part in ("complexity", "selection", "dynamic")}
    assert own <= found
    assert not own & names(provenance.run_sources("stid", "full"))
    assert "stprune/cli.py" not in found
    rooms = ("paper", "tracking", "statistics", "results", "workflow")
    for room in rooms:
        assert (provenance.REPOSITORY / "stprune" / room).is_dir()
        assert not [name for name in found if name.startswith(f"stprune/{room}/")]
    # A data set depends on its own format.
    found = names(provenance.dataset_sources("wide_csv"))
    formats = {name for name in found if name.startswith("stprune/data/formats/")}
    assert formats == {"stprune/data/formats/base.py", "stprune/data/formats/wide_csv.py"}
    assert "stprune/training/engine.py" not in found


def test_the_digest_is_of_names_and_code(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)

    def digest(**contents: str) -> str:
        files = [tmp_path / f"{name}.py" for name in contents]
        for file in files:
            file.write_text(contents[file.stem])
        provenance._code_digest.cache_clear()
        assert provenance.source_digest(files[::-1]) == provenance.source_digest(files)
        return provenance.source_digest(files)

    documented = '"""One."""\n\n\ndef f(a):\n    """Double."""\n    return 2 * a\n'
    digests = [
        digest(one=documented),
        digest(one=documented.replace("2", "3")),
        digest(one="a = 1\n"),
        digest(one="a = 1\n", two="b = 2\n"),
        digest(one="b = 2\n", two="a = 1\n"),
        digest(renamed="a = 1\n"),
    ]
    assert len(set(digests)) == len(digests)
    # Comments, docstrings and layout do not count.
    other = '"""Uno."""\n# why\ndef f(a):\n    """Twice."""\n    return (2 * a)\n'
    assert digest(one=other) == digests[0]


def again(metrics: Path, data: Path, folder: Path) -> Difference:
    record = read_record(metrics)
    return rerun(metrics, record, config_of_record(record, str(metrics), data, folder))


@pytest.mark.parametrize("pruner", ["st_prune", "infobatch", "el2n"])
def test_a_record_is_enough(all_pruners, pruner, tmp_path):
    record = train(all_pruners, key_of(pruner), [])
    assert train(all_pruners, key_of(pruner, seed=1), []).test != record.test
    metrics = experiment_layout(all_pruners).metrics(key_of(pruner))
    torch.manual_seed(123)  # global state must not matter
    found = again(metrics, all_pruners.data_directory, tmp_path / "again")
    assert found.bit_equal
    assert (found.not_compared, found.circumstances) == ([], [])
    # Scores by four rules and by step ahead, and each of six epochs: not only a few.
    assert found.numbers > 200
    environment = provenance.environment()
    assert environment["versions"]["torch"].startswith("2.")
    assert environment["processor"]


def test_all_of_a_configuration_is_recorded(toy_values, tmp_path):
    """Names of one's own, options, part of the data, a task, another protocol and budget."""
    part = {"dataset": "toy", "node_stride": 2, "evaluation_stride": 2, "task": "impute"}
    toy_values["datasets"] = {"part": part | {"training": {"batch_size": 16}}}
    toy_values["backbones"] = {"tiny": toy_values["backbones"]["stid"] | {"backbone": "stid"}}
    toy_values["pruners"] = {"mine": {"pruner": "st_prune", "options": {"hard_share": 0.25}}}
    toy_values["training"] |= {"epochs": 2, "budget": "total_windows"}
    toy_values["protocol"] = "strict"
    key = RunKey("part", "tiny", "mine", 0.5, 0)
    config = parse_config(toy_values, "the toy configuration")
    train(config, key, [])
    found = again(experiment_layout(config).metrics(key), config.data_directory, tmp_path / "again")
    assert found.bit_equal
    assert not [change for change in found.circumstances if change.name == "fingerprint"]


def test_a_union_is_made_again_too(tmp_path):
    config = union_config(union_values(write_union(tmp_path / "data"), tmp_path / "results"))
    record = train(config, KEY, [])
    rebuilt = config_of_record(record, "it", config.data_directory, tmp_path / "again")
    assert run_spec(rebuilt, KEY).fingerprint == run_spec(config, KEY).fingerprint


def changed_record(config: ExperimentConfig, change: Callable[[Any], object]) -> Path:
    """The path of a run's record whose values were changed afterwards."""
    train(config, key_of("st_prune", 0.5), [])
    metrics = experiment_layout(config).metrics(key_of("st_prune", 0.5))
    values = json.loads(metrics.read_text())
    change(values)
    metrics.write_text(json.dumps(values))
    return metrics


def test_every_difference_is_named(toy_config, tmp_path):
    def change(values: Any) -> None:
        values["test"]["mae"] *= 1.25
        values["environment"]["versions"]["torch"] = "1.0.0"
        values["source_digest"] = "0" * 64
        del values["scores_by_rule"]["opencity"]  # as if by a version that did not know that rule

    metrics = changed_record(toy_config, change)
    metrics.with_name("kept.npz").unlink()
    found = again(metrics, toy_config.data_directory, tmp_path / "again")
    assert [change.name for change in found.results] == ["test.mae"]
    assert found.results[0].relative == pytest.approx(0.2)
    names = {change.name for change in found.circumstances}
    assert names == {"environment.versions.torch", "source_digest"}
    text = found.text()
    for name in ("test.mae", "scores_by_rule, kept", "environment.versions.torch"):
        assert name in text


def test_other_data_and_old_records_are_safe(toy_config, tmp_path):
    data = toy_config.data_directory
    metrics = changed_record(toy_config, lambda values: values["data"].update(checksum="f" * 64))
    with pytest.raises(RecordError, match="ffff"):
        again(metrics, data, tmp_path / "again")
    assert not list((tmp_path / "again").rglob("last.pt"))
    before = metrics.read_bytes()
    with pytest.raises(RecordError):
        again(metrics, data, toy_config.results_directory)
    assert metrics.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": {"name": "toy"}}, "'id'"),
        ({"pruner": {"name": "x", "id": "gone", "options": {}}}, "`gone`"),
    ],
)
def test_a_record_that_cannot_be_run_is_one_line(toy_config, tmp_path, change, said):
    record = train(toy_config, key_of("full"), [])
    record = record.model_copy(update={"config": record.config | change})
    with pytest.raises(StpruneError, match=said):
        config_of_record(record, "it", toy_config.data_directory, tmp_path / "again")
