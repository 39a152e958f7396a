"""What an experiment says, in sentences: its findings with their tests, then the means by place.

Tests are read from the frames of the tables on the same page, so the two cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from stprune.base.layout import format_ratio
from stprune.paper.content import METHOD, places, seed_count
from stprune.paper.tables import Table, format_number
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.equivalence import IDENTICAL
from stprune.statistics.paired import CONTROLS, EVERY_PLACE, LEAST_DATASETS, LEVEL, MARGIN, TOO_FEW
from stprune.statistics.ranks import Ranking, alike, rankings

WORDS = {"win": "better", "lose": "worse", "tie": "cannot be told apart", TOO_FEW: "too few runs"}
OF_FULL = ("lossless", "not worse", "worse", IDENTICAL, "open", TOO_FEW)
# Verdicts that decide nothing are counted, not listed.
UNDECIDED = ("open", TOO_FEW)
# Names that a sentence can hold.
MOST_NAMES = 8


class Headline(NamedTuple):
    """A finding and what it rests on."""

    sentence: str
    basis: str


class Headlines(NamedTuple):
    """The findings under one budget, which the heading names; empty for an only one."""

    heading: str
    findings: list[Headline]


def headlines(results: Results, tables: Mapping[str, Table]) -> list[Headlines]:
    """The findings of an experiment by budget, the most important first.

    Args:
        results: The experiment.
        tables: By name; of ``pairs`` and ``equivalence`` the frames are read.

    Returns:
        Of each budget: the method and then all pruners against the controls, what may be called
        lossless, and whether ranks differ.
    """
    pairs, equivalence = tables["pairs"].frame, tables["equivalence"].frame
    ranked = rankings(results.summary)
    budgets = sorted(set(pairs["budget"]))
    found = []
    for budget in budgets:
        part = results.aggregate[results.aggregate["budget"] == budget]
        seeds = seed_count(part)
        overall = pairs[(pairs["budget"] == budget) & pairs["prune_ratio"].isna()]
        some = [
            *_method(overall, seeds),
            *_both_controls(overall, seeds),
            *_all_pruners(overall, seeds),
            *_lossless(equivalence[equivalence["budget"] == budget], seeds),
            *_ranks({ratio: r for (b, ratio), r in ranked.items() if b == budget}, seeds),
        ]
        heading = f"Budget: {budget.replace('_', ' ')}" if len(budgets) > 1 else ""
        found.append(Headlines(heading, some))
    return found


def _method(overall: pd.DataFrame, seeds: str) -> list[Headline]:
    rows = overall[overall["pruner"] == METHOD]
    if rows.empty:
        return [Headline(f"{label(METHOD)} was not run here.", "")]
    return [_against(rows.iloc[0], control, seeds) for control in CONTROLS]


def _against(row: pd.Series[Any], control: str, seeds: str) -> Headline:
    name, other = label(METHOD), label(control)
    if pd.isna(row[f"{control}_mean"]):
        return Headline(f"{name} and {other} have no run in common, so no test was made.", "")
    difference = f"{format_number(row[f'{control}_mean'], 2, True)} %"
    verdict = _verdict(row, control)
    if verdict == TOO_FEW:
        sentence = f"Too few runs to test {name} against {other}; difference {difference}"
    elif verdict == "tie":
        sentence = f"{name} cannot be told apart from {other}: difference {difference}"
    else:
        sentence = f"{name} is {WORDS[verdict]} than {other}: difference {difference}"
    sentence = f"{sentence} of the test MAE{_interval(row, control)}."
    return Headline(sentence, _basis(row, control, seeds))


def _interval(row: pd.Series[Any], control: str) -> str:
    ends = [row[f"{control}_{end}"] for end in ("low", "high")]
    if any(pd.isna(end) for end in ends):
        return ""
    low, high = (format_number(end, 2, True) for end in ends)
    return f", 95 % interval {low} to {high}"


def _basis(row: pd.Series[Any], control: str, seeds: str) -> str:
    cells, datasets = (int(row[f"{control}_{count}"]) for count in ("cells", "datasets"))
    p, datasets_p = row[f"{control}_holm_p"], row[f"{control}_datasets_p"]
    others = f"; over the means of {datasets} data sets {p_in_words(datasets_p)}, not corrected"
    if pd.isna(datasets_p):
        others = f"; fewer than {LEAST_DATASETS} data sets, so nothing is said of others"
    return (
        f"Paired t test over {cells} pairs of runs, all prune ratios, {seeds}:"
        f" {p_in_words(p)}, Holm-corrected{others}."
    )


def _both_controls(overall: pd.DataFrame, seeds: str) -> list[Headline]:
    """Who wins against both controls, the first thing a method has to do."""
    present = [name for name in CONTROLS if overall[f"{name}_mean"].notna().any()]
    if len(present) < len(CONTROLS):
        lacking = _listed([label(name) for name in CONTROLS if name not in present])
        return [Headline(f"Nothing can be better than both controls: {lacking} was not run.", "")]
    rows = overall[~overall["pruner"].isin(CONTROLS)]
    won = [
        label(str(row["pruner"]))
        for _, row in rows.iterrows()
        if all(_verdict(row, control) == "win" for control in CONTROLS)
    ]
    basis = f"Paired t tests at {LEVEL:g}, Holm-corrected for each control; {seeds}."
    sentence = f"Of {_count(len(rows), 'pruner')} better than both controls: {_listed(won)}."
    return [Headline(sentence, basis)]


def _all_pruners(overall: pd.DataFrame, seeds: str) -> list[Headline]:
    found = []
    for control in CONTROLS:
        rows = overall[(overall["pruner"] != control) & overall[f"{control}_mean"].notna()]
        if rows.empty:
            found.append(Headline(f"{label(control)} was run beside no other pruner.", ""))
            continue
        groups: dict[str, list[str]] = {verdict: [] for verdict in WORDS}
        for _, row in rows.sort_values(f"{control}_mean").iterrows():
            mean = format_number(row[f"{control}_mean"], 2, True)
            groups[_verdict(row, control)].append(f"{label(str(row['pruner']))} ({mean} %)")
        words = [
            f"{WORDS[verdict]}: {_listed(names)}"
            for verdict, names in groups.items()
            if names or verdict == "win"
        ]
        basis = (
            f"Paired t tests at {LEVEL:g}, Holm-corrected over these {len(rows)}; {seeds}; mean"
            " difference of the test MAE in brackets, below 0 is better. Table: paired comparison"
            " with the controls."
        )
        found.append(Headline(f"Against {label(control)}: {'; '.join(words)}.", basis))
    return found


def _verdict(row: pd.Series[Any], control: str) -> str:
    verdict = row[f"{control}_verdict"]
    return TOO_FEW if pd.isna(row[f"{control}_holm_p"]) else str(verdict)


def _lossless(equivalence: pd.DataFrame, seeds: str) -> list[Headline]:
    if equivalence.empty:
        return [Headline("Full training was not run, so nothing can be called lossless.", "")]
    everywhere = equivalence["dataset"] == EVERY_PLACE
    overall, by_place = equivalence[everywhere], equivalence[~everywhere]
    datasets = int(overall["count"].max())
    test = f"Two one-sided t tests (TOST), margin {MARGIN:g} % of full training's test MAE,"
    found = []
    if (overall["verdict"] == TOO_FEW).all():
        few = _count(datasets, "data set")
        sentence = f"Nothing can be called lossless in general: {few} is too few."
        found.append(Headline(sentence, f"{test} need {LEAST_DATASETS} data sets."))
    else:
        sentence = f"Over {datasets} data sets, against full training: {_by_verdict(overall)}."
        found.append(Headline(sentence, f"{test} over the means of the data sets, Holm-corrected."))
    counts = by_place["verdict"].value_counts()
    spelled = ", ".join(f"{verdict} {counts.get(verdict, 0)}" for verdict in OF_FULL)
    places = by_place[["dataset", "backbone"]].drop_duplicates()
    sentence = (
        f"Place by place, of {len(by_place)} comparisons with full training in"
        f" {_count(len(places), 'place')}: {spelled}."
    )
    return [*found, Headline(sentence, f"{test} over {seeds} each, Holm-corrected within a place.")]


def _by_verdict(rows: pd.DataFrame) -> str:
    """Such as ``lossless: ST-Prune at 0.1, 0.3; worse: none; open: 7 of 9``."""
    words = []
    for verdict in OF_FULL:
        part = rows[rows["verdict"] == verdict]
        if part.empty and verdict not in ("lossless", "worse"):
            continue
        if verdict in UNDECIDED:
            words.append(f"{verdict}: {len(part)} of {len(rows)}")
            continue
        names = [
            f"{label(str(pruner))} at {', '.join(format_ratio(r) for r in some['prune_ratio'])}"
            for pruner, some in part.groupby("pruner")
        ]
        words.append(f"{verdict}: {_listed(names)}")
    return "; ".join(words)


def place_verdict(equivalence: pd.DataFrame, dataset: str, backbone: str) -> str | None:
    """What may be said against full training in one place; None where it was not run there.

    Args:
        equivalence: Frame of the table ``equivalence``.
        dataset: Name of the data set.
        backbone: Name of the backbone.
    """
    here = (equivalence["dataset"] == dataset) & (equivalence["backbone"] == backbone)
    rows = equivalence[here]
    return f"Tested against full training (TOST): {_by_verdict(rows)}." if len(rows) else None


def _ranks(found: Mapping[float, Ranking], seeds: str) -> list[Headline]:
    """A sentence for each prune ratio that can be tested, and one for the others."""
    told = [_rank(ratio, r, seeds) for ratio, r in sorted(found.items()) if r.testable]
    untold = [ratio for ratio, r in sorted(found.items()) if not r.testable]
    if untold:
        at = ", ".join(format_ratio(ratio) for ratio in untold)
        places = _count(max(found[ratio].blocks for ratio in untold), "place")
        sentence = f"At prune ratio {at} pruners cannot be ranked in general: {places} is too few."
        told.append(Headline(sentence, "Friedman's test and Nemenyi's critical difference."))
    return told


def _rank(ratio: float, ranking: Ranking, seeds: str) -> Headline:
    at = f"At prune ratio {format_ratio(ratio)}"
    count, places = len(ranking.mean_ranks), _count(ranking.blocks, "place")
    tested = f"Friedman's test over {places} (data set and backbone, {seeds} averaged)"
    names = ranking.mean_ranks.index
    best = f"{label(str(names[0]))} ({ranking.mean_ranks.iloc[0]:.2f} of {count})"
    if not ranking.p < LEVEL:
        sentence = f"{at} the pruners' ranks do not differ; first by mean rank is {best}."
        return Headline(sentence, f"{tested}: {p_in_words(ranking.p)}.")
    near = next((group for group in alike(ranking) if names[0] in group), (names[0],))
    others = [label(str(name)) for name in near if name != names[0]]
    rest = _listed(others) if len(others) <= MOST_NAMES else f"{len(others)} others"
    sentence = f"{at} ranks differ; first is {best}, not told apart from it: {rest}."
    distance = format_number(ranking.critical_difference, 2)
    basis = f"{tested}: {p_in_words(ranking.p)}; Nemenyi's critical difference {distance}."
    return Headline(sentence, basis)


def p_in_words(p: float) -> str:
    """Such as ``p = 0.214`` or ``p < 0.001``."""
    if math.isnan(p):
        return "too few for a p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def findings(aggregate: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """What the means say of each data set and backbone; no test of significance is claimed.

    Args:
        aggregate: As `stprune.results.summary.aggregate` returns it.

    Returns:
        The place in words, and its sentences.
    """
    found = []
    for dataset, backbone in places(aggregate):
        part = aggregate[(aggregate["dataset"] == dataset) & (aggregate["backbone"] == backbone)]
        unit = part["target_unit"].iloc[0]
        full = part[part["pruner"] == REFERENCE]
        sentences = ["Full training was not run, so nothing is relative to it."]
        if not full.empty:
            sentences = [f"Full training: test MAE {_score(full.iloc[0])}."]
        pruned = part[(part["pruner"] != REFERENCE) & part["test_mae"].notna()]
        for ratio, rivals in pruned.groupby("prune_ratio"):
            sentences.append(_best_at(float(str(ratio)), rivals))
        of_unit = "" if pd.isna(unit) else f" (MAE in {unit})"
        found.append((f"{dataset}, {label(backbone)}{of_unit}", sentences))
    return found


def _best_at(ratio: float, rivals: pd.DataFrame) -> str:
    best = rivals.iloc[int(rivals["test_mae"].argmin())]
    at = f"At prune ratio {format_ratio(ratio)}"
    if len(rivals) == 1:
        lead = f"{at} only {label(best['pruner'])} was run: test MAE {_score(best)}"
    else:
        lead = (
            f"{at} {label(best['pruner'])} has the lowest mean test MAE of {len(rivals)} pruners:"
            f" {_score(best)}"
        )
    return f"{lead}{_against_full(best)}.{_against_controls(best, rivals)}"


def _against_full(row: pd.Series[Any]) -> str:
    change = row["test_mae_change"]
    if pd.isna(change):
        return ""
    side = "above" if change >= 0 else "below"
    return (
        f", {abs(change):.1f} % {side} full training, at {row['epoch_percent']:.0f} % of its"
        f" per-epoch time and {row['total_percent']:.0f} % of its total time"
    )


def _against_controls(best: pd.Series[Any], rivals: pd.DataFrame) -> str:
    """Whether the lead over each control is larger than the spread; no test is claimed."""
    if best["pruner"] in CONTROLS:
        return " That is a control: no method that was run is lower."
    parts = [_against_control(best, rivals, control) for control in CONTROLS]
    return "".join(f" {part[:1].upper()}{part[1:]}." for part in parts)


def _against_control(best: pd.Series[Any], rivals: pd.DataFrame, control: str) -> str:
    name = label(control)
    rows = rivals[rivals["pruner"] == control]
    if rows.empty:
        return f"{name} was not run here, so what is due to selection itself is not known"
    other = rows.iloc[0]
    difference = other["test_mae"] - best["test_mae"]
    lead = f"that is {difference:.3f} below {name} at {_score(other)}"
    spread = max(best["test_mae_sd"], other["test_mae_sd"])
    if pd.isna(best["test_mae_sd"]) or pd.isna(other["test_mae_sd"]):
        return f"{lead}; with one seed of either the spread is not known"
    compared = "more than" if difference > spread else "not more than"
    return f"{lead}, {compared} the larger of the two standard deviations ({spread:.3f})"


def _score(row: pd.Series[Any]) -> str:
    spread = "" if pd.isna(row["test_mae_sd"]) else f" ± {row['test_mae_sd']:.3f}"
    seeds = "1 seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    return f"{format_number(row['test_mae'], 3)}{spread} ({seeds})"
