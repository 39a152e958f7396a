"""Debian's Chromium without a window, and what a page did in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# Why tests of a page are skipped; nothing where they can run.
LACKING = "" if CHROMIUM and DRIVER else "needs Debian's chromium and chromium-driver"


@contextmanager
def chromium(home: Path) -> Iterator[Chrome]:
    """A browser that keeps its files below ``home`` and logs what pages ask for and say."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    arguments = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    for argument in (*arguments, "--disable-dev-shm-usage", f"--user-data-dir={home}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(str(DRIVER)))
    driver.implicitly_wait(20)
    try:
        yield driver
    finally:
        driver.quit()


def set_width(driver: Chrome, width: int, height: int = 900) -> None:
    """Show pages as wide as a desktop's or a phone's screen is, in CSS pixels."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def console(driver: Chrome) -> list[str]:
    """What the console said since it was last asked."""
    entries: list[dict[str, Any]] = driver.get_log("browser")
    return [f"{entry['level']}: {entry['message']}" for entry in entries]


def requests(driver: Chrome) -> list[str]:
    """The addresses that were asked for since this was last asked."""
    entries: list[dict[str, Any]] = driver.get_log("performance")
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent]
