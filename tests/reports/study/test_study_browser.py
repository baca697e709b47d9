"""Raters in a real browser: by keyboard, with interruptions, two at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Browser, browser, chromium  # noqa: F401
from study_runs import make_study
from test_study_server import free_port, serving  # noqa: F401

from icd_bench.reports.study.commands import import_answers
from icd_bench.reports.study.design import Study
from icd_bench.reports.study.server.store import AnswerStore

READY = "!document.getElementById('stage').classList.contains('loading')"
CLOSED = "!document.getElementById('introduction').open"
COUNT = "document.getElementById('count').textContent"
BACKSPACE, LEFT, RIGHT, DOWN, ENTER = "\ue003", "\ue012", "\ue014", "\ue015", "\ue007"


@pytest.fixture
def downloads(browser: Browser, tmp_path: Path) -> Path:  # noqa: F811
    folder = tmp_path / "downloads"
    folder.mkdir()
    behaviour = {"behavior": "allow", "downloadPath": str(folder)}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    return folder


def press(window: Browser, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    for key in keys:
        window.wait(READY)
        time.sleep(0.16)  # a page waits as long before it takes a bouncing key for an answer
        ActionChains(window.driver).send_keys(key).perform()


def start(window: Browser) -> None:
    window.wait("document.getElementById('introduction').open")
    press(window, ENTER)
    window.wait(CLOSED)


def wait_for_download(folder: Path) -> Path:
    for _ in range(100):
        if found := list(folder.glob("*.json")):
            return found[0]
        time.sleep(0.1)
    raise AssertionError("nothing was downloaded")


def test_a_sheet_by_keyboard_with_a_break(
    browser: Browser,  # noqa: F811
    tmp_path: Path,
    downloads: Path,
) -> None:
    study = make_study(tmp_path, pictures=3, votes_per_pair=1, raters=3, check_share=0.3)
    tasks = study.bundle.lists["rater-01"]
    assert len(tasks) == 4
    sheet = study.bundle_folder / "sheets/rater-01.html"
    browser.open(sheet)
    browser.run("localStorage.clear()")
    browser.open(sheet)
    start(browser)
    press(browser, LEFT, RIGHT, BACKSPACE, DOWN)
    assert browser.wait(COUNT) == "3 of 4"
    browser.open(sheet)
    assert browser.wait(COUNT) == "3 of 4"
    assert browser.run(f"return {CLOSED}")
    press(browser, "z")
    assert browser.run("return document.getElementById('stage').classList.contains('zoomed')")
    press(browser, "s", RIGHT)
    assert not browser.run("return document.getElementById('finished').hidden")
    browser.run("document.getElementById('finish-download').click()")
    path = wait_for_download(downloads)
    rows = json.loads(path.read_text())
    assert [(row["task"], row["outcome"]) for row in rows] == list(
        zip(tasks, ("left", "tie", "skip", "right"), strict=True)
    )
    _, votes = import_answers(study.folder, [path], "sheet")
    assert len(votes) == 4
    assert (votes["seconds"] > 0).all()
    assert browser.errors() == []
    assert [address for address in browser.requests() if address.startswith("http")] == []


def test_texts_stay_texts(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    hostile = '</script><img src=x onerror="document.title=1">&<b>'
    study = make_study(tmp_path, title=hostile, questions=(f"own={hostile}",), pictures=3)
    browser.open(study.bundle_folder / "sheets/rater-01.html")
    assert browser.wait("document.getElementById('title').textContent") == hostile
    assert browser.run("return document.querySelector('.question .text').textContent") == hostile
    assert browser.run("return document.querySelectorAll('#work b, #work img').length") == 3
    assert "<b>" in browser.run("return document.getElementById('source-prompt').textContent")


def test_two_raters_at_once_and_a_killed_server(
    browser: Browser,  # noqa: F811
    tmp_path: Path,
    free_port: Callable[[], int],  # noqa: F811
) -> None:
    study = make_study(tmp_path, pictures=4, votes_per_pair=2, raters=3)
    port = free_port()
    driver = browser.driver
    first = driver.current_window_handle
    with serving(study, port) as served:
        windows = {"rater-01": first}
        driver.switch_to.new_window("tab")
        windows["rater-02"] = driver.current_window_handle
        for rater, handle in windows.items():
            driver.switch_to.window(handle)
            driver.get(f"http://127.0.0.1:{port}/s/{served.token[rater]}")
            start(browser)
        for _ in range(2):
            for handle in windows.values():
                driver.switch_to.window(handle)
                press(browser, LEFT)
        browser.wait("document.getElementById('saved').textContent === 'Saved'")
        served.kill()
        press(browser, RIGHT)
        browser.wait("document.getElementById('saved').dataset.state === 'trouble'")
    with serving(study, port):
        browser.wait("document.getElementById('saved').textContent === 'Saved'", 20)
        for handle in windows.values():
            driver.switch_to.window(handle)
            driver.refresh()
        assert browser.wait(COUNT).startswith("4 of ")
        driver.get(f"http://127.0.0.1:{port}/admin/{study.key.admin_token}")
        assert browser.wait("document.getElementById('done').textContent").startswith("5 of ")
    driver.close()
    driver.switch_to.window(first)
    check_answers(study)


def check_answers(study: Study) -> None:
    store = AnswerStore(study.folder / "answers.sqlite", study.bundle)
    rows = [(row["rater"], row["task"], row["outcome"]) for row in store.all_answers()]
    store.close()
    one, two = study.bundle.lists["rater-01"], study.bundle.lists["rater-02"]
    assert sorted(rows) == sorted(
        [
            ("rater-01", one[0], "left"),
            ("rater-01", one[1], "left"),
            ("rater-02", two[0], "left"),
            ("rater-02", two[1], "left"),
            ("rater-02", two[2], "right"),
        ]
    )
