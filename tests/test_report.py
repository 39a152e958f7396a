"""The report stands alone, shows every run, and says no more than the numbers do."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from synthetic_records import PRUNERS, write_experiment

from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, store_config, store_table
from stprune.paper.figures import FIGURES
from stprune.paper.products import applicable, make_products
from stprune.paper.report import Picture, vega_script, write_report
from stprune.paper.report.ledger import overhead_ledger
from stprune.paper.tables import TABLES
from stprune.results.labels import label
from stprune.results.summary import load_results
from stprune.statistics.paired import CONTROLS

VOID = {"meta", "img", "br", "input"}


# In the place of all figures, where a test is not about them.
BLANK = {"tradeoff": Picture("Blank", "Nothing.", "A blank picture", "data:image/png;base64,")}


def report(layout: ExperimentLayout) -> None:
    """Write the page without figures."""
    results = load_results(layout.store)
    names = applicable(TABLES, results)
    tables = {name: TABLES.module(name).build(results) for name in names}
    write_report(layout, results, tables, BLANK)


class _Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _read(layout: ExperimentLayout) -> _Page:
    return _Page(layout.report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLayout:
    layout = write_experiment(tmp_path_factory.mktemp("reported"))
    text = "experiment: <script>alert('x')</script>\n"
    store_config(layout.store).write_text(text, encoding="utf-8")
    make_products(layout.store, layout.root)
    return layout


def test_page_needs_nothing_from_outside(layout: ExperimentLayout) -> None:
    page = _read(layout)
    sources = page.values("img", "src") + page.values("script", "src") + page.values("link", "href")
    assert len(sources) == len(applicable(FIGURES, load_results(layout.store)))
    for source in sources:
        content = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        assert content.startswith(b"\x89PNG")
    assert all(page.values("img", "alt"))
    text = layout.report.read_text(encoding="utf-8").replace(vega_script(), "")
    assert not re.search(r"https?://|url\(|@import", text)


def test_links_lead_to_sections(layout: ExperimentLayout) -> None:
    page = _read(layout)
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {link.removeprefix("#") for link in page.values("a", "href")} <= ids
    runs = load_results(layout.store).summary
    assert len(re.findall("<tr>", layout.report.read_text(encoding="utf-8"))) > len(runs)


def test_config_is_shown_as_text_or_left_out(layout: ExperimentLayout, tmp_path: Path) -> None:
    assert "experiment: <script>alert('x')</script>" in _read(layout).text
    assert "<script>alert" not in layout.report.read_text(encoding="utf-8")
    bare = write_experiment(tmp_path, pruners=PRUNERS[:1], ratios=(0.5,), seeds=(0,))
    report(bare)
    assert "Configuration" not in _read(bare).text


def test_every_table_is_on_the_page_the_main_one_first(layout: ExperimentLayout) -> None:
    page = _read(layout)
    shown_here = applicable(TABLES, load_results(layout.store))
    titles = {name: TABLES.module(name).TITLE for name in shown_here}
    regions = page.values("div", "aria-label")
    shown = [region for region in regions if region in titles.values()]
    assert shown[0] == titles["main"]
    assert sorted(shown) == sorted(titles.values())
    assert Counter(page.values("th", "colspan")) >= Counter({"3": 2, "6": 2})
    assert "Against Random (dynamic) Against Full (fewer epochs)" in page.text
    for name in CONTROLS:
        assert page.words.count(label(name)) >= len(titles)


def test_what_scripts_read_is_json_that_no_text_can_end(layout: ExperimentLayout) -> None:
    text = layout.report.read_text(encoding="utf-8")
    ((name, block),) = re.findall(
        r'<script type="application/json" id="([a-z-]+)">(.*?)</script>', text
    )
    assert name == "embedded-chart"
    assert "<" not in block
    assert len(json.loads(block)["datasets"]["runs"]) == 2 + 6 * 2 * 2


def test_page_is_the_same_every_time(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path, seeds=(0,))
    # Its pictures are, too: that is tested figure by figure.
    pages = []
    for _ in range(2):
        report(layout)
        pages.append(layout.report.read_bytes())
    assert pages[0] == pages[1]


def test_report_without_full_training_makes_no_comparison(tmp_path: Path) -> None:
    lean = write_experiment(tmp_path, with_full=False, seeds=(0,), ratios=(0.5,))
    report(lean)
    text = _read(lean).text
    assert "Full training was not run, so nothing is relative to it." in text
    assert "Without full training nothing is expected." in text
    assert "of its per-epoch time" not in text
    assert "nan" not in text.lower().split()


def test_ledger_adds_up(layout: ExperimentLayout) -> None:
    ledger = overhead_ledger(load_results(layout.store))
    row = ledger.frame.query("pruner == 'st_prune' and prune_ratio == 0.5").iloc[0]
    # The synthetic epochs spend 10, 85, 3 and 2 % of their time on the four parts.
    assert row["overhead_percent"] == pytest.approx(5.0)
    parts = ["data", "step", "scoring", "selection"]
    total = sum(row[f"{part}_seconds"] for part in parts)
    assert row["step_seconds"] / total == pytest.approx(0.85)
    assert "12 of 12 lie within 10 % of what is expected." in ledger.caption


def test_report_before_the_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="summarise the experiment first"):
        make_products(ExperimentLayout(tmp_path).store, tmp_path)
    assert not list(tmp_path.iterdir())


def test_record_that_is_gone_is_refused(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path, pruners=PRUNERS[:1], ratios=(0.5,), seeds=(0,))
    path = store_table(layout.store, "records")
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(RecordError, match=r"records\.parquet"):
        make_products(layout.store, layout.root)
