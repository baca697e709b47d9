"""The comparison of one sample: what each mode shows, to the pixel, and how keys steer it."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser
from page_runs import part_of, write_run
from test_page_browser import press

from icd_bench.reports.page.build import build_report

PIXEL = """
const [pane, across, down] = arguments;
const canvas = document.querySelectorAll('.pane canvas')[pane];
const at = (share) => Math.floor(share * (canvas.width - 1));
return [...canvas.getContext('2d').getImageData(at(across), at(down), 1, 1).data].slice(0, 3);
"""
DRAWN = "[...document.querySelectorAll('.pane canvas')].every(c => !c.clientWidth || c.width > 10)"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single file: a page may read the pixels of pictures that are inside it."""
    folder = tmp_path_factory.mktemp("compare")
    run = write_run(folder / "run", samples=3, side=32)
    return build_report([run], folder / "alone.html", single_file=True).page


def opened(browser: Browser, page: Path, fragment: str) -> Browser:
    browser.open(page, fragment)
    browser.wait("document.querySelector('.plain td.number')")
    browser.wait(DRAWN)
    return browser


def pixel(browser: Browser, pane: int, across: float = 0.5, down: float = 0.5) -> list[int]:
    found: list[int] = browser.run(PIXEL, pane, across, down)
    return found


def test_the_difference_map_shows_what_changed_amplified(browser: Browser, alone: Path) -> None:
    opened(browser, alone, "#compare?sample=s0&mode=difference&gain=4")
    names = "return [...document.querySelectorAll('.pane figcaption')].map(f => f.textContent)"
    assert browser.run(names)[1:] == [
        "icd strength=0.75 − source",
        "npi strength=0.75 − source",
    ]
    # The pictures differ in blue alone: by 40 for each row.
    assert pixel(browser, 1) == [0, 0, 160]
    assert pixel(browser, 2)[:2] == [0, 0]
    assert pixel(browser, 2)[2] == 255
    opened(browser, alone, "#compare?sample=s0&mode=difference&gain=1")
    assert pixel(browser, 1) == [0, 0, 40]


def test_the_mask_lies_over_the_pictures(browser: Browser, alone: Path) -> None:
    opened(browser, alone, "#compare?sample=s0")
    inside, outside = pixel(browser, 0, 0.5, 0.25), pixel(browser, 0, 0.5, 0.75)
    press(browser, "m")
    browser.wait("location.hash.includes('mask=1')")
    browser.wait("document.querySelector('input[type=checkbox]:checked')")
    browser.wait(DRAWN)
    assert pixel(browser, 0, 0.5, 0.25)[0] > inside[0] + 30
    assert pixel(browser, 0, 0.5, 0.75) == outside
    press(browser, "m")
    browser.wait("!location.hash.includes('mask')")
    assert pixel(browser, 0, 0.5, 0.25) == inside


def test_one_zoom_for_all_pictures(browser: Browser, alone: Path) -> None:
    opened(browser, alone, "#compare?sample=s0")
    corner = pixel(browser, 0, 0.02, 0.02)
    panes = browser.run("return document.querySelectorAll('.pane canvas').length")
    press(browser, "+", "+")
    zoomed = [pixel(browser, pane, 0.02, 0.02)[:2] for pane in range(panes)]
    assert panes == 4
    assert all(shade > before + 40 for shade, before in zip(zoomed[0], corner[:2], strict=True))
    assert all(one == zoomed[0] for one in zoomed)
    browser.run(
        "const canvas = document.querySelectorAll('.pane canvas')[2];"
        "const send = (type, more) => canvas.dispatchEvent(new PointerEvent(type,"
        " { pointerId: 1, bubbles: true, ...more }));"
        "canvas.setPointerCapture = () => {};"
        "send('pointerdown', {}); send('pointermove', { movementX: -40 }); send('pointerup', {});"
    )
    moved = [pixel(browser, pane, 0.02, 0.02)[:2] for pane in range(panes)]
    assert moved[0][0] > zoomed[0][0]
    assert all(one == moved[0] for one in moved)
    press(browser, "0")
    assert pixel(browser, 3, 0.02, 0.02)[:2] == corner[:2]


def test_blinking_swaps_two_pictures(browser: Browser, alone: Path) -> None:
    opened(browser, alone, "#compare?sample=s0&mode=blink&a=source&b=target")
    hidden = "[...document.querySelectorAll('.stage .pane')].map(p => p.hidden).join()"
    first = browser.run(f"return {hidden}")
    assert sorted(first.split(",")) == ["false", "true"]
    browser.wait(f"{hidden} !== '{first}'")
    browser.run("document.querySelector('.stage button').click()")
    stopped = browser.run(f"return {hidden}")
    browser.run("document.activeElement.blur()")
    press(browser, " ")
    assert browser.run(f"return {hidden}") != stopped
    assert browser.run("return document.querySelector('.stage button').textContent") == (
        "Start blinking"
    )


def test_keys_steer_everything(browser: Browser, alone: Path) -> None:
    opened(browser, alone, "#compare?sample=s0")
    for key, mode in (("2", "slider"), ("3", "blink"), ("4", "difference"), ("1", "side")):
        press(browser, key)
        browser.wait(f"document.querySelector('.stage.{mode}')")
        browser.wait("document.querySelector('.plain td.number')")
    press(browser, "\ue014")
    browser.wait("document.querySelector('h1').textContent === 's1'")
    press(browser, "\ue00c")
    browser.wait("location.hash.startsWith('#pictures')")


def test_a_link_holds_the_whole_state(browser: Browser, alone: Path) -> None:
    opened(browser, alone, "#compare?sample=s2&mode=difference&gain=16&mask=1&a=target")
    pressed = "document.querySelector('.stage').className"
    assert browser.run(f"return {pressed}") == "stage difference"
    shown = "return [...document.querySelectorAll('.bar select')].map(s => s.value)"
    assert browser.run(shown)[:2] == ["target", "16"]
    assert browser.run("return document.querySelector('.bar .tick input').checked")
    assert browser.run("return document.querySelector('h1').textContent") == "s2"


def test_samples_are_sorted_by_how_much_the_methods_disagree(browser: Browser, page: Path) -> None:
    browser.open(page, "#pictures?by=apart&metric=clip_text")
    browser.wait("document.querySelectorAll('.body .line').length > 3")
    order = browser.run(
        "return [...document.querySelectorAll('.body .line')]"
        ".sort((a, b) => a.offsetTop - b.offsetTop)"
        ".map(line => line.querySelector('.quietly').textContent.split(' · ')[1])"
    )
    scores = part_of(page, "scores-2")
    apart = [
        abs(icd - npi) if icd is not None and npi is not None else -1.0
        for icd, npi in zip(scores[1], scores[3], strict=True)
    ]
    wanted = sorted(range(len(apart)), key=lambda index: (-round(apart[index], 9), index))
    assert order == [f"s{index}" for index in wanted[: len(order)]]
    assert len(set(apart)) > 2
