"""The report in a real browser: alone, without network, on a desk, on a phone and on paper."""

import base64
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait
from synthetic_records import write_experiment

from stprune.base.layout import STORE_TABLES
from stprune.paper import TABLES
from stprune.paper.figures import build, write_drawing
from stprune.paper.products import applicable
from stprune.paper.report import picture_of, write_report
from stprune.records.store import read_store, write_store
from stprune.results.summary import load_results

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# Why tests of a page are skipped; nothing where they can run.
LACKING = "" if CHROMIUM and DRIVER else "needs Debian's chromium and chromium-driver"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(LACKING), reason=LACKING)]

PICKED = ("full_fewer_epochs", "infobatch", "random_dynamic", "st_prune")
# What would run, load or end a script early if it were taken for more than text.
UNIT = "</script><script>window.ran = 1</script><img src='https://a.invalid/x.png'>"
# A mark of a run that nothing lies on.
UNCOVERED_MARK = """
const chart = document.querySelector("#explorer .chart");
chart.scrollIntoView();
return [...chart.querySelectorAll(".mark-symbol.role-mark path")].find(mark => {
  const box = mark.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const run = mark.__data__?.datum;
  return run?.id && run.run !== run.full && top === mark;
});
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seen")
    backbones = ("gwnet", "stid")
    layout = write_experiment(root, backbones, pruners=PICKED, seeds=(0, 1, 2))
    tables = {name: read_store(layout.store, name) for name in STORE_TABLES}
    summary = tables["summary"]
    summary["target_unit"] = summary["target_unit"].mask(summary["backbone"] == "stid", UNIT)
    configuration = "experiment: seen\npruners:\n  st_prune:\n    options: {strata: 7}\n"
    write_store(layout.store, tables, configuration)
    results = load_results(layout.store)
    tables = {name: TABLES.module(name).build(results) for name in applicable("tables", results)}
    pictures = {}
    for name in ("tradeoff", "regimes"):
        drawing = build(name, results)
        written = write_drawing(drawing, partial(layout.figure, name))
        pictures[name] = picture_of(name, drawing, *written)
    write_report(layout, results, tables, pictures)
    return layout.report


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Debian's Chromium without a window; it logs what pages ask for and say."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    home = tmp_path_factory.mktemp("browser")
    arguments = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    for argument in (*arguments, "--disable-dev-shm-usage", f"--user-data-dir={home}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(str(DRIVER)))
    driver.implicitly_wait(20)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Chrome, page: Path) -> Iterator[Chrome]:
    """The page as it is after its scripts ran; afterwards nothing may have gone wrong."""
    _set_size(browser, 1280)
    _open(browser, page)
    yield browser
    assert _console(browser) == []
    # What is in the page, and what is the browser's own, is no network.
    asked = {url for url in _requests(browser) if not url.startswith(("data:", "chrome:"))}
    assert asked <= {page.as_uri()}


def _open(driver: Chrome, page: Path, part: str = "") -> None:
    driver.get("about:blank")
    _console(driver), _requests(driver)
    driver.get(page.as_uri() + part)
    _one(driver, "#tradeoff.live svg .role-mark path")


def _unfold(driver: Chrome, part: str) -> None:
    _one(driver, f"#{part} > summary").click()
    if part == "explorer":
        _one(driver, "#explorer.live svg .role-mark path")


def _set_size(driver: Chrome, width: int, height: int = 900) -> None:
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def _console(driver: Chrome) -> list[str]:
    """What the console said since it was last asked."""
    entries: list[dict[str, Any]] = driver.get_log("browser")
    return [f"{entry['level']}: {entry['message']}" for entry in entries]


def _requests(driver: Chrome) -> list[str]:
    """The addresses that were asked for since this was last asked."""
    entries: list[dict[str, Any]] = driver.get_log("performance")
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent]


def _one(driver: Chrome, selector: str) -> WebElement:
    return driver.find_element(By.CSS_SELECTOR, selector)


def _value(driver: Chrome, script: str) -> Any:
    return driver.execute_script(f"return {script}")


def _cells(driver: Chrome, title: str) -> list[str]:
    """What is shown in a column of the table of runs, from the first row to the last."""
    rows = "[...document.querySelectorAll('#runs tbody tr')].filter(row => !row.hidden)"
    at = [head.text for head in driver.find_elements(By.CSS_SELECTOR, "#runs thead th")].index(
        title
    )
    shown: list[str] = _value(driver, f"{rows}.map(row => row.cells[{at}].textContent)")
    return shown


def _sort(driver: Chrome, title: str) -> WebElement:
    """Select a heading of the table of runs."""
    head = _one(driver, "#runs thead").find_element(By.XPATH, f".//th[normalize-space()='{title}']")
    head.find_element(By.TAG_NAME, "button").click()
    return head


def check_first_screen(driver: Chrome, width: int, height: int) -> None:
    """It answers without scrolling."""
    assert len(driver.find_elements(By.CSS_SELECTOR, ".glance tbody tr")) == 8
    for part in ("h1", "h1 + p", "#tradeoff svg", ".answers details:nth-of-type(3)", ".glance"):
        box = _one(driver, part).rect
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    assert "lossless" in _one(driver, "#tradeoff svg").text
    # What the tests are is one click away, all else is folded.
    assert _value(driver, "[...document.querySelectorAll('details')].every(part => !part.open)")
    basis = _one(driver, ".answers details:nth-of-type(2) .note")
    assert not basis.is_displayed()
    _one(driver, ".answers details:nth-of-type(2) summary").click()
    assert "Holm" in basis.text
    assert _value(driver, "document.documentElement.scrollWidth") == width


def test_on_a_desk_it_opens_with_chart_and_pictures(opened):
    check_first_screen(opened, 1280, 900)
    assert _value(opened, "window.ran") is None
    assert _value(opened, "document.documentElement.lang") == "en"
    images = opened.find_elements(By.CSS_SELECTOR, "img")
    assert images
    assert all(len(image.get_attribute("alt") or "") > 20 for image in images)
    assert not _one(opened, "#tradeoff .fallback").is_displayed()
    # Vega's menu would lead to an editor on the network.
    assert _value(opened, "document.querySelector('.vega-actions')") is None
    levels = _value(opened, "[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_a_phone_scrolls_tables_but_not_the_page(opened, page):
    _set_size(opened, 360, 800)
    _open(opened, page)
    check_first_screen(opened, 360, 800)
    for part in ("explorer", "figures", "tables", "runs", "environment"):
        _unfold(opened, part)
    assert _value(opened, "document.documentElement.scrollWidth") == 360
    boxes = "[...document.querySelectorAll('.scroll')]"
    assert _value(opened, f"{boxes}.some(box => box.scrollWidth > box.clientWidth)")
    assert 280 <= _one(opened, "#explorer .chart svg").rect["width"] <= 360


def test_the_table_of_runs_sorts_both_ways_and_filters(opened):
    _unfold(opened, "runs")
    head = _sort(opened, "Test MAE")
    ascending = [float(text) for text in _cells(opened, "Test MAE")]
    assert head.get_attribute("aria-sort") == "ascending"
    assert ascending == sorted(ascending)
    assert len(set(ascending)) > 10
    head.find_element(By.TAG_NAME, "button").send_keys("\n")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in _cells(opened, "Test MAE")] == ascending[::-1]
    _sort(opened, "Pruner")
    assert head.get_attribute("aria-sort") is None
    assert _cells(opened, "Pruner") == sorted(_cells(opened, "Pruner"))
    # The rows with every word, and how many they are.
    box = _one(opened, "#runs input[type=search]")
    said = _one(opened, "#runs output[aria-live=polite]")
    assert _one(opened, f"label[for={box.get_attribute('id')}]").text == "Filter Every run"
    runs = 2 * 3 * (1 + 4 * 2)
    assert said.text == f"{runs} rows"
    box.send_keys("st-prune WAVENET 0.9")
    assert said.text == f"3 of {runs} rows"
    assert set(_cells(opened, "Pruner")) == {"ST-Prune"}
    _sort(opened, "Seed")
    assert _cells(opened, "Seed") == ["0", "1", "2"]


def test_a_mark_tells_its_run_and_choices_change_what_is_drawn(opened):
    _unfold(opened, "explorer")
    titles = "[...document.querySelectorAll('#explorer .role-title text')].map(t => t.textContent)"
    before = _value(opened, titles)
    mark = opened.execute_script(UNCOVERED_MARK)
    ActionChains(opened).move_to_element(mark).perform()
    told = _one(opened, "#vg-tooltip-element.visible").text
    run = re.search(r"synthetic_roads/gwnet/\S+", told)
    assert run
    ActionChains(opened).move_to_element(mark).click().perform()
    wait = WebDriverWait(opened, 20)
    wait.until(lambda _: _value(opened, titles) == [f"Run {run[0]}"] * 2)
    assert before != [f"Run {run[0]}"] * 2
    # This run, and full training of the same seed.
    assert len(opened.find_elements(By.CSS_SELECTOR, "#explorer .mark-line path")) >= 4
    choices = _one(opened, "#choices")
    marks = "[...document.querySelectorAll('#explorer .mark-symbol path')]"
    drawn = f"{marks}.map(path => path.getAttribute('transform') + path.getAttribute('d'))"
    seen = [_value(opened, drawn)]
    choices.find_element(By.CSS_SELECTOR, "input[value=total]").click()
    seen.append(_value(opened, drawn))
    assert choices.find_element(By.CSS_SELECTOR, "input[type=checkbox]").is_selected()
    place = Select(choices.find_element(By.TAG_NAME, "select"))
    assert [option.text for option in place.options] == [
        "synthetic_roads with Graph WaveNet (vehicles / 5 min)",
        f"synthetic_roads with STID ({UNIT})",
    ]
    place.select_by_index(1)
    seen.append(_value(opened, drawn))
    assert len({str(marks) for marks in seen}) == len(seen)


def test_it_prints_as_pages_with_the_picture_of_the_trade_off(opened):
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert _one(opened, "#tradeoff .fallback img").is_displayed()
    assert not _one(opened, "#tradeoff .chart").is_displayed()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    printed = base64.b64decode(opened.print_page())
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 2
    assert _value(opened, "[...document.querySelectorAll('details')].every(some => some.open)")


def test_the_policy_refuses_other_scripts_and_every_address(browser, page):
    _open(browser, page)
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
        "const image = document.createElement('img'); image.src = 'https://a.invalid/x.png';"
        "document.body.append(script, image)"
    )
    assert _value(browser, "window.ran") is None
    failed = browser.execute_async_script(
        "fetch('https://a.invalid/').then(() => arguments[0](false), () => arguments[0](true))"
    )
    assert failed
    assert all("Content Security Policy" in line for line in _console(browser))


def test_without_scripts_all_but_the_chart_is_there(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        assert _one(browser, "#tradeoff .fallback img").is_displayed()
        _unfold(browser, "runs")
        assert _one(browser, "#runs table").is_displayed()
        assert not _one(browser, "#runs .filter").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
