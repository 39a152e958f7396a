"""PeMS, METR-LA and PEMS-BAY from their files, made up as published, to a prepared data set."""

from __future__ import annotations

from pathlib import Path

import fabricated_pems
import numpy as np
import pytest
import yaml

from stprune.base.layout import DataLayout
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.card import DatasetCard, load_card
from stprune.data.prepare import prepare


def prepared(dataset: str, folder: Path) -> tuple[DatasetCard, CanonicalDataset]:
    """Fetch from a mirror that holds made-up files, check hashes, load and write."""
    card = fabricated_pems.fabricate(dataset, folder / "mirror")
    (folder / "data").mkdir()
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False)
    (folder / "data" / f"{dataset}.yaml").write_text(text)
    layout = DataLayout(folder / "data")
    prepare(dataset, layout, str(folder / "mirror"), cards=folder / "data")
    return card, read_canonical(layout.processed(dataset))


@pytest.mark.parametrize("dataset", fabricated_pems.DATASETS)
@pytest.mark.parametrize("real_graph", [True, False])
def test_every_data_set_prepares_from_files_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, real_graph: bool
) -> None:
    if not real_graph:
        monkeypatch.delenv("STPRUNE_MIRROR", raising=False)
    card, data = prepared(dataset, tmp_path)
    assert data.series.shape == (card.steps, card.nodes, len(card.channels))
    graph = data.adjacency
    assert graph.any()
    assert (np.diag(graph) == 0).all()
    assert ((graph >= 0) & (graph <= 1)).all()
    # METR-LA lacks an hour and a reading; PEMS-BAY a reading, and an hour of every sensor.
    missing = np.prod(data.series.shape) - np.broadcast_to(data.mask, data.series.shape).sum()
    assert missing == {"metr_la": 13, "pems_bay": 1 + 12 * card.nodes}.get(dataset, 0)


def test_times_after_the_skipped_hour_are_those_of_the_clock(tmp_path: Path) -> None:
    card, data = prepared("pems_bay", tmp_path)
    unobserved = ~data.mask[:, :, 0].any(axis=1)
    assert data.timestamps[unobserved][[0, -1]].astype(str).tolist() == [
        "2017-03-12T02:00:00",
        "2017-03-12T02:55:00",
    ]
    assert str(data.timestamps[-1]) == "2017-03-12T23:55:00"
    assert card.start.isoformat() == fabricated_pems.BAY_START


def test_the_shipped_sizes_are_whole_days() -> None:
    """Each published series ends with a day, which says that no step is lost on the way."""
    for dataset in fabricated_pems.DATASETS:
        card = load_card(dataset)
        assert card.steps % card.steps_per_day == 0, dataset
