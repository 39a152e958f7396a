"""One self-contained HTML page that says what an experiment found and how it was run."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from stprune import atomic
from stprune.figures import FIGURES, build, rendered, seeds_in_words
from stprune.findings import findings
from stprune.layout import ExperimentLayout
from stprune.records import read_record
from stprune.summary import REFERENCE, Results, load_results
from stprune.tables import (
    TABLES,
    Column,
    Table,
    is_text,
    shared_headings,
    to_cells,
)

TEMPLATES = Path(__file__).parent / "templates"
# How far a measured per-epoch time may lie from the expected one.
TOLERANCE = 0.10
RUN_AXES = ("dataset", "backbone", "pruner")

RUN_COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("pruner", "Pruner", named=True),
    Column("prune_ratio", "Prune ratio"),
    Column("seed", "Seed", 0),
    Column("test_mae", "Test MAE", 3),
    Column("test_rmse", "Test RMSE", 3),
    Column("test_mape", "Test MAPE (%)", 2),
    Column("validation_mae", "Validation MAE", 3),
    Column("best_epoch", "Best epoch", 0),
    Column("epochs", "Epochs", 0),
    Column("epoch_seconds", "Per epoch (s)", 2),
    Column("total_seconds", "Total (s)", 1),
    Column("resumed", "Resumed", 0),
    Column("record", "Record"),
)
LEDGER_PARTS = ("data", "step", "scoring", "selection", "validation", "checkpoint")
LEDGER_COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("pruner", "Pruner", named=True),
    Column("prune_ratio", "Prune ratio"),
    *(Column(f"{part}_seconds", f"{part.capitalize()} (s)", 3) for part in LEDGER_PARTS),
    Column("preparation_seconds", "Preparation (s)", 2),
    Column("overhead_percent", "Scoring + selection (% of epoch)", 1),
    Column("epoch_seconds", "Epoch, measured (s)", 3),
    Column("expected_epoch_seconds", "Epoch, expected (s)", 3),
    Column("epoch_time_ratio", "Measured / expected", 3),
)
LEDGER_CAPTION = (
    "Where the time goes: mean seconds per epoch over all epochs and seeds (preparation: per run)."
    " Measured and expected per-epoch times are those of pruned epochs; expected is the kept share"
    " of full training's epoch, without its overhead, plus the pruner's own scoring and selection."
)


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it; ``source`` is a data URI."""

    title: str
    caption: str
    alt: str
    source: str


def write_report(layout: ExperimentLayout, results: Results | None = None) -> None:
    """Write ``report.html`` of an experiment; it needs no network and no other file.

    Args:
        layout: The experiment; without ``config.yaml`` that section is left out.
        results: Its results, where they have been loaded already.

    Raises:
        RecordError: If the experiment has no summary yet, or a record that it names is gone.
    """
    results = results or load_results(layout)
    environments = [
        read_record(layout.root / path).environment for path in results.summary["record"]
    ]
    environment, differing = compare_environments(environments)
    tables = [TABLES.module(name).build(results) for name in _first("main", TABLES.ids())]
    page = _template().render(
        experiment=layout.root.name,
        overview=_overview(results),
        findings=findings(results.aggregate),
        figures=[_picture(name, results) for name in _first("tradeoff", FIGURES.ids())],
        sections=[
            ("results", "Results", [_for_page(table) for table in tables]),
            ("overhead", "Overhead", [_for_page(overhead_ledger(results))]),
            ("runs", "Runs", [_for_page(_runs(results))]),
        ],
        environment=environment,
        differing=", ".join(differing),
        config=layout.config.read_text(encoding="utf-8") if layout.config.exists() else None,
    )
    atomic.write_text(layout.report, page)


def overhead_ledger(results: Results) -> Table:
    """Seconds per epoch by what they were spent on, and measured against expected time."""
    keys = ["dataset", "backbone", "pruner", "prune_ratio"]
    parts = [f"{part}_seconds" for part in LEDGER_PARTS]
    ledger = results.epochs.groupby(keys)[[*parts, "train_seconds"]].mean()
    spent = ledger["scoring_seconds"] + ledger["selection_seconds"]
    ledger["overhead_percent"] = 100 * spent / ledger["train_seconds"]
    preparation = results.summary.groupby(keys)["preparation_seconds"].mean()
    columns = ["epoch_seconds", "expected_epoch_seconds", "epoch_time_ratio"]
    compared = results.aggregate.set_index(keys)[columns]
    frame = ledger.join(preparation).join(compared).reset_index()
    caption = f"{LEDGER_CAPTION} {_agreement(frame)}"
    return Table("Overhead ledger", caption, frame, LEDGER_COLUMNS)


def compare_environments(
    environments: list[dict[str, Any]],
) -> tuple[list[tuple[str, str]], list[str]]:
    """Every recorded key with its value, or all its values with the number of runs.

    Returns:
        Pairs of key and text, sorted; and the keys whose values differ between runs.
    """
    flat = [dict(_flat(environment)) for environment in environments]
    rows, differing = [], []
    for key in sorted({key for values in flat for key in values}):
        counts = Counter(values.get(key, "not recorded") for values in flat)
        if len(counts) == 1:
            rows.append((key, next(iter(counts))))
        else:
            differing.append(key)
            rows.append((key, "; ".join(f"{v} ({n} runs)" for v, n in sorted(counts.items()))))
    return rows, differing


def _agreement(ledger: pd.DataFrame) -> str:
    """How many per-epoch times are explained by the kept share and the overhead."""
    ratios = ledger.loc[ledger["pruner"] != REFERENCE, "epoch_time_ratio"].dropna()
    if ratios.empty:
        return "Without full training nothing is expected."
    close = int(((ratios - 1).abs() <= TOLERANCE).sum())
    return f"{close} of {len(ratios)} lie within {100 * TOLERANCE:.0f} % of what is expected."


def _first(headline: str, names: list[str]) -> list[str]:
    """What the page is opened for comes first, whatever the names of the others."""
    return sorted(names, key=lambda name: (name != headline, name))


def _overview(results: Results) -> str:
    runs = results.summary
    parts = [
        f"{len(runs)} runs",
        *(_count(runs[column], column.replace("dataset", "data set")) for column in RUN_AXES),
        "with full training" if (runs["pruner"] == REFERENCE).any() else "without full training",
        seeds_in_words(results.aggregate),
    ]
    return f"{', '.join(parts)}; from {runs['started'].min()} to {runs['finished'].max()}."


def _count(values: pd.Series[Any], noun: str) -> str:
    count = values[values != REFERENCE].nunique()
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _runs(results: Results) -> Table:
    caption = "Every seed of every run, as recorded; the link leads to the full record."
    return Table("Runs", caption, results.summary, RUN_COLUMNS)


def _picture(name: str, results: Results) -> Picture:
    drawing = build(name, results)
    encoded = base64.b64encode(rendered(drawing.figure, "png")).decode("ascii")
    source = f"data:image/png;base64,{encoded}"
    return Picture(FIGURES.module(name).TITLE, drawing.caption, drawing.alt, source)


def _for_page(table: Table) -> dict[str, Any]:
    columns = [
        {"title": c.title, "text": is_text(table, c), "link": c.key == "record"}
        for c in table.columns
    ]
    return {
        "title": table.title,
        "caption": table.caption,
        "headings": shared_headings(table),
        "columns": columns,
        "rows": to_cells(table),
    }


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
