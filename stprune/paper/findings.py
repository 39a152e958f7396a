"""What an experiment says in ten seconds: its runs, three sentences and a few rows.

The first screen of the report, the first lines of `stprune show` and the note at W&B.
"""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stprune.base.layout import format_ratio
from stprune.paper.content import METHOD, count_in_words, labels, seed_count, time_axis
from stprune.paper.tables import TIMING, Column, Table, format_number, to_markdown
from stprune.records.store import PLACE, REFERENCE
from stprune.results.labels import label, timing_notes
from stprune.results.summary import Results, aggregate, at_shared_ratios, least_trusted
from stprune.statistics.paired import (
    CONTROLS,
    LEAST_DATASETS,
    LEAST_PAIRS,
    LEVEL,
    MARGIN,
    compare_all,
    differences_from,
    losses,
)

# Rows that are read at a glance.
MOST_ROWS = 8
# How many names fit into a line; of more, it says how many there are.
MOST_NAMES = 3
# How far a measured per-epoch time may lie from the expected one, and how many have to lie there.
TOLERANCE, SHARE = 0.10, 0.9
RULE = (
    "Δ error: change in test error (MAE) against full training in %; bars, its"
    f" {100 - 200 * LEVEL:.0f} % interval. Time: total training time in % of full training's, mean"
    " over the data sets."
    f" Verdict: lossless, a loss of {MARGIN:g} % is excluded; about {MARGIN:g} %, one of"
    f" {2 * MARGIN:g} % is excluded; worse, the loss is larger than {MARGIN:g} %; not decided, the"
    f" runs do not tell or are too few. Each by a one-sided t test (TOST's) at {LEVEL:g}, over the"
    f" means of the data sets where there are {LEAST_DATASETS} or more, else over the seeds, of"
    f" which it takes {LEAST_PAIRS}. What is in an entry's favour is corrected by Holm's method for"
    f" all entries and prune ratios. Rows: {label(METHOD)}, the better control, the best rival and"
    " the other control (by mean error), in this order and each from its highest prune ratio down,"
    f" until there are {MOST_ROWS}; the tables of the report have all, and the prune ratios that"
    " only some data sets have."
)
COLUMNS = (
    Column("pruner", "Entry", named=True),
    Column("prune_ratio", "Prune ratio"),
    Column("mean", "Δ\u00a0error (%)", 1, signed=True),
    Column("time", "Time (%)", 0, marks=TIMING),
    Column("verdict", "Verdict"),
)


class Finding(NamedTuple):
    """A finding and what it rests on."""

    sentence: str
    basis: str = ""


class Findings(NamedTuple):
    """What is read first of an experiment."""

    runs: str  # What was run, in a line.
    answers: list[Finding]  # Time saved at which loss; choice or schedule; trust in the times.
    points: pd.DataFrame  # One row per pruner and prune ratio, see `points`.
    table: Table  # A few of the points.

    @property
    def headline(self) -> str:
        """The line and the sentences, as text."""
        return "\n".join([self.runs, *(f"- {answer.sentence}" for answer in self.answers)])

    @property
    def markdown(self) -> str:
        """The headline and the rows; what the words mean stands between them."""
        return f"{self.headline}\n\n{to_markdown(self.table)}"


def findings_of(summary: pd.DataFrame, store: Path) -> Findings:
    """The findings of some runs of an experiment, before it has a store or of a part of it."""
    return findings(Results(summary, pd.DataFrame(), aggregate(summary), store))


def findings(results: Results) -> Findings:
    """The findings of an experiment; of several budgets, of equal epochs or else the first."""
    is_full = results.summary["pruner"].eq(REFERENCE)
    budgets = sorted(set(results.summary.loc[~is_full, "budget"]))
    budget = "epochs" if "epochs" in budgets else next(iter(budgets), "")
    found = points(results, budget)
    entries = ranking(found)
    order = found["pruner"].map({name: at for at, name in enumerate(entries)})
    by_priority = found.assign(order=order, share=-found["prune_ratio"])
    first = by_priority.sort_values(["order", "share"]).head(MOST_ROWS)
    rows = first.sort_values(["prune_ratio", "order"], ignore_index=True)
    runs = _what_was_run(results)
    if len(budgets) > 1:
        runs += f" · equal {budget.replace('_', ' ')} (other budgets: see the tables)"
    of_budget = results.summary[is_full | results.summary["budget"].eq(budget)]
    answers = [_saved(found, entries), _choice(of_budget), _trust(results)]
    columns: tuple[Column, ...] = COLUMNS
    if found[TIMING].isna().any():
        columns = tuple(c._replace(title="Steps (%)") if c.key == "time" else c for c in COLUMNS)
    rule = " ".join([RULE, *timing_notes(results.aggregate[TIMING])])
    return Findings(runs, answers, found, Table("At a glance", rule, rows, columns))


def points(results: Results, budget: str) -> pd.DataFrame:
    """Change in error and time of every pruner at every prune ratio under one budget.

    The columns of `losses`; ``best``, the data set with the lowest change, ``least``, and
    ``worst`` with ``most``; ``time``, mean total time over data sets in % of full training's, with
    ``time_low`` and ``time_high``, the interval of the timing; and ``timing``, the least trusted
    verdict, None where one was not timed: then the time is in gradient steps. Empty without full
    training.
    """
    differences = differences_from(results.summary, REFERENCE)
    differences = at_shared_ratios(differences[differences["budget"] == budget])
    means = results.aggregate[results.aggregate["budget"] == budget]
    column, *_ = time_axis(results.aggregate)
    names = {column: "time", f"{column}_low": "time_low", f"{column}_high": "time_high"}
    key = ["pruner", "prune_ratio"]
    changes = differences.groupby([*key, "dataset"])["difference"].mean().reset_index()
    ends = changes.sort_values("difference").groupby(key)[["dataset", "difference"]]
    table = losses(differences)
    table = table.join(ends.first().set_axis(["best", "least"], axis="columns"), on=key)
    table = table.join(ends.last().set_axis(["worst", "most"], axis="columns"), on=key)
    times = means.reindex(columns=[*key, "dataset", *names]).rename(columns=names)
    times = times.groupby([*key, "dataset"]).mean().groupby(key).mean()
    times[TIMING] = least_trusted(results.aggregate[TIMING])
    return table.join(times, on=key)


def ranking(found: pd.DataFrame) -> list[str]:
    """Entries by how much a reader wants to see them: method, better control, best rival, ..."""
    errors = found.groupby("pruner")["mean"].mean().sort_values()
    controls = [name for name in errors.index if name in CONTROLS]
    rivals = [name for name in errors.index if name not in (*CONTROLS, METHOD)]
    method = [METHOD] if METHOD in errors.index else rivals[:1]
    rivals = [name for name in rivals if name not in method]
    return [*method, *controls[:1], *rivals[:1], *controls[1:], *rivals[1:]]


def _what_was_run(results: Results) -> str:
    runs = results.summary
    pruned = runs[runs["pruner"] != REFERENCE]
    backbones, datasets = (sorted(set(runs[column])) for column in ("backbone", "dataset"))
    models = labels(backbones) if len(backbones) <= MOST_NAMES else f"{len(backbones)} backbones"
    data = ", ".join(datasets) if len(datasets) <= MOST_NAMES else f"{len(datasets)} data sets"
    pruners = "full training alone"
    if entries := pruned["pruner"].nunique():
        ratios = list(map(format_ratio, sorted(set(pruned["prune_ratio"]))))
        few = ", ".join(ratios) if len(ratios) <= MOST_NAMES else f"{ratios[0]} to {ratios[-1]}"
        pruners = f"{entries} pruner{'s' * (entries != 1)} at prune ratio {few}"
    seeds = seed_count(results.aggregate)
    return " · ".join([f"{models} on {data}", pruners, seeds, f"{len(runs)} runs"])


def _saved(found: pd.DataFrame, entries: list[str]) -> Finding:
    """How much time the method saves at which loss, at up to three of its prune ratios."""
    if not entries:
        return Finding("No pruned run can be held against full training: nothing is known yet.")
    rows = found[found["pruner"] == entries[0]].sort_values("prune_ratio", ignore_index=True)
    shown = rows.iloc[sorted({0, len(rows) // 2, len(rows) - 1})]
    timed = shown[TIMING].notna().all()
    parts: list[str] = []
    for row in shown.to_dict("records"):
        time, error = format_number(abs(100 - row["time"]), 0), format_number(row["mean"], 1, True)
        than, at = "less" if row["time"] <= 100 else "more", format_ratio(row["prune_ratio"])
        words = f"({at})" if parts else f"error (prune ratio {at})"
        parts.append(f"{time} % {than} at {error} % {words}")
    if row["best"] != row["worst"]:
        least, most = (format_number(row[end], 1, True) for end in ("least", "most"))
        parts.append(f"from {least} % on {row['best']} to {most} % on {row['worst']}")
    what = "time" if timed else "gradient steps"
    saves = "saves" if (shown["time"] <= 100).all() else "does not always save"
    lossless = ", ".join(map(format_ratio, rows.loc[rows["verdict"] == "lossless", "prune_ratio"]))
    known = f"Lossless at {lossless}." if lossless else "None of it is shown to be lossless."
    if rows["count"].max() < LEAST_PAIRS:
        known = f"{count_in_words(rows['count'].astype(int), 'seed')}: too few for a verdict."
    return Finding(f"{label(entries[0])} {saves} {what}: {', '.join(parts)}. {known}", RULE)


def _choice(summary: pd.DataFrame) -> Finding:
    """Whether the method is better than the better of both controls, over all prune ratios."""
    compared = compare_all(summary)
    overall = compared[compared["prune_ratio"].isna()]
    rows = overall[overall["pruner"] == METHOD].sort_values("mean", ascending=False)
    lacking = [name for name in CONTROLS if name not in set(rows["control"])]
    if lacking:
        sentence = f"Whether choosing windows matters is not known: {label(METHOD)} has no run"
        return Finding(f"{sentence} in common with {labels(lacking)}.")
    row = rows.iloc[0]
    mean = format_number(abs(row["mean"]), 2)
    other = f"{label(row['control'])}, the better control"
    sentence = {
        "win": f"The choice of windows matters: {mean} % less error than {other}.",
        "lose": f"The choice of windows does harm: {mean} % more error than {other}.",
        "tie": f"Choosing windows is not shown to matter: no clear difference from {other}"
        f" ({format_number(row['mean'], 2, True)} % error).",
    }[row["verdict"]]
    tests = [
        f"{label(r['control'])}: {format_number(r['mean'], 2, True)} %, 95 % interval"
        f" {format_number(r['low'], 2, True)} to {format_number(r['high'], 2, True)},"
        f" {r['cells']:.0f} pairs of runs, {p_in_words(r['holm_p'])}; over the means of the data"
        f" sets ({r['datasets']:.0f}), {p_in_words(r['datasets_p'])}."
        for r in rows.to_dict("records")
    ]
    rivals = overall[~overall["pruner"].isin(CONTROLS)]
    wins = rivals[rivals["verdict"] == "win"].groupby("pruner").size()
    won = labels(wins[wins == len(CONTROLS)].index) or "none"
    return Finding(
        sentence,
        f"{label(CONTROLS[0])} draws windows at random by the same schedule, {label(CONTROLS[1])}"
        f" trains on all windows for fewer epochs. Difference of {label(METHOD)}'s test error from"
        f" {' '.join(tests)} Paired t tests, corrected by Holm's method for all pruners. Better"
        f" than both controls, of {rivals['pruner'].nunique()} pruners: {won}.",
    )


def _trust(results: Results) -> Finding:
    """Whether the times can be trusted: what their timings say, or whether they are as expected."""
    aggregate = results.aggregate
    ratios = aggregate.loc[aggregate["pruner"] != REFERENCE, "epoch_time_ratio"].dropna()
    close = int(((ratios - 1).abs() <= TOLERANCE).sum())
    check = (
        f"{close} of {len(ratios)} mean per-epoch times lie within {100 * TOLERANCE:.0f} % of what"
        " the kept share of full training's time and the pruner's own overhead explain."
    )
    places = aggregate.drop_duplicates(PLACE)[TIMING].fillna("no timing").value_counts()
    counts = ", ".join(f"{verdict}: {count}" for verdict, count in places.items())
    basis = (
        f"Data sets with backbones by the verdict of their timing: {counts}. {check} A timing"
        " interleaves epochs of every entry, round after round, alone on its machine, and gives the"
        " 95 % interval of their ratio to a full epoch."
    )
    worst = least_trusted(aggregate[TIMING])
    room = (aggregate["total_percent_high"] - aggregate["total_percent_low"]) / 2
    widest = (room / aggregate["total_percent"]).max()
    within = "" if math.isnan(widest) else f": each is known to ±{100 * widest:.0f} %"
    notes = " ".join(timing_notes(aggregate[TIMING], drawn=True))
    words = f"cannot be trusted: {notes[:1].lower()}{notes[1:]}"
    if worst == "steady":
        words = f"can be trusted{within}."
    elif worst == "noisy":
        words = f"are noisy{within}."
    elif worst == "within runs":
        trust = "can be trusted" if close >= max(1, SHARE * len(ratios)) else "are to be doubted"
        words = f"{trust}: taken within the runs, {close} of {len(ratios)} are as expected."
    elif aggregate[TIMING].isna().all():
        words = "are not known: no timing was run, so gradient steps stand in their place."
    return Finding(f"The times {words}", basis)


def p_in_words(p: float) -> str:
    """Such as ``p = 0.214`` or ``p < 0.001``."""
    if math.isnan(p):
        return "too few for a p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
