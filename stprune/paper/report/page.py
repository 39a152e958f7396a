"""Puts the page together from its sections."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from stprune.base.files import write_text
from stprune.base.layout import ExperimentLayout
from stprune.paper.content import places, seed_count
from stprune.paper.findings import Finding, findings
from stprune.paper.report.curve_chart import QUANTITIES, curve_chart
from stprune.paper.report.environments import compare_environments
from stprune.paper.report.headlines import headlines, place_verdict
from stprune.paper.report.ledger import overhead_ledger
from stprune.paper.report.methods import methods
from stprune.paper.report.pictures import Picture
from stprune.paper.report.run_pages import embedded_runs, run_table
from stprune.paper.report.tradeoff_chart import tradeoff_chart
from stprune.paper.report.vega import vega_script
from stprune.paper.tables import Cell, Table, is_text, shared_headings, to_cells
from stprune.results.summary import REFERENCE, Results

TEMPLATES = Path(__file__).parents[1] / "templates"
SCRIPTS = ("tables.js", "runs.js", "charts.js")
RUN_AXES = ("dataset", "backbone", "pruner")
HEADLINE_FIGURE, HEADLINE_TABLE = "tradeoff", "main"


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
    scripts = [vega_script(), *(_script(name) for name in SCRIPTS)]
    page = _template().render(
        experiment=layout.root.name,
        policy=content_policy(scripts),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        data=embedded_runs(results, layout.report.parent),
        charts=_charts(results),
        overview=_overview(results),
        headlines=headlines(results, tables),
        findings=_by_place(results, tables["equivalence"]),
        figures=[pictures[name] for name in _first(HEADLINE_FIGURE, list(pictures))],
        sections=[
            ("results", "Results", [_for_page(tables[name]) for name in order]),
            ("overhead", "Overhead", [_for_page(overhead_ledger(results))]),
            ("runs", "Runs", [_for_page(run_table(results))]),
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


def _charts(results: Results) -> dict[str, Any]:
    return {
        "tradeoff": tradeoff_chart(results),
        "curves": {field: curve_chart(field) for field in QUANTITIES},
    }


def _by_place(results: Results, equivalence: Table) -> list[Finding]:
    """The findings of each place, what was tested there before what the means say."""
    found = []
    for place, finding in zip(places(results.aggregate), findings(results.aggregate), strict=True):
        tested = place_verdict(equivalence.frame, *place)
        found.append(
            finding._replace(sentences=[*([tested] if tested else []), *finding.sentences])
        )
    return found


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
    links = [column.key == "run" for column in table.columns]
    return {
        "title": table.title,
        "caption": table.caption,
        "headings": shared_headings(table),
        "columns": columns,
        "rows": [
            [_for_cell(cell, link) for cell, link in zip(row, links, strict=True)]
            for row in to_cells(table)
        ],
    }


def _for_cell(cell: Cell, link: bool) -> dict[str, Any]:
    """A cell with what it is sorted by: words by themselves, numbers to seven digits."""
    sort = None if cell.sort is None or isinstance(cell.sort, str) else f"{cell.sort:.7g}"
    return {
        "text": cell.text,
        "rank": cell.rank,
        "link": link,
        "number": sort,
        "missing": cell.sort is None,
    }


def _script(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


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
