"""Compact records hold all that results need, and give the same results to the last bit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from compact_experiment import SHOWN, configuration
from synthetic_kept import write_archives
from synthetic_records import PRUNERS, write_experiment

from stprune.__main__ import main
from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.config.experiment import load_config
from stprune.records.compact import compact
from stprune.records.compact_layout import CompactLayout, compact_experiments
from stprune.results.summary import load_results


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    layout = write_experiment(tmp_path_factory.mktemp("experiment"), pruners=SHOWN)
    write_archives(layout)
    configuration(layout.root)
    return layout


@pytest.fixture(scope="module")
def records(written: ExperimentLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    compact(written, load_config(written.config), folder)
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_results_are_the_same_to_the_last_bit(written: ExperimentLayout, records: Path) -> None:
    runs, few = load_results(written), load_results(ExperimentLayout(records / "made_up"))
    for name in ("summary", "epochs", "aggregate", "horizons"):
        pd.testing.assert_frame_equal(
            getattr(few, name), getattr(runs, name), check_exact=True, obj=name
        )
    for table, other in zip(few.kept, runs.kept, strict=True):
        assert len(table)
        pd.testing.assert_frame_equal(table, other, check_exact=True)
    assert few.environments == runs.environments
    assert list(few.records) == list(runs.records)
    assert dict(few.records) == dict(runs.records)
    assert (records / "made_up" / "summary.csv").read_bytes() == written.summary.read_bytes()


def test_the_same_records_are_the_same_bytes(
    written: ExperimentLayout, records: Path, tmp_path: Path
) -> None:
    compact(written, load_config(written.config), tmp_path)
    assert _files(tmp_path / "made_up") == _files(records / "made_up")
    assert compact_experiments(tmp_path) == ["made_up"]


def test_no_path_of_the_machine_is_kept(written: ExperimentLayout, records: Path) -> None:
    text = (records / "made_up" / "config.yaml").read_text(encoding="utf-8")
    assert "machine" not in text
    assert load_config(records / "made_up" / "config.yaml").pruners.keys() == {"full", *SHOWN}


def test_a_grid_that_is_not_complete_is_refused_unless_whole_seeds_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = write_experiment(tmp_path / "experiment", pruners=SHOWN, seeds=(0, 1, 2))
    config = configuration(layout.root, seeds=[0, 1, 2])
    layout.metrics(RunKey("synthetic_roads", "stid", "el2n", 0.9, 1)).unlink()
    with pytest.raises(RecordError, match=r"lacks the records of 1 of 27 runs, such as .*/s1;"):
        compact(layout, config, tmp_path / "records")
    assert not (tmp_path / "records").exists()
    command = ["compact", str(layout.root), "--into", str(tmp_path / "records"), "--partial"]
    assert main(command) == 0
    assert "18 runs" in capsys.readouterr().out
    results = load_results(ExperimentLayout(tmp_path / "records" / "made_up"))
    assert sorted(set(results.summary["seed"])) == [0, 2]
    assert results.configuration is not None
    assert yaml.safe_load(results.configuration)["seeds"] == [0, 2]


def test_no_whole_seed_is_no_compact_record(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path / "experiment", pruners=PRUNERS[:1], seeds=(0,))
    with pytest.raises(RecordError, match="has no seed with the records of all its runs"):
        compact(layout, configuration(layout.root), tmp_path / "records", partial=True)


def test_damage_is_named(records: Path, tmp_path: Path) -> None:
    root = tmp_path / "made_up"
    root.mkdir()
    for name, content in _files(records / "made_up").items():
        (root / name).write_bytes(content)
    compacted = CompactLayout(root)
    compacted.overlaps.write_bytes(compacted.overlaps.read_bytes()[:-9])
    compacted.records.write_bytes(compacted.epochs.read_bytes())
    results = load_results(ExperimentLayout(root))
    with pytest.raises(RecordError, match=r"kept_overlaps.parquet is not a readable Parquet file"):
        _ = results.kept
    with pytest.raises(RecordError, match=r"records.parquet lacks the columns \['record'\]"):
        _ = results.horizons
    plain = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pq.read_table(compacted.deciles), compacted.deciles, **plain)
    wrong = compacted.deciles.read_bytes().replace(b"st_prune", b"st\x86prune")
    compacted.deciles.write_bytes(wrong)
    compacted.overlaps.write_bytes(_files(records / "made_up")[compacted.overlaps.name])
    with pytest.raises(RecordError, match=r"score_deciles.parquet is not a readable .* UTF8"):
        _ = load_results(ExperimentLayout(root)).kept
    compacted.epochs.unlink()
    with pytest.raises(RecordError, match=r"there is no .*epochs.parquet"):
        load_results(ExperimentLayout(root))
