"""A headless Chromium for tests of pages: one for all tests of a process.

A ``conftest.py`` takes it with ``from browser import browser, chromium``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Browser", "browser", "chromium", "start_chromium"]

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1280, 900), (390, 844)


class Browser:
    """A window, and what happened in it since the page was opened."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, fragment: str = "") -> None:
        """Open a page from the disk, with nothing left of the one before."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(page.resolve().as_uri() + fragment)

    def resize(self, size: tuple[int, int]) -> None:
        """Show pages as on a screen of (width, height) CSS pixels."""
        width, height = size
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )

    def use_theme(self, name: str) -> None:
        """Say that the system is "light" or "dark"."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a function body returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str, seconds: float = 10) -> Any:
        """Return the first truthy value of a JavaScript expression."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(
            lambda driver: driver.execute_script(f"return {condition}"), condition
        )

    def errors(self) -> list[str]:
        """Return and forget what the console says of errors and warnings."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Return and forget the addresses that pages asked for, data in the page left out."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        addresses = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in addresses if not address.startswith(("data:", "about:"))]


def start_chromium() -> Any:
    """Return the driver of a headless Chromium; skips without one, fails where CI is set."""
    missing = _missing()
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = _chromium() or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_page_load_timeout(60)
    return driver


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for all tests of a process."""
    driver = start_chromium()
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Any) -> Browser:
    """Return the window, wide and light."""
    window = Browser(chromium)
    window.resize(WIDE)
    window.use_theme("light")
    return window


def _missing() -> str:
    """Return what is missing for tests in a browser, "" where nothing is."""
    if _chromium() is None or shutil.which("chromedriver") is None:
        return "tests of pages need Chromium and its driver (Debian: chromium and chromium-driver)"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "tests of pages need selenium: pip install -e '.[test]'"
    return ""


def _chromium() -> str | None:
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)
