"""All that is said about a data set, as tables and one file of key numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel
from stprune.data.canonical import CanonicalDataset
from stprune.describe.arrangement import (
    day_rows,
    node_rows,
    standardised,
    training_starts,
    window_rows,
)
from stprune.describe.autocorrelation import autocorrelation_table
from stprune.describe.described import Description
from stprune.describe.missing import gap_lengths, missing_by_hour
from stprune.describe.moments import moments_by_node, moments_by_slot
from stprune.describe.overlap import window_overlap
from stprune.describe.overview import edge_table, excerpt, node_places, size_facts
from stprune.describe.redundancy import (
    day_similarity,
    node_similarity,
    rank_table,
    spectrum,
    window_similarity,
)
from stprune.describe.sample import SAMPLE_VALUES, Sample, channel_number, draw_sample
from stprune.describe.stationarity_tail import node_percentiles, stationarity_percentiles


class DescriptionOptions(StrictModel):
    """What is described, and how much of it is looked at."""

    history: int = Field(12, ge=1, description="Input steps of a window.")
    horizon: int = Field(12, ge=1, description="Target steps of a window.")
    channel: str | None = Field(None, description="Which quantity; the target by default.")
    nodes: int = Field(256, ge=1, description="Nodes drawn, at most.")
    days: int = Field(128, ge=1, description="Days compared with each other, at most.")
    windows: int = Field(512, ge=1, description="Windows compared with each other, at most.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")


def describe(name: str, dataset: CanonicalDataset, options: DescriptionOptions) -> Description:
    """Every statistic of one channel of a data set.

    Means and missing rates of nodes are those of the whole series. All else is of a sample of
    nodes (all of them in a small data set), days and training windows, which the facts state.

    Args:
        name: Id of the data set.
        dataset: The data set; it is never read as a whole.
        options: What is described.

    Raises:
        UnknownNameError: If there is no such channel.
        ConfigError: If the series is too short for the windows.
        DataError: If no value of the nodes drawn was observed.
    """
    channel = channel_number(dataset, options.channel)
    length = options.history + options.horizon
    starts = training_starts(dataset, length)
    rng = np.random.default_rng(options.seed)
    sample = draw_sample(dataset, channel, options.nodes, rng)
    if not sample.observed.any():
        raise DataError(
            f"{dataset.card.title}: none of the {len(sample.nodes)} nodes drawn has an observed"
            f" value of `{dataset.card.channels[channel].name}`; draw more, or by another seed"
        )
    tables, drawn = _redundancy(sample, starts, options, rng)
    lengths = {"history": options.history, "horizon": options.horizon}
    percentiles, tails = stationarity_percentiles(sample, starts, **lengths)
    at_nodes, node_tails = node_percentiles(sample, starts, **lengths)
    tables |= {
        "by_node": moments_by_node(dataset, channel),
        "by_slot": moments_by_slot(sample),
        "autocorrelation": autocorrelation_table(sample),
        "missing_by_hour": missing_by_hour(sample),
        "gaps": gap_lengths(sample),
        "stationarity": percentiles,
        "stationarity_tail": tails,
        "node_stationarity": at_nodes,
        "node_stationarity_tail": node_tails,
        "overlap": window_overlap(starts, length),
        "excerpt": excerpt(sample),
        "edges": edge_table(sample, dataset.node_ids),
        "places": node_places(sample, dataset.node_ids),
    }
    card = dataset.card
    facts = {
        "dataset": name,
        "checksum": dataset.checksum,
        "quantity": card.channels[channel].name,
        "unit": card.channels[channel].unit,
        "options": options.model_dump(mode="json"),
        "card": size_facts(dataset, length),
        "looked_at": {"nodes_of": card.nodes, "steps": len(sample.values), **drawn},
        "key_numbers": key_numbers(tables, sample),
    }
    return Description(
        card.title, card.channels[channel].name, card.channels[channel].unit, facts, tables
    )


def key_numbers(tables: dict[str, pd.DataFrame], sample: Sample) -> dict[str, float | None]:
    """One number for each statistic; None for what is not defined."""
    numbers: dict[str, float] = {}
    similarity = tables["similarity"]
    for (of, pairs), part in similarity.groupby(["of", "pairs"], sort=False):
        middle = part.loc[part["percentile"] == 50, "correlation"]
        numbers[f"median correlation of {of}, {pairs}"] = float(middle.iloc[0])
    for of, rank, most, _ in tables["effective_rank"].itertuples(index=False, name=None):
        numbers[f"effective rank of {of}"] = rank
        numbers[f"effective rank of {of}, largest possible"] = most
    memory = tables["autocorrelation"].set_index("lag")["mean"]
    day = sample.steps_per_day
    for words, lag in {"a step": 1, "a day": day, "a week": 7 * day}.items():
        numbers[f"autocorrelation after {words}"] = memory.get(lag, float("nan"))
    tails = tables["stationarity_tail"].set_index("measure")
    for measure, row in tails.iterrows():
        numbers[f"gini of {measure}"] = row["gini"]
        numbers[f"share of the top tenth of {measure}"] = row["share_of_top_tenth"]
    numbers["overlap of neighbouring windows"] = tables["overlap"]["overlap"].iloc[0]
    numbers["windows that a step is in"] = tables["overlap"]["times_seen"].iloc[0]
    numbers["missing rate"] = tables["by_node"]["missing_rate"].mean()
    return {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}


def _redundancy(
    sample: Sample,
    starts: np.ndarray[Any, np.dtype[np.int64]],
    options: DescriptionOptions,
    rng: np.random.Generator,
) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """Tables of similarity and effective rank, and how many of each were drawn."""
    length = options.history + options.horizon
    scaled = standardised(sample)
    nodes = node_rows(scaled)
    slots = sample.steps_per_day * len(sample.nodes)
    days, dates = day_rows(scaled, min(options.days, max(2, SAMPLE_VALUES // slots)), rng)
    most = min(options.windows, max(2, SAMPLE_VALUES // (length * len(sample.nodes))))
    chosen = np.sort(rng.choice(len(starts), min(len(starts), most), replace=False))
    similarity = [
        node_similarity(nodes, sample.adjacency),
        day_similarity(days, dates),
        window_similarity(scaled, starts, length, chosen),
    ]
    windows = window_rows(scaled, starts[chosen], length)
    named = {"nodes": nodes, "days": days, "windows": windows}
    spectra = pd.concat([spectrum(of, rows) for of, rows in named.items()], ignore_index=True)
    tables = {
        "similarity": pd.concat(similarity, ignore_index=True),
        "spectrum": spectra,
        "effective_rank": rank_table(spectra),
    }
    drawn = {of: len(rows) for of, rows in named.items()} | {"training_windows": len(starts)}
    return tables, drawn
