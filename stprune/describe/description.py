"""Makes, writes and reads what is said about a data set, as tables and key numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import ConfigError, DataError, UnknownNameError
from stprune.base.files import write_json, write_text
from stprune.base.text import read_json_file
from stprune.data.canonical import CanonicalDataset, release, step_blocks
from stprune.data.prepare import source
from stprune.describe import statistics

FACTS = "description.json"
# How many are drawn at most, to be compared with each other.
NODES, DAYS, WINDOWS = 256, 128, 512
# Enough for every use, and the same text on machines that round the last bits differently.
DIGITS = "%.6g"


@dataclass(frozen=True)
class Description:
    """One channel of a data set described."""

    facts: dict[str, Any]  # what was looked at, and key numbers: None for what is not defined
    tables: dict[str, pd.DataFrame]  # by the name of the csv file, without the suffix

    @property
    def title(self) -> str:
        """The data set's."""
        return str(self.facts["card"]["title"])


def describe(
    name: str,
    dataset: CanonicalDataset,
    history: int = 12,
    horizon: int = 12,
    channel: str | None = None,
) -> Description:
    """Every statistic of one channel of a data set.

    Means and missing rates of nodes are those of the whole series. All else is of a sample of
    nodes (all of them in a small data set), days and training windows, which the facts state.
    """
    # Imported late: what reads and draws descriptions needs no torch.
    from stprune.data.windows import window_starts
    from stprune.describe import redundancy

    card = dataset.card
    names = card.channel_names
    if channel is not None and channel not in names:
        raise UnknownNameError("channel", channel, names, card.title)
    number = card.target_channel if channel is None else names.index(channel)
    quantity = card.channels[number]
    length = history + horizon
    starts = window_starts(dataset.timestamps, length, card.step_minutes)
    if not len(starts):
        raise ConfigError(f"{card.title}: none of its {card.steps} steps begins {length} in a row")
    sizes = size_facts(dataset, starts, length)
    starts = starts[: sizes["train_windows"]]
    rng = np.random.default_rng(0)
    sample = statistics.draw_sample(dataset, number, NODES, rng)
    count = len(sample.nodes)
    if not np.isfinite(sample.values).any():
        raise DataError(f"{card.title}: none of {count} nodes has a value of `{quantity.name}`")
    scaled = statistics.standardised(sample)
    most = min(DAYS, max(2, statistics.SAMPLE_VALUES // (sample.steps_per_day * count)))
    days, dates = statistics.day_rows(scaled, most, rng)
    most = min(WINDOWS, max(2, statistics.SAMPLE_VALUES // (length * count)))
    chosen = np.sort(rng.choice(len(starts), min(len(starts), most), replace=False))
    nodes = np.ascontiguousarray(scaled.values.T)
    rows = {
        "nodes": nodes,
        "days": days,
        "windows": statistics.window_rows(scaled, starts[chosen], length),
    }
    similarity = [
        redundancy.node_similarity(nodes, sample.adjacency),
        redundancy.day_similarity(days, dates),
        redundancy.window_similarity(scaled, starts, length, chosen),
    ]
    spectra = [redundancy.spectrum(of, part) for of, part in rows.items()]
    tables = {
        "similarity": pd.concat(similarity, ignore_index=True),
        "spectrum": pd.concat(spectra, ignore_index=True),
        "effective_rank": redundancy.rank_table(pd.concat(spectra)),
        "by_node": statistics.moments_by_node(dataset, number),
        "by_slot": statistics.moments_by_slot(sample),
        "autocorrelation": statistics.autocorrelation_table(sample),
        **redundancy.stationarity_tables(sample, starts, history, horizon),
        "overlap": redundancy.window_overlap(starts, length),
        "excerpt": statistics.excerpt(sample),
    }
    facts = {
        "dataset": name,
        "checksum": dataset.checksum,
        "quantity": quantity.name,
        "unit": quantity.unit,
        "options": {"history": history, "horizon": horizon, "channel": channel},
        "card": sizes,
        "looked_at": {
            "nodes_of": card.nodes,
            "steps": len(sample.values),
            **{of: len(part) for of, part in rows.items()},
            "training_windows": len(starts),
        },
        "key_numbers": _key_numbers(tables, sample.steps_per_day),
    }
    return Description(facts, tables)


def size_facts(dataset: CanonicalDataset, starts: NDArray[np.int64], length: int) -> dict[str, Any]:
    """What a table of data sets says of one; `edges` counts each direction, without loops."""
    from stprune.data.windows import cut_splits

    card, graph, edges = dataset.card, dataset.adjacency, 0
    for rows in step_blocks(graph.shape):
        edges += int(np.count_nonzero(graph[rows]))
        release(graph)
    splits = cut_splits("paper", starts, length, card.steps, card.splits)
    return {
        "title": card.title,
        "nodes": card.nodes,
        "steps": card.steps,
        "step_minutes": card.step_minutes,
        "first": str(dataset.timestamps[0].astype("datetime64[m]")),
        "last": str(dataset.timestamps[-1].astype("datetime64[m]")),
        "breaks": card.breaks,
        "train_windows": len(splits.train),
        "validation_windows": len(splits.validation),
        "test_windows": len(splits.test),
        "edges": edges - int(np.count_nonzero(np.diagonal(graph))),
        "licence": card.licence,
        "source": source(card),
        "citation": card.citation,
    }


def _key_numbers(tables: dict[str, pd.DataFrame], day: int) -> dict[str, float | None]:
    """One number for each statistic; None for what is not defined; ``day`` in steps."""
    numbers: dict[str, float] = {}
    similarity = tables["similarity"]
    middle = similarity[similarity["percentile"] == 50]
    for of, pairs, value in middle[["of", "pairs", "correlation"]].itertuples(index=False):
        numbers[f"median correlation of {of}, {pairs}"] = value
    for of, rank, most, _ in tables["effective_rank"].itertuples(index=False):
        numbers[f"effective rank of {of}"] = rank
        numbers[f"effective rank of {of}, largest possible"] = most
    memory = tables["autocorrelation"].set_index("lag")["mean"]
    for words, lag in {"a step": 1, "a day": day, "a week": 7 * day}.items():
        numbers[f"autocorrelation after {words}"] = memory.get(lag, float("nan"))
    for measure, row in tables["stationarity_tail"].set_index("measure").iterrows():
        numbers[f"gini of {measure}"] = row["gini"]
        numbers[f"share of the top tenth of {measure}"] = row["share_of_top_tenth"]
    numbers["overlap of neighbouring windows"] = tables["overlap"]["overlap"].iloc[0]
    numbers["windows that a step is in"] = tables["overlap"]["times_seen"].iloc[0]
    numbers["missing rate"] = tables["by_node"]["missing_rate"].mean()
    return {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}


def write_description(description: Description, directory: Path) -> None:
    """Write each table as ``<name>.csv``, ``description.json`` last."""
    for name, table in description.tables.items():
        text = table.to_csv(index=False, float_format=DIGITS, lineterminator="\n")
        write_text(directory / f"{name}.csv", text)
    write_json(directory / FACTS, description.facts)


def read_description(directory: Path) -> Description:
    """What :func:`write_description` wrote; a DataError if there is none, or it is damaged."""
    path = directory / FACTS
    if not path.is_file():
        raise DataError(f"{path} is not there; run `stprune data describe {directory.name}`")
    # Ids of nodes are names, also where they look like numbers.
    ids = {"node": str}
    try:
        facts = read_json_file(path)
        tables = {one.stem: pd.read_csv(one, dtype=ids) for one in sorted(directory.glob("*.csv"))}
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} or a table beside it is damaged: {reason}") from None
    needed = {"dataset", "quantity", "unit", "card", "looked_at", "key_numbers"}
    if not isinstance(facts, dict) or needed - facts.keys():
        raise DataError(f"{path} is no description of this version; describe again")
    return Description(facts, tables)


def read_descriptions(directory: Path) -> list[Description]:
    """Those in the folders of ``directory``, by data set id; a DataError if there is none."""
    folders = sorted(path.parent for path in directory.glob(f"*/{FACTS}"))
    if not folders:
        raise DataError(f"nothing is described in {directory}; run `stprune data describe ID`")
    return [read_description(folder) for folder in folders]
