"""The report stands alone, shows every run, and says no more than the numbers do."""

import base64
import io
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from synthetic_kept import write_archives
from synthetic_records import PRUNERS, cost, results_of, run_of, summarised, write_experiment

from paper_figures import tab_main, tab_tradeoff
from stprune.__main__ import main
from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, store_config, store_table
from stprune.paper import TABLES, charts
from stprune.paper.charts import explorer, explorer_data, picture
from stprune.paper.draw import LOOKS
from stprune.paper.figures import build
from stprune.paper.findings import findings
from stprune.paper.products import applicable, make_products
from stprune.paper.report import (
    Picture,
    compare_environments,
    content_policy,
    methods,
    small_png,
    vega_script,
    write_report,
)
from stprune.paper.tables import DASH, to_cells
from stprune.records.timing import VERDICTS
from stprune.results.labels import timing_mark, timing_notes
from stprune.results.summarise import summarise
from stprune.results.summary import Results, aggregate, least_trusted, load_results

VOID = {"meta", "img", "br", "input"}
HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>{{7*7}}"
# In the place of all figures, where a test is not about them.
BLANK = {"tradeoff": Picture("Blank", "Nothing.", "A blank picture", "data:image/png;base64,")}
Errors = Mapping[str, Sequence[float]]


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        assert tag in VOID or tag != "b"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        in_code = self.open[-1:] in (["script"], ["style"])
        (self.scripts if in_code else self.words).append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report(results: Results, layout: ExperimentLayout) -> Page:
    """The page without figures, which is the same every time."""
    tables = {name: TABLES.module(name).build(results) for name in applicable("tables", results)}
    texts = set()
    for _ in range(2):
        write_report(layout, results, tables, BLANK)
        texts.add(layout.report.read_text(encoding="utf-8"))
    (text,) = texts
    return Page(text)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept experiment whose records say ``HARM`` wherever they may."""
    layout = write_experiment(tmp_path_factory.mktemp("runs") / "reported")
    write_archives(layout)
    records = sorted(layout.root.glob("runs/**/metrics.json"))
    for path in records:
        values = json.loads(path.read_text())
        values["data"]["target_unit"] = f"cars {HARM}"
        values["environment"] |= {"processor": f"fast {HARM}", f"key {HARM}": 1}
        values["config"][f"option {HARM}"] = HARM
        values["started"] = f"2000 {HARM}"
        path.write_text(json.dumps(values))
    summarise(records, layout, {"experiment": f"x  # {HARM}"})
    return Path(shutil.copytree(layout.store, tmp_path_factory.mktemp("records") / "reported"))


@pytest.fixture(scope="module")
def into(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that `stprune paper` makes of it."""
    into = tmp_path_factory.mktemp("paper")
    old = into / "reported" / "tables" / "of_another_version.csv"
    old.parent.mkdir(parents=True)
    old.touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "KAGGLE_API_TOKEN", "STPRUNE_MIRROR"):
            patch.setenv(name, "http://me:5ec4e7@example.org")
        assert main(["paper", "--records", str(store.parent), "--into", str(into)]) == 0
    return into / "reported"


@pytest.fixture(scope="module")
def page(into: Path) -> Page:
    return Page((into / "report.html").read_text(encoding="utf-8"))


def test_everything_that_has_something_to_show_is_written(into):
    made = {path.relative_to(into).as_posix() for path in into.glob("**/*.*")}
    figures = {"figures/tradeoff.pdf", "figures/kept_overlap.png"}
    assert {"report.html", *figures, *(f"tables/main.{k}" for k in ("csv", "md", "tex"))} <= made
    # No held-out data, one task, one optimiser; and what lay there before is gone.
    nothing = ("foundation", "tasks", "universality", "of_another_version")
    assert not [path for path in made if Path(path).stem in nothing]
    main_table = pd.read_csv(into / "tables" / "main.csv")
    assert set(main_table["pruner"]) == {"full", *PRUNERS}


def test_page_needs_nothing_from_outside(store, page):
    sources = page.values("img", "src") + page.values("script", "src") + page.values("link", "href")
    assert len(sources) == len(applicable("figures", load_results(store)))
    for source in sources:
        content = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        assert content.startswith(b"\x89PNG")
    assert all(page.values("img", "alt"))
    assert not re.search(r"https?://|url\(|@import", page.source.replace(vega_script(), ""))
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {link.removeprefix("#") for link in page.values("a", "href")} <= ids
    assert len(re.findall("<tr>", page.source)) > len(load_results(store).summary)


def test_nothing_in_a_record_becomes_part_of_the_page(page):
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not [script for script in page.scripts if script.lstrip().startswith("alert(1)")]
    assert HARM in page.text, "it is shown, as text and not as a template"
    (policy,) = [v for v in page.values("meta", "content") if v.startswith("default-src 'none';")]
    assert "http" not in policy
    assert "5ec4e7" not in page.source


def test_every_table_is_on_the_page_the_main_one_first(store, page):
    names = applicable("tables", load_results(store))
    titles = {name: TABLES.module(name).TITLE for name in names}
    shown = [region for region in page.values("div", "aria-label") if region in titles.values()]
    assert shown[0] == titles["main"]
    assert sorted(shown) == sorted(titles.values())


def test_what_scripts_read_is_json_that_no_text_can_end(page):
    blocks = dict(
        re.findall(r'<script type="application/json" id="([a-z-]+)">(.*?)</script>', page.source)
    )
    assert all("<" not in block for block in blocks.values())
    data = {name: json.loads(block)["datasets"] for name, block in blocks.items()}
    assert len(data["explorer-chart"]["runs"]) == 2 + 6 * 2 * 2
    assert len(data["picture-chart"]["points"]) == 1 + 6 * 2
    script = vega_script()
    assert "vegaEmbed" in script
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_without_full_training_nothing_is_compared(tmp_path):
    layout = write_experiment(tmp_path, with_full=False, seeds=(0,), ratios=(0.5,))
    results = load_results(layout.store)
    first = report(results, layout)
    assert "No pruned run can be held against full training" in first.text
    assert not first.values("td", "data-verdict")
    assert "nan" not in first.text.lower().split()
    assert "Configuration" not in first.text
    x = explorer(results)["vconcat"][0]["layer"][-1]["encoding"]["x"]
    assert x["title"] == "Time or steps (s, number)"


def test_report_without_a_record_is_refused(tmp_path):
    layout = write_experiment(tmp_path, pruners=PRUNERS[:1], ratios=(0.5,), seeds=(0,))
    path = store_table(layout.store, "records")
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(RecordError, match=r"records\.parquet"):
        make_products(layout.store, layout.root)


# Findings


def results_with(root: Path, places: Mapping[str, Errors], **spent: Any) -> Results:
    """Test errors by data set and pruner, one a seed."""
    runs = [
        run_of(dataset, pruner, 0.0 if pruner == "full" else 0.5, seed, mae, cost=cost(**spent))
        for dataset, pruners in places.items()
        for pruner, errors in pruners.items()
        for seed, mae in enumerate(errors)
    ]
    return results_of(root, runs)


def sentences(root: Path, **pruners: Sequence[float]) -> list[str]:
    return [answer.sentence for answer in findings(results_with(root, {"r": pruners})).answers]


CONTROLS = {"random_dynamic": [2.0, 2.2, 2.1, 2.3], "full_fewer_epochs": [2.5, 2.0, 2.2, 2.4]}
# Every seed 10 % (and a little) above the random control.
WORSE = [2.2, 2.42, 2.32, 2.53]


def test_the_method_is_held_to_the_better_control_with_the_test(tmp_path):
    worse = results_with(tmp_path / "w", {"r": {**CONTROLS, "full": [2.0] * 4, "st_prune": WORSE}})
    choice = findings(worse).answers[1]
    assert choice.sentence.startswith("The choice of windows does harm: 10.")
    assert "Random (dynamic), the better control" in choice.sentence
    assert "95 % interval +10." in choice.basis
    assert (
        "4 pairs of runs, p < 0.001; over the means of the data sets (1), too few" in choice.basis
    )
    others = {"st_prune": [2.1, 2.1, 2.2, 2.2], "x": [1.2, 1.0, 1.1, 1.15]}
    tie = findings(results_with(tmp_path / "t", {"r": {**CONTROLS, **others}})).answers[1]
    assert tie.sentence.startswith("Choosing windows is not shown to matter: ")
    assert tie.basis.endswith("Better than both controls, of 2 pruners: X.")
    few = sentences(tmp_path / "f", st_prune=[2.2], random_dynamic=[2.0])
    assert few[1].endswith("has no run in common with Full (fewer epochs).")
    one = {name: errors[:1] for name, errors in CONTROLS.items()}
    assert sentences(tmp_path / "o", st_prune=[2.2], **one)[1].startswith("Choosing windows is not")


def test_a_loss_gets_a_word_by_its_test(tmp_path):
    full = [2.0, 2.1, 2.2, 2.3]
    factors = {"st_prune": 1.0, "about": 1.011, "lost": 1.1, "loud": 1.0}
    runs = {name: [mae * factor for mae in full] for name, factor in factors.items()}
    for name in ("st_prune", "about", "lost"):
        runs[name][0] *= 1.001
    runs["loud"] = [2.5, 1.8, 2.4, 2.0]
    found = findings(results_with(tmp_path / "a", {"r": {"full": full, **runs}}))
    assert found.points.set_index("pruner")["verdict"].to_dict() == {
        **{"st_prune": "lossless", "about": "about 1 %", "lost": "worse", "loud": "not decided"}
    }
    assert found.answers[0].sentence.endswith("Lossless at 0.5.")
    assert found.points["count"].tolist() == [4] * 4
    # Two seeds are no test, and of three data sets each counts once.
    two = {"full": full[:2], "st_prune": runs["st_prune"][:2]}
    found = findings(results_with(tmp_path / "b", {"r": two}))
    assert found.points["verdict"].tolist() == ["not decided"]
    assert "2 seeds: too few" in found.answers[0].sentence
    # As while a grid runs: full training alone.
    alone = findings(results_with(tmp_path / "d", {"r": {"full": full}}))
    assert (len(alone.points), len(alone.answers), len(alone.table.frame)) == (0, 3, 0)
    found = findings(results_with(tmp_path / "c", dict.fromkeys("rst", two)))
    assert (found.points["count"][0], found.points["verdict"][0]) == (3, "lossless")
    lossy = {"full": full, "st_prune": [1.1 * mae for mae in full]}
    found = findings(results_with(tmp_path / "e", {"r": two, "s": lossy}))
    ends = found.points[["best", "worst", "most"]].to_numpy().tolist()
    assert ends == [["r", "s", pytest.approx(10.0)]]
    assert "to +10.0 % on s" in found.answers[0].sentence


def test_the_rows_are_the_method_the_better_control_and_the_best_rival(tmp_path):
    errors = {"full": 2.0, "st_prune": 2.2, "random_dynamic": 2.3, "full_fewer_epochs": 2.4}
    errors |= {"x": 2.5, "y": 2.1}
    runs = [run_of("r", "full", 0.0, 0, 2.0)]
    runs += [
        run_of("r", name, ratio, 0, mae)
        for name, mae in errors.items()
        for ratio in (0.3, 0.5, 0.9)
        if name != "full"
    ]
    runs.append(run_of("same_time", "z", 0.9, 0, 2.0, cost=cost(budget="total_time")))
    found = findings(results_of(tmp_path, runs))
    rows = found.table.frame[["prune_ratio", "pruner"]].itertuples(index=False, name=None)
    first = ("st_prune", "random_dynamic")
    wanted = [(0.3, name) for name in first]
    wanted += [(ratio, name) for ratio in (0.5, 0.9) for name in (*first, "y")]
    assert list(rows) == wanted
    assert found.runs == (
        "STID on r, same_time · 6 pruners at prune ratio 0.3, 0.5, 0.9 · 1 seed · 17 runs ·"
        " equal epochs (other budgets: see the tables)"
    )
    assert found.headline.count("\n- ") == 3


def timed(results: Results, timing: str | None) -> Results:
    """The same runs with times of this verdict, 4 % either way; None for none."""
    known = results.summary["total_seconds"] * (1 if timing else math.nan)
    ends = {"total_seconds_low": 0.96 * known, "total_seconds_high": 1.04 * known}
    columns = {"timing": timing, "total_seconds": known, **ends}
    summary = results.summary.assign(**columns)
    if timing is None:
        summary = summary.assign(epoch_seconds=math.nan)
    return replace(results, summary=summary, aggregate=aggregate(summary))


def test_a_mark_and_a_sentence_say_how_far_to_trust_a_time():
    assert [timing_mark(some) for some in (*VERDICTS, None)] == ["", "", "~", "!", ""]
    assert timing_notes(["steady", "steady"]) == []
    (note,) = timing_notes(["disturbed"])
    assert note.startswith("Times (marked !) were disturbed")
    first, second = timing_notes(["steady", "noisy", None], drawn=True)
    assert first.startswith("Some times are noisy")
    assert "gradient steps are drawn" in second
    assert [least_trusted(["noisy", "steady"]), least_trusted(["noisy", None])] == ["noisy", None]


def test_trust_in_times_is_said_wherever_they_are_shown(tmp_path):
    picked = ("full_fewer_epochs", "random_dynamic", "st_prune")
    kept = load_results(write_experiment(tmp_path, pruners=picked).store)
    assert findings(kept).answers[2].sentence == (
        "The times can be trusted: taken within the runs, 6 of 6 are as expected."
    )
    # Full training takes 8 x 11.1 s; half of the windows 8 x 6.1 and a little for the pruner.
    half = findings(kept).points.set_index(["pruner", "prune_ratio"]).loc["st_prune", 0.5]
    assert half["time"] == pytest.approx(100 * (5 + 0.1 + 0.05 * 3 + 1.1) / 11.1, abs=1)
    disturbed = timed(kept, "disturbed")
    main = tab_main.build(disturbed)
    at = [column.key for column in main.columns].index("total_percent")
    assert all(row[at].text.endswith("!") for row in to_cells(main))
    assert "Times (marked !) were disturbed" in main.caption
    found = findings(disturbed)
    assert found.answers[2].sentence.startswith("The times cannot be trusted: ")
    points = found.points.iloc[0]
    assert points[["time_low", "time_high"]].tolist() == pytest.approx(
        [0.96 * points["time"], 1.04 * points["time"]]
    )
    assert "±4 %" in findings(timed(kept, "noisy")).answers[2].sentence
    # Nothing was timed: steps are drawn, and tables have dashes.
    none = timed(kept, None)
    found, main = findings(none), tab_main.build(none)
    assert {row[at].text for row in to_cells(main)} == {DASH}
    assert found.answers[0].sentence.startswith("ST-Prune saves gradient steps: 50 % less")
    axis = picture(none, found)["layer"][2]["encoding"]["x"]["title"]
    assert axis == "Gradient steps (% of full training)"
    tradeoff = build("tradeoff", none)
    assert len(tradeoff.figure.axes) == 1
    assert "no timing was run" in tradeoff.caption
    assert tab_tradeoff.build(none).frame.empty


# The chart


def test_runs_are_held_to_the_mean_of_full_training(tmp_path):
    errors = {"full": [1.9, 2.1], "x": [2.2, 1.8]}
    data = explorer_data(results_with(tmp_path / "a", {"r": errors}, epoch_seconds=3.0))
    assert data["runs"][-1]["id"] == "r/stid/x/p0.5/s1"
    assert [run["change"] for run in data["runs"]] == [-5, 5, 10, -10]
    assert [run["epoch"] for run in data["runs"]] == [100] * 4
    # Each run knows full training of its seed.
    assert [run["full"] for run in data["runs"]] == [0, 1, 0, 1]
    lone = explorer_data(results_with(tmp_path / "lone", {"r": {"x": [2.2]}}))
    assert (lone["runs"][0]["change"], lone["runs"][0]["full"]) == (None, -1)


def test_curves_that_do_not_fit_are_left_out_whole_last_seeds_first(tmp_path, monkeypatch):
    results = results_with(tmp_path, {"r": {"x": [2.0] * 3, "y": [2.0] * 2}})
    results.epochs.loc[results.epochs["epoch"] == 1, "train_loss"] = math.nan
    # 8 epochs each; by seeds: x/s0, y/s0, x/s1, y/s1, x/s2.
    monkeypatch.setattr(charts, "MOST_EPOCHS", 3 * 8 + 7)
    rows = explorer_data(results)["epochs"]
    assert sorted({row["run"] for row in rows}) == [0, 1, 3]
    assert [row["seconds"] for row in rows[:2]] == [11.1, 22.2]
    assert rows[1]["train_loss"] is None


def test_the_charts_ask_for_nothing_and_have_the_colours_of_the_figures(store):
    results = load_results(store)
    first = picture(results, findings(results))
    for spec, parts in ((first, first), (whole := explorer(results), whole["vconcat"][0])):
        text = json.dumps(spec, allow_nan=False)
        assert "http" not in text
        assert '"url"' not in text
        scale = parts["layer"][-2 if spec is first else -1]["encoding"]["color"]["scale"]
        colours = dict(zip(scale["domain"], scale["range"], strict=True))
        assert colours["ST-Prune"] == LOOKS["st_prune"].colour
        assert len(colours) == 1 + len(PRUNERS)
    # Full training is a point like the others; two seeds have no interval.
    points = first["datasets"]["points"]
    assert points[-1] | {"mean": 0, "time": 100, "low": None} == points[-1]


# How the runs were made, and parts of the page


def test_methods_say_protocol_budget_data_and_what_was_not_run(tmp_path):
    layout = write_experiment(tmp_path, pruners=("st_prune",), ratios=(0.5,), seeds=(0, 3))
    found = methods(summarised(layout))
    assert found["Budget, at most what full training spends"] == "epochs (synthetic_roads)"
    assert found["Seeds"] == "0, 3"
    assert found["Pruners"].endswith("Not run here: Random (dynamic), Full (fewer epochs).")
    assert "1000 training and 200 test windows" in found["Data"]
    assert found["Code"] == "Commit 12345678; source digests: 1."
    assert not store_config(layout.store).exists()
    strict = run_of("r", "x", 0.5, 0, 3.0, config={"protocol": "strict"})
    assert methods(results_of(tmp_path / "strict", [strict]))["Protocol"] == "strict"


def test_policy_allows_the_very_scripts_and_nothing_else():
    # The example of the standard: CSP level 3, section 8.2.
    policy = content_policy(["alert('Hello, world.');"])
    assert "script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy[policy.index("script-src") :]


def test_a_picture_gets_small_and_looks_the_same():
    image = Image.new("RGB", (60, 40), "white")
    image.paste((213, 94, 0), (10, 10, 30, 30))
    buffer = io.BytesIO()
    image.save(buffer, "png")
    with Image.open(io.BytesIO(small_png(buffer.getvalue(), 0.25))) as cut:
        assert cut.size == (60, 30)
    with Image.open(io.BytesIO(small_png(buffer.getvalue()))) as found:
        assert found.mode == "P"
        assert found.convert("RGB").tobytes() == image.tobytes()


def test_environments_that_differ_are_named():
    some = {"threads": 2, "cpu": {"name": "a"}}
    rows = compare_environments([{**some, "threads": 1}, some, some, some, {"threads": 2}])
    assert rows == {
        "cpu.name": "a (runs: 4); not recorded (runs: 1)",
        "threads": "1 (runs: 1); 2 (runs: 4)",
    }
    assert compare_environments([{"threads": 1}] * 2) == {"threads": "1"}
