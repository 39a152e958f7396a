"""Made-up data of the size that a run would see: a few windows, but all nodes and channels.

For measuring what a training step costs before anything is fetched. Values are noise, and the graph
is a ring with a few chords, so nothing learnt on it means anything.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch

from stprune.base.layout import DataLayout
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.grid import RunSpec
from stprune.data.canonical import CanonicalDataset
from stprune.data.card import DatasetCard, load_card
from stprune.data.dataset import ForecastData, RunData, alone, forecast_data, unite
from stprune.data.tasks.base import build_task

# Edges from each node; road graphs have 2 to 4, LargeST's more.
LINKS = 4
# Of the windows: enough of the other two splits that none is empty.
SPLITS = (0.4, 0.3, 0.3)


def made_up_run_data(
    spec: RunSpec, layout: DataLayout, windows: int, device: torch.device
) -> RunData:
    """What `open_run_data` would give, from noise.

    Args:
        spec: The run.
        layout: Where cards of the user's own lie.
        windows: Training windows of each data set.
        device: Where the series shall live.
    """
    subset = spec.subset
    if not subset.union:
        card = load_card(spec.dataset, layout.root)
        return alone(_made_up(spec, card, subset, windows, device, target_only=False))

    def opened(members: list[MemberEntry]) -> dict[str, ForecastData]:
        return {
            m.dataset: _made_up(spec, load_card(m.dataset, layout.root), m, windows, device, True)
            for m in members
        }

    return unite(opened(subset.union), opened(subset.zero_shot), subset.task == "transfer")


def nodes_of(card: DatasetCard, part: DatasetEntry | MemberEntry) -> int:
    """N of a run on this part of the data set."""
    return -(-card.nodes // part.node_stride)


def _made_up(
    spec: RunSpec,
    card: DatasetCard,
    part: DatasetEntry | MemberEntry,
    windows: int,
    device: torch.device,
    target_only: bool,
) -> ForecastData:
    # A few-shot run forecasts; that it has few windows is no matter here.
    name = "forecast" if spec.subset.task == "few_shot" else spec.subset.task
    task = build_task(name, spec.subset.task_options if name == spec.subset.task else {})
    history, horizon = spec.training.history, spec.training.horizon
    length = task.window_length(history, horizon)
    steps = math.ceil(windows / SPLITS[0]) + length - 1
    if spec.protocol == "strict":
        steps += 3 * length  # windows across a cut are lost
    return forecast_data(
        _canonical(card, nodes_of(card, part), steps),
        history=history,
        horizon=horizon,
        target_only=target_only,
        task=task,
        protocol=spec.protocol,
        device=device,
    )


def _canonical(card: DatasetCard, nodes: int, steps: int) -> CanonicalDataset:
    """(steps, nodes, C) of noise around 10, with a mask where the card has one."""
    rng = np.random.default_rng(0)
    shape = (steps, nodes, len(card.channels))
    series = rng.standard_normal(shape, dtype=np.float32) + 10
    mask = np.ones(shape, dtype=bool)
    if card.mask_policy != "none":
        mask &= rng.random(shape, dtype=np.float32) > 0.05
    adjacency = np.zeros((nodes, nodes), dtype=np.float32)
    everyone = np.arange(nodes)
    adjacency[everyone, (everyone + 1) % nodes] = 1.0
    for _ in range(LINKS - 1):
        adjacency[everyone, rng.permutation(nodes)] = 1.0
    np.fill_diagonal(adjacency, 0.0)
    start = np.datetime64(card.start.replace(tzinfo=None), "s")
    values = card.model_dump() | {"nodes": nodes, "steps": steps, "splits": SPLITS}
    return CanonicalDataset(
        card=DatasetCard.model_validate(values | {"breaks": "none"}),
        series=series,
        mask=mask,
        timestamps=start + np.arange(steps) * np.timedelta64(60 * card.step_minutes, "s"),
        adjacency=adjacency,
        node_ids=[str(node) for node in everyone],
        events=pd.DataFrame(),
        checksum="made up",
    )
