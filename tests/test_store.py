"""The store holds all that results need; a copy of it is the experiment."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from synthetic_kept import write_archives
from synthetic_records import write_experiment

from stprune.__main__ import main
from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, kept_experiments, store_config, store_table
from stprune.config.experiment import ExperimentConfig, load_config
from stprune.records.run import read_record
from stprune.records.store import TEXTS, read_store
from stprune.results.summarise import summarise
from stprune.results.summary import load_results

SHOWN = ("random_dynamic", "infobatch", "st_prune", "el2n")


def configuration(root: Path, **changes: Any) -> ExperimentConfig:
    """Of the experiment that `write_experiment` makes of ``SHOWN``, written where it lies."""
    values = {
        "experiment": "made_up",
        "datasets": {"synthetic_roads": {"dataset": "sim_freeway"}},
        "backbones": {"stid": None},
        "pruners": dict.fromkeys(("full", *SHOWN)),
        "prune_ratios": [0.5, 0.9],
        "seeds": [0, 1],
        "mirror": "/a/machine",
    }
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return load_config(path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    layout = write_experiment(tmp_path_factory.mktemp("results") / "made_up", pruners=SHOWN)
    write_archives(layout)
    values = configuration(layout.root).model_dump(mode="json")
    summarise(sorted(layout.root.glob("runs/**/metrics.json")), layout, values)
    return layout


def _copy(layout: ExperimentLayout, records: Path) -> Path:
    return Path(shutil.copytree(layout.store, records / "made_up"))


def test_a_copy_is_the_experiment(written, tmp_path):
    fresh, kept = load_results(written.store), load_results(_copy(written, tmp_path))
    assert kept_experiments(tmp_path) == ["made_up"]
    for name in ("summary", "epochs", "aggregate"):
        pd.testing.assert_frame_equal(getattr(kept, name), getattr(fresh, name), check_exact=True)
    for table, other in zip(kept.kept, fresh.kept, strict=True):
        assert len(table)
        pd.testing.assert_frame_equal(table, other, check_exact=True)
    assert list(kept.records.values()) == list(fresh.records.values())
    assert kept.configuration == fresh.configuration
    # No path of this machine is kept.
    values = yaml.safe_load(store_config(written.store).read_text())
    assert set(values["pruners"]) == {"full", *SHOWN}
    assert {"mirror", "data_directory", "results_directory"}.isdisjoint(values)


def test_an_experiment_may_be_kept_in_parts(written, tmp_path):
    whole = load_results(written.store)
    for number, seed in enumerate(sorted(set(whole.summary["seed"]))):
        keys = [key for key in whole.records if key.seed == seed]
        part = ExperimentLayout(tmp_path / f"run_{number}")
        shutil.copytree(written.root / "runs", part.root / "runs")
        summarise([part.metrics(key) for key in keys], part)
        shutil.copytree(part.store, tmp_path / "records" / "made_up" / f"part_{number}")
    assert kept_experiments(tmp_path / "records") == ["made_up"]
    parts = load_results(tmp_path / "records" / "made_up")
    assert dict(parts.records) == dict(whole.records)
    pd.testing.assert_frame_equal(
        parts.aggregate[["test_mae", "test_mae_sd"]], whole.aggregate[["test_mae", "test_mae_sd"]]
    )
    (tmp_path / "records" / "made_up" / "again").symlink_to("part_0")
    with pytest.raises(RecordError, match="twice"):
        load_results(tmp_path / "records" / "made_up")


def test_the_store_has_every_record_and_every_number(written):
    results = load_results(written.store)
    for key, record in results.records.items():
        assert record == read_record(written.metrics(key))
    for_people = pd.read_csv(written.summary, dtype=dict.fromkeys(TEXTS, "str"))
    pd.testing.assert_frame_equal(for_people, results.summary, check_exact=True)


def test_the_same_records_are_the_same_bytes(written, tmp_path):
    other = ExperimentLayout(Path(shutil.copytree(written.root, tmp_path / "made_up")))
    files = sorted(other.root.glob("runs/**/metrics.json"), reverse=True)
    summarise(files, other, configuration(other.root).model_dump(mode="json"))
    for path in written.store.iterdir():
        assert (other.store / path.name).read_bytes() == path.read_bytes()
    assert other.summary.read_bytes() == written.summary.read_bytes()


def test_an_experiment_that_is_not_complete_is_refused(tmp_path):
    layout = write_experiment(tmp_path / "made_up", pruners=SHOWN, seeds=(0, 1, 2))
    configuration(layout.root, seeds=[0, 1, 2], results_directory=str(tmp_path))
    next(layout.root.glob("runs/*/*/el2n/*/s1/metrics.json")).unlink()
    assert main(["summarise", "--config", str(layout.config)]) == 1


def test_damage_is_named(written, tmp_path):
    store = _copy(written, tmp_path)
    overlaps, deciles = store_table(store, "overlaps"), store_table(store, "deciles")
    overlaps.write_bytes(overlaps.read_bytes()[:-9])
    store_table(store, "records").write_bytes(store_table(store, "epochs").read_bytes())
    plain = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pq.read_table(deciles), deciles, **plain)
    deciles.write_bytes(deciles.read_bytes().replace(b"st_prune", b"st\x86prune"))
    store_table(store, "calendars").unlink()
    for name in ("overlaps", "records", "deciles", "calendars"):
        with pytest.raises(RecordError, match=f"{name}.parquet"):
            read_store(store, name)
    results = load_results(store)
    with pytest.raises(RecordError, match=r"records\.parquet"):
        _ = results.records
