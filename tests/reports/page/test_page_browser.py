"""The page in a real browser, opened from the disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import PHONE, Browser
from page_runs import HOSTILE, write_run
from report_runs import trade_off_scores, write_scores

from icd_bench.reports.page.build import build_report

VIEWS = ("", "#curves", "#pictures", "#categories", "#troubles", "#made", "#compare?sample=s1")


def press(browser: Browser, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(browser.driver).send_keys(key).perform()


@pytest.mark.parametrize("size", ["wide", "phone"])
def test_views_open_quietly_and_fit(browser: Browser, page: Path, size: str) -> None:
    if size == "phone":
        browser.resize(PHONE)
        browser.use_theme("dark")
    for view in VIEWS:
        browser.open(page, view)
        browser.wait("document.querySelector('main h1')")
        browser.wait("!document.querySelector('main').textContent.includes('Loading…')")
        assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0, view
        assert browser.run("return window.hacked") is None
        assert browser.errors() == []
        addresses = browser.requests()
        assert addresses
        assert all(address.startswith(page.parent.as_uri()) for address in addresses)


def test_the_policy_stops_what_would_leave_the_page(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait("document.querySelector('main h1')")
    browser.run(
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i)"
    )
    browser.wait("document.images[document.images.length - 1].complete")
    assert any("Content Security Policy" in message for message in browser.errors())


def test_a_click_sorts_the_table(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait("document.querySelector('[data-sort=lpips_alex] button')")
    order = "return [...document.querySelectorAll('tr[data-row] .name a')].map(a => a.textContent)"
    browser.run("document.querySelector('[data-sort=lpips_alex] button').click()")
    assert browser.run(order) == ["icd", "icd", "npi", "npi", "copy"]
    browser.run("document.querySelector('[data-sort=lpips_alex] button').click()")
    assert browser.run(order) == ["npi", "npi", "icd", "icd", "copy"]
    sorted_by = "document.querySelector('[data-sort=lpips_alex]').getAttribute('aria-sort')"
    assert browser.run(f"return {sorted_by}") == "descending"
    assert browser.run("return document.querySelectorAll('td.best').length") >= 3


def test_a_reader_may_rank_whatever_the_cost(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait("document.querySelector('.rank input')")
    marked = "return document.querySelectorAll('td.best').length"
    apart = browser.run(marked)
    browser.run("document.querySelector('.rank input').click()")
    browser.wait("location.hash.includes('rank=together')")
    assert 0 < browser.run(marked) < apart
    assert browser.run("return document.activeElement.matches('.rank input')")


def test_a_prompt_is_text(browser: Browser, page: Path) -> None:
    browser.open(page, "#pictures?word=onerror")
    browser.wait("document.querySelectorAll('.body .line').length === 1")
    shown = browser.run("return document.querySelector('.prompt.to').textContent.trim()")
    assert shown == HOSTILE
    assert browser.run("return window.hacked || document.querySelectorAll('main img').length") == 0


def test_filters_and_keys_in_the_grid(browser: Browser, page: Path) -> None:
    browser.open(page, "#pictures?in-category=1_kind_1")
    browser.wait("document.querySelectorAll('.body .line').length === 4")
    browser.run("document.querySelector('a.tile[tabindex=\"0\"]').focus()")
    press(browser, "\ue015", "\ue014")
    active = "document.activeElement.dataset"
    assert browser.run(f"return [{active}.line, {active}.column]") == ["1", "1"]
    press(browser, "\ue007")
    browser.wait("location.hash.startsWith('#compare')")
    browser.wait("document.querySelector('h1').textContent === 's4'")
    press(browser, "\ue014")
    browser.wait("document.querySelector('h1').textContent === 's7'")


def test_a_link_to_a_comparison_opens_it(browser: Browser, page: Path) -> None:
    browser.open(page, "#compare?sample=s2&mode=slider&a=source&b=target")
    edge = "document.querySelector('.both').style.getPropertyValue('--edge')"
    browser.wait("document.querySelector('.stage.slider input[type=range]')")
    browser.run("document.querySelector('.stage input[type=range]').focus()")
    press(browser, "\ue012")
    assert browser.run(f"return {edge}") == "49.5%"


def test_a_point_leads_to_its_pictures(browser: Browser, page: Path) -> None:
    browser.open(page, "#curves")
    browser.wait("document.querySelector('a.point')")
    link = browser.run(
        "return [...document.querySelectorAll('a.point')]"
        ".find(a => a.getAttribute('aria-label').startsWith('npi')).getAttribute('href')"
    )
    browser.open(page, link)
    browser.wait("document.querySelectorAll('.body .line').length > 3")
    assert browser.run("return document.querySelectorAll('.heads .head').length") == 3
    assert browser.run("return document.querySelectorAll('.hole.failed').length") == 1


def test_a_single_file_works_alone(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", samples=3, side=8)
    file = build_report([run], tmp_path / "alone.html", single_file=True).page
    browser.open(file, "#compare?sample=s0")
    browser.wait("document.querySelectorAll('.pane canvas').length > 2")
    browser.wait("document.querySelector('.plain td.number')")
    assert browser.errors() == []
    assert browser.requests() == [file.as_uri()]


def test_lists_hold_only_what_is_on_the_screen(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", samples=80, side=8)
    page = build_report([run], tmp_path / "report").page
    browser.open(page, "#pictures")
    browser.wait("document.querySelectorAll('.body .line').length > 3")
    assert browser.run("return document.querySelectorAll('.body .line').length") < 30
    browser.run("document.querySelector('a.tile[tabindex=\"0\"]').focus()")
    press(browser, "\ue010")
    browser.wait("document.activeElement.dataset.line === '79'")
    assert browser.run("return document.querySelectorAll('.body .line').length") < 30


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two runs of two methods; the second run is better in PSNR."""
    folder = tmp_path_factory.mktemp("two")
    scores = trade_off_scores(30, {"icd": 0.2, "npi": 0.0})
    shifted = {key: {**metrics, "psnr": metrics["psnr"] + 1} for key, metrics in scores.items()}
    before = write_scores(folder / "before", scores, samples=30, pictures=True, side=8)
    after = write_scores(folder / "after", shifted, samples=30, pictures=True, side=8)
    build_report([before], folder / "one")
    return build_report([before, after], folder / "report").page


def test_methods_are_read_at_the_same_level(browser: Browser, two: Path) -> None:
    browser.open(two.parents[1] / "one" / "index.html", "#curves")
    browser.wait("document.querySelectorAll('.readings tr').length === 2")
    shown = "return document.querySelector('.matched').textContent"
    before = browser.run(shown)
    assert "icd" in before
    assert re.search(r"\[0\.\d+, [01]\.\d+\]", before)
    browser.run("document.querySelector('.matched input').focus()")
    press(browser, "\ue014", "\ue014")
    assert browser.run(shown) != before
    assert browser.run("return document.querySelectorAll('path.band').length") == 2
    claim = browser.run("return document.querySelector('table.trade tbody tr').textContent")
    assert "icd" in claim.split("]")[1]
    assert browser.errors() == []


def test_what_changed_is_shown_with_its_pictures(browser: Browser, two: Path) -> None:
    browser.open(two, "#changes")
    browser.wait("document.querySelectorAll('.three canvas').length > 6")
    rows = browser.run(
        "return [...document.querySelectorAll('table.trade tbody tr')].map(r => r.textContent)"
    )
    assert len(rows) == 10
    assert all("+1" in row and "better" in row and "equal" in row for row in rows)
    assert browser.errors() == []
