"""The report shows what strangers' records say as text: no tag, no script, no address of theirs."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import pytest
from synthetic_records import write_experiment

from stprune.paper.products import make_products
from stprune.results.summarise import summarise

HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>{{7*7}}"


class Seen(HTMLParser):
    """Counts tags, and keeps attributes that could do something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag == "script":
            self.scripts.append("")
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(value or "")
            if name in ("src", "href"):
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of an experiment whose records say ``HARM`` wherever they may."""
    root = tmp_path_factory.mktemp("report") / "x"
    layout = write_experiment(root, pruners=("st_prune",), ratios=(0.5,))
    records = sorted(layout.root.glob("runs/**/metrics.json"))
    for path in records:
        values = json.loads(path.read_text())
        values["data"]["target_unit"] = f"cars {HARM}"
        values["environment"]["processor"] = f"fast {HARM}"
        values["environment"][f"key {HARM}"] = 1
        values["config"][f"option {HARM}"] = HARM
        values["started"] = f"2000 {HARM}"
        path.write_text(json.dumps(values))
    summarise(records, layout, {"experiment": f"x  # {HARM}"})
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "KAGGLE_API_TOKEN", "STPRUNE_MIRROR"):
            patch.setenv(name, "http://me:5ec4e7@example.org")
        make_products(layout.store, layout.root)
    return layout.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_nothing_in_a_record_becomes_part_of_the_page(page: str) -> None:
    seen = Seen(page)
    assert seen.handlers == []
    assert "b" not in seen.tags
    assert not [script for script in seen.scripts if script.lstrip().startswith("alert(1)")]
    assert not [a for a in seen.addresses if a.startswith(("javascript", "http", "//", "x"))]
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page, "it is shown, as text"
    assert "{{7*7}}" in page, "and no template"


@pytest.mark.slow
def test_the_page_may_load_nothing_and_holds_no_secret(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', page)
    assert policy is not None
    assert "default-src" in html.unescape(policy[1])
    assert "http" not in policy[1]
    assert "5ec4e7" not in page
