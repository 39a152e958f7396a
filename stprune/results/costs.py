"""What runs cost by the timing of their data set and backbone.

Runs may share a machine, so their own clocks do not measure them. The cost of a run is the sum over
its own epochs (pruned or full, windows visited, validated or not) of what such an epoch takes by
the timing, and of the preparation.
"""

from collections.abc import Mapping

import pandas as pd

from stprune.records.store import KEYS
from stprune.records.timing import PARTS, EntryTiming, EpochParts, TimingRecord

CELL = KEYS[:-1]
SPENT = ["train_seconds", "validation_seconds", "checkpoint_seconds"]
Timings = Mapping[tuple[str, str], TimingRecord]


def timed_epochs(epochs: pd.DataFrame, timings: Timings) -> pd.DataFrame:
    """The epochs of runs, sorted by run, with their times as timed, NaN where that was not done.

    A pruned epoch takes what the timed one took, data, step and scoring in proportion to its
    windows. A full epoch of a run that prunes takes what one of full training takes, and a
    selection and the scoring of all windows on top. Where a run's own clock says that no checkpoint
    was written before an epoch, there is none. ``own_elapsed_seconds`` is what ``elapsed_seconds``
    was.
    """
    timed = epochs[CELL].merge(entry_table(timings), how="left", on=CELL).set_index(epochs.index)
    share = epochs["windows"] / timed["windows"]
    full = (epochs["keep_ratio"] >= 1) & (share > 1)
    # The median of an epoch counts, which is not quite the sum of the medians of its parts.
    scale = timed["ratio"] * timed["full_epoch_seconds"] / timed[list(PARTS)].sum(axis=1)
    of_full = timed["full_epoch_seconds"] / timed[[f"full_{part}" for part in PARTS]].sum(axis=1)
    columns = {part: scale * share * timed[part] for part in PARTS}
    columns["selection_seconds"] = scale * timed["selection_seconds"]
    for part in ("data_seconds", "step_seconds"):
        columns[part] = columns[part].mask(full, of_full * timed[f"full_{part}"])
    columns["train_seconds"] = pd.DataFrame(columns).sum(axis=1, skipna=False)
    validated, saved = epochs["validation_mae"].notna(), epochs["checkpoint_seconds"] > 0
    columns["validation_seconds"] = timed["validation_seconds"] * validated
    columns["checkpoint_seconds"] = timed["checkpoint_seconds"] * saved
    spent = sum((columns[part] for part in SPENT), timed["preparation_seconds"] * 0)
    elapsed = spent.groupby([epochs[key] for key in KEYS]).cumsum()
    columns["elapsed_seconds"] = timed["preparation_seconds"] + elapsed
    return epochs.assign(own_elapsed_seconds=epochs["elapsed_seconds"], **columns)


def timed_costs(epochs: pd.DataFrame, timings: Timings) -> pd.DataFrame:
    """Times of runs from their ``epochs`` as of `timed_epochs`; one row a run.

    ``KEYS`` and, null where nothing was timed: ``timing``, the verdict; the seconds of `Cost` but
    for the test; and ``epoch_seconds`` and ``total_seconds`` with ``_low`` and ``_high``, the ends
    of the 95 % interval that the ratio of a pruned epoch to a full one leaves them.
    """
    seconds, pruned = epochs["train_seconds"], epochs["keep_ratio"] < 1
    counted = pruned | ~pruned.groupby([epochs[key] for key in KEYS]).transform("any")
    cells = epochs.assign(
        epoch_seconds=seconds.where(counted),
        full_epoch_seconds=seconds.mask(pruned),
        overhead_seconds=(epochs["scoring_seconds"] + epochs["selection_seconds"]).where(counted),
        counted=seconds.where(counted, 0.0),
    ).groupby(KEYS)
    medians = cells[["epoch_seconds", "full_epoch_seconds", "overhead_seconds"]].median()
    runs = medians.join(cells[[*SPENT, "counted"]].sum(min_count=1)).reset_index()
    known = entry_table(timings)[[*CELL, "timing", "preparation_seconds", "low", "high"]]
    runs = runs.merge(known, how="left", on=CELL)
    runs["train_seconds"] += runs["preparation_seconds"]
    runs["total_seconds"] = runs[SPENT].sum(axis=1, skipna=False)
    for end in ("low", "high"):
        runs[f"epoch_seconds_{end}"] = runs["epoch_seconds"] * runs[end]
        runs[f"total_seconds_{end}"] = runs["total_seconds"] + (runs[end] - 1) * runs["counted"]
    return runs.drop(columns=["low", "high", "counted"])


def entry_table(timings: Timings) -> pd.DataFrame:
    """One row for each timed (pruner, prune ratio) of every data set and backbone.

    ``dataset``, ``backbone`` and the fields of `EntryTiming`; ``timing``, the verdict; what its
    place shares, ``validation_seconds``, ``checkpoint_seconds`` and, as ``full_<field>``, the full
    epoch; ``low`` and ``high``, the ends of the interval over the ratio.
    """
    rows = [
        {
            **{"dataset": dataset, "backbone": backbone, "timing": timing.verdict},
            **{f"full_{name}": value for name, value in timing.full.model_dump().items()},
            "validation_seconds": timing.validation_seconds,
            "checkpoint_seconds": timing.checkpoint_seconds,
            **entry.model_dump(),
        }
        for (dataset, backbone), timing in timings.items()
        for entry in timing.entries
    ]
    texts = ["dataset", "backbone", "pruner", "timing", "settings", "source_digest"]
    numbers = {*EntryTiming.model_fields, *(f"full_{name}" for name in EpochParts.model_fields)}
    numbers |= {"validation_seconds", "checkpoint_seconds"}
    types = dict.fromkeys(texts, "str") | dict.fromkeys(sorted(numbers - set(texts)), "float64")
    table = pd.DataFrame(rows, columns=list(types)).astype(types)
    ratio = table["ratio"]
    return table.assign(low=table["ratio_low"] / ratio, high=table["ratio_high"] / ratio)
