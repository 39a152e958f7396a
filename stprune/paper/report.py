"""One self-contained HTML page that says what an experiment found and how it was run."""

import base64
import hashlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import altair
import jinja2
import vl_convert
from PIL import Image

from stprune.base.files import write_text
from stprune.base.layout import ExperimentLayout, format_ratio
from stprune.paper import FIGURES
from stprune.paper.charts import explorer, picture
from stprune.paper.content import labels
from stprune.paper.draw import Drawing
from stprune.paper.findings import findings
from stprune.paper.tables import (
    TIMING,
    Column,
    Table,
    format_number,
    is_text,
    shared_headings,
    to_cells,
)
from stprune.records.store import REFERENCE
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

TEMPLATES = Path(__file__).with_name("templates")
HEADLINE_FIGURE, HEADLINE_TABLE = "tradeoff", "main"
# A palette of so many colours shows plots as they are in a third of the bytes.
COLOURS = 256
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
    Column("epoch_seconds", "Per epoch (s)", 2, marks=TIMING),
    Column("total_seconds", "Total (s)", 1, marks=TIMING),
    Column("own_total_seconds", "Own clock, total (s)", 1),
    Column("resumed", "Resumed", 0),
)
METHOD = (
    "ST-Prune (arXiv 2602.19113). Its formulas are our reading of the paper: docs/method.md of the"
    " project says what it does here and which parts are chosen by us; docs/statistics.md which"
    " test stands behind which claim."
)
MEASURED = (
    "Errors: masked, of all test windows, in real units, once a run, with the weights that were"
    " best on the validation windows. Times: wall clock, the run's own epochs at what such an epoch"
    " took in the timing of its data set and backbone, where there is one. A per-epoch time is from"
    " the selection of windows to the last optimiser step, the median over pruned epochs; the total"
    " adds preparation, validation and checkpoints; the test pass is in neither."
)


class Picture(NamedTuple):
    """A figure as the page holds it."""

    title: str
    caption: str
    alt: str  # For readers who cannot see it: what its module says of it.
    source: str  # A data URI.


def write_report(
    layout: ExperimentLayout,
    results: Results,
    tables: Mapping[str, Table],
    pictures: Mapping[str, Picture],
) -> None:
    """Write ``report.html`` of an experiment; it needs no network and no other file.

    ``tables`` and ``pictures``, by name, are those that have something to show.
    """
    scripts = [vega_script(), (TEMPLATES / "page.js").read_text(encoding="utf-8")]
    runs = Table("Every run", "Every seed of every run, as recorded.", results.summary, RUN_COLUMNS)
    # What the page is opened for comes first, whatever the names of the others.
    shown = [tables[name] for name in sorted(tables, key=lambda n: (n != HEADLINE_TABLE, n))]
    figures = [pictures[name] for name in sorted(pictures, key=lambda n: (n != HEADLINE_FIGURE, n))]
    found = findings(results)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.globals |= {f.__name__: f for f in (is_text, shared_headings, to_cells)}
    page = environment.get_template("report.html.j2").render(
        experiment=layout.root.name,
        policy=content_policy(scripts),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        charts={"picture": picture(results, found), "explorer": explorer(results)},
        found=found,
        figures=figures,
        sections=[("tables", "All tables", shown), ("runs", "Every run", [runs])],
        methods=methods(results),
        environment=compare_environments(r.environment for r in results.records.values()),
        config=results.configuration,
    )
    write_text(layout.report, page)


def content_policy(scripts: Sequence[str]) -> str:
    """What the page may load and run: nothing from outside, no script but these very ones.

    A content security policy (W3C, CSP level 3) with the SHA-256 of each script element's text.
    """
    digests = [hashlib.sha256(script.encode("utf-8")).digest() for script in scripts]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
        f" style-src 'unsafe-inline'; script-src {allowed}"
    )


def methods(results: Results) -> dict[str, str]:
    """How the runs were made, from their records: a sentence or two by heading, in order."""
    runs = results.summary
    pruned = runs[runs["pruner"] != REFERENCE]
    absent = labels(name for name in (REFERENCE, *CONTROLS) if name not in set(runs["pruner"]))
    protocols = {record.config.get("protocol") for record in results.records.values()} - {None}
    commits = sorted({commit[:12] for commit in runs["git_commit"].dropna()})
    digests = runs["source_digest"].nunique()
    budgets = [
        f"{str(budget).replace('_', ' ')} ({', '.join(sorted(set(part['dataset'])))})"
        for budget, part in pruned.groupby("budget")
    ]
    counts = runs.groupby("dataset")[["training_windows", "test_windows", "data_checksum"]].max()
    data = [
        f"{dataset}: {format_number(training, 0)} training and {format_number(test, 0)} test"
        f" windows, checksum {checksum[:12]}"
        for dataset, training, test, checksum in counts.itertuples(name=None)
    ]
    begun, ended = (t[:16].replace("T", " ") for t in (min(runs["started"]), max(runs["finished"])))
    found = {
        "Runs": f"{len(runs)}, from {begun} to {ended} UTC.",
        "Method": METHOD,
        "Pruners": labels(sorted(set(runs["pruner"])))
        + (f". Not run here: {absent}." if absent else "."),
        "Prune ratios": ", ".join(map(format_ratio, sorted(set(pruned["prune_ratio"])))),
        "Seeds": ", ".join(map(str, sorted(set(runs["seed"])))),
        "Budget, at most what full training spends": "; ".join(budgets),
        "Protocol": ", ".join(sorted(map(str, protocols))),
        "Data": "; ".join(data) + ".",
        "Measured": MEASURED,
        "Code": f"Commit {', '.join(commits) or 'not recorded'}; source digests: {digests}.",
    }
    return {heading: text for heading, text in found.items() if text}


def compare_environments(environments: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Every recorded key with its value, or all its values with the number of runs."""
    flat = [dict(_flat(environment)) for environment in environments]
    rows = {}
    for key in sorted({key for values in flat for key in values}):
        counts = Counter(values.get(key, "not recorded") for values in flat)
        counted = [f"{value} (runs: {runs})" for value, runs in sorted(counts.items())]
        rows[key] = next(iter(counts)) if len(counts) == 1 else "; ".join(counted)
    return rows


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)


def picture_of(name: str, drawing: Drawing, png: bytes, note: float) -> Picture:
    """A figure as `write_drawing` made it; its caption stands in the page, not in the picture."""
    module = FIGURES.module(name)
    source = f"data:image/png;base64,{base64.b64encode(small_png(png, note)).decode('ascii')}"
    return Picture(module.TITLE, drawing.caption, (module.__doc__ or "").strip(), source)


def small_png(content: bytes, left_out: float = 0.0) -> bytes:
    """A PNG file with at most ``COLOURS`` colours, the same bytes every time.

    The share ``left_out`` of its height is cut off from below.
    """
    with Image.open(io.BytesIO(content)) as image:
        shown = image.crop((0, 0, image.width, math.floor(image.height * (1 - left_out))))
        options = COLOURS, Image.Quantize.MAXCOVERAGE
        palette = shown.convert("RGB").quantize(*options, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    # A smaller file by 7 % would take five times as long.
    palette.save(buffer, "png", compress_level=6)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed, as `vegaEmbed` of the page's window, in about 0.9 MB.

    They come with `vl-convert-python`, so nothing is downloaded.
    """
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    # The end of the element is all that could end a script early.
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE)
