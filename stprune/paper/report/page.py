"""Puts the page together from its sections."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import altair
import jinja2
import pandas as pd
import vl_convert
from PIL import Image

from stprune.base.files import write_text
from stprune.base.layout import ExperimentLayout
from stprune.paper.content import places, seed_count
from stprune.paper.figures import Drawing, FigureFiles
from stprune.paper.report.charts import chart
from stprune.paper.report.findings import findings, headlines, place_verdict
from stprune.paper.report.ledger import overhead_ledger
from stprune.paper.report.methods import methods
from stprune.paper.tables import Cell, Column, Table, is_text, shared_headings, to_cells
from stprune.records.store import REFERENCE
from stprune.results.summary import Results

TEMPLATES = Path(__file__).parents[1] / "templates"
SCRIPT = "page.js"
RUN_AXES = ("dataset", "backbone", "pruner")
HEADLINE_FIGURE, HEADLINE_TABLE = "tradeoff", "main"


RUN_CAPTION = "Every seed of every run, as recorded."
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
)


# A palette of so many colours shows plots as they are in a third of the bytes.
COLOURS = 256


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it; ``source`` is a data URI."""

    title: str
    caption: str
    alt: str
    source: str


def write_report(
    layout: ExperimentLayout,
    results: Results,
    tables: Mapping[str, Table],
    pictures: Mapping[str, Picture],
) -> None:
    """Write ``report.html`` of an experiment; it needs no network and no other file.

    Args:
        layout: The experiment; without ``config.yaml`` that section is left out.
        results: Its results.
        tables: Its tables that have something to show, by name.
        pictures: The same of its figures.
    """
    environment, differing = compare_environments(results.environments)
    order = _first(HEADLINE_TABLE, list(tables))
    scripts = [vega_script(), (TEMPLATES / SCRIPT).read_text(encoding="utf-8")]
    runs = Table("Every run", RUN_CAPTION, results.summary, RUN_COLUMNS)
    page = _template().render(
        experiment=layout.root.name,
        policy=content_policy(scripts),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        chart=chart(results),
        overview=_overview(results),
        headlines=headlines(results, tables),
        findings=_by_place(results, tables["equivalence"]),
        figures=[pictures[name] for name in _first(HEADLINE_FIGURE, list(pictures))],
        sections=[
            ("results", "Results", [_for_page(tables[name]) for name in order]),
            ("overhead", "Overhead", [_for_page(overhead_ledger(results))]),
            (
                "runs",
                "Runs",
                [_for_page(runs)],
            ),
        ],
        methods=methods(results),
        environment=environment,
        differing=", ".join(differing),
        config=results.configuration,
    )
    write_text(layout.report, page)


def content_policy(scripts: Sequence[str]) -> str:
    """What the page may load and run: nothing from outside, no script but these very ones.

    Args:
        scripts: Text of every script element, to the letter.

    Returns:
        A content security policy (W3C, CSP level 3) with the scripts' SHA-256.
    """
    digests = [hashlib.sha256(script.encode("utf-8")).digest() for script in scripts]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
        f" style-src 'unsafe-inline'; script-src {allowed}"
    )


def _by_place(results: Results, equivalence: Table) -> list[tuple[str, list[str]]]:
    """The findings of each place, what was tested there before what the means say."""
    said = zip(places(results.aggregate), findings(results.aggregate), strict=True)
    return [
        (words, [tested, *sentences] if tested else sentences)
        for place, (words, sentences) in said
        for tested in [place_verdict(equivalence.frame, *place)]
    ]


def _first(headline: str, names: list[str]) -> list[str]:
    """What the page is opened for comes first, whatever the names of the others."""
    return sorted(names, key=lambda name: (name != headline, name))


def _overview(results: Results) -> str:
    runs = results.summary
    parts = [
        f"{len(runs)} runs",
        *(_count(runs[column], column.replace("dataset", "data set")) for column in RUN_AXES),
        "with full training" if (runs["pruner"] == REFERENCE).any() else "without full training",
        seed_count(results.aggregate),
    ]
    return f"{', '.join(parts)}; from {runs['started'].min()} to {runs['finished'].max()}."


def _count(values: pd.Series[Any], noun: str) -> str:
    count = values[values != REFERENCE].nunique()
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _for_page(table: Table) -> dict[str, Any]:
    columns = [{"title": column.title, "text": is_text(table, column)} for column in table.columns]
    return {
        "title": table.title,
        "caption": table.caption,
        "headings": shared_headings(table),
        "columns": columns,
        "rows": [[_for_cell(cell) for cell in row] for row in to_cells(table)],
    }


def _for_cell(cell: Cell) -> dict[str, Any]:
    """A cell with what it is sorted by: words by themselves, numbers to seven digits."""
    sort = None if cell.sort is None or isinstance(cell.sort, str) else f"{cell.sort:.7g}"
    return {
        "text": cell.text,
        "rank": cell.rank,
        "number": sort,
        "missing": cell.sort is None,
    }


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("report.html.j2")


def picture_of(title: str, drawing: Drawing, files: FigureFiles) -> Picture:
    """A figure whose files were made; its caption stands in the page, not in the picture."""
    content = small_png(files.png, files.note)
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(title, drawing.caption, drawing.alt, source)


def small_png(content: bytes, left_out: float = 0.0) -> bytes:
    """The same picture with at most ``COLOURS`` colours, the same bytes every time.

    Args:
        content: A PNG file.
        left_out: Share of its height, from below, that is cut off.
    """
    with Image.open(io.BytesIO(content)) as image:
        shown = image.crop((0, 0, image.width, math.floor(image.height * (1 - left_out))))
        palette = shown.convert("RGB").quantize(
            COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    buffer = io.BytesIO()
    # A smaller file by 7 % would take five times as long.
    palette.save(buffer, "png", compress_level=6)
    return buffer.getvalue()


EXPORT = "window.vegaEmbed = vegaEmbed;"


@lru_cache(maxsize=1)
def vega_script() -> str:
    """The three libraries, as `vegaEmbed` of the page's window, in about 0.9 MB.

    They come with `vl-convert-python`, so nothing is downloaded.
    """
    script: str = vl_convert.javascript_bundle(EXPORT, vl_version=_version())
    # The end of the element is all that could end a script early.
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE)


def _version() -> str:
    """Of Vega-Lite that Altair writes for, such as ``6.4``."""
    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def compare_environments(
    environments: Sequence[tuple[dict[str, Any], int]],
) -> tuple[list[tuple[str, str]], list[str]]:
    """Every recorded key with its value, or all its values with the number of runs.

    Args:
        environments: Distinct environments, each with the number of runs that recorded it.

    Returns:
        Pairs of key and text, sorted; and the keys whose values differ between runs.
    """
    flat = [(dict(_flat(environment)), runs) for environment, runs in environments]
    rows, differing = [], []
    for key in sorted({key for values, _ in flat for key in values}):
        counts: Counter[str] = Counter()
        for values, runs in flat:
            counts[values.get(key, "not recorded")] += runs
        if len(counts) == 1:
            rows.append((key, next(iter(counts))))
        else:
            differing.append(key)
            rows.append((key, "; ".join(_counted(v, n) for v, n in sorted(counts.items()))))
    return rows, differing


def _counted(value: str, runs: int) -> str:
    return f"{value} ({runs} run{'' if runs == 1 else 's'})"


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
