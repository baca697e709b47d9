"""Can everybody use the page? Names, contrast and order of focus, measured in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import PHONE, Browser
from test_page_browser import VIEWS, press

CONTROLS = {
    *("button", "link", "checkbox", "combobox", "slider", "searchbox", "spinbutton"),
    *("image", "img", "table", "region", "navigation", "grid", "DisclosureTriangle"),
}
LEAST_CONTRAST, LEAST_OF_LARGE = 4.5, 3.0
"""WCAG 2.2, level AA: 1.4.3 for text, 1.4.11 for marks that stand for a method."""

CONTRASTS = """
const rgba = (text) => {
  const brush = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  brush.fillStyle = text;
  brush.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const known = new Map();
const parse = (text) => known.get(text) ?? known.set(text, rgba(text)).get(text);
const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
const light = (colour) => {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = colour.map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (node) => {
  if (!node) return [255, 255, 255];
  const colour = parse(getComputedStyle(node).backgroundColor);
  return colour[3] === 1 ? colour.slice(0, 3) : over(colour, ground(node.parentElement));
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const [text, node] = [walker.currentNode.textContent.trim(), walker.currentNode.parentElement];
  if (!text || node.closest('script, style, noscript, .offscreen, option, template')) continue;
  const style = getComputedStyle(node);
  if (!node.checkVisibility({ visibilityProperty: true })) continue;
  const under = ground(node.closest('svg') ? node.closest('svg').parentElement : node);
  const ink = over(parse(node.closest('svg') ? style.fill : style.color), under);
  const [bright, dark] = [light(ink), light(under)].sort((a, b) => b - a);
  const large = node.closest('[aria-hidden=true]') || parseFloat(style.fontSize) >= 24
    || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  const ratio = (bright + 0.05) / (dark + 0.05);
  found.push([ratio, Boolean(large), text.slice(0, 30), `${node.className}`]);
}
return found;
"""

ORDER = """
const node = document.activeElement;
const style = getComputedStyle(node);
const last = window.lastFocus;
window.lastFocus = node;
return {
  name: node.textContent.trim().slice(0, 30) || node.getAttribute('aria-label') || node.tagName,
  forward: !last || node === document.body
    || Boolean(last.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING),
  seen: style.outlineStyle !== 'none' || node.matches('.point, .skip, main'),
  end: node === document.body,
};
"""


def shown(browser: Browser, page: Path, view: str) -> None:
    browser.open(page, view)
    browser.wait("document.querySelector('main h1')")
    browser.wait("!document.querySelector('main').textContent.includes('Loading…')")


@pytest.mark.parametrize("view", VIEWS)
def test_everything_that_can_be_used_has_a_name(browser: Browser, page: Path, view: str) -> None:
    shown(browser, page, view)
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    used = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]
    assert len(used) > 8
    assert not [role for role, name in used if not name.strip()]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(browser: Browser, page: Path, theme: str) -> None:
    browser.use_theme(theme)
    for view in VIEWS:
        shown(browser, page, view)
        texts = browser.run(CONTRASTS)
        assert len(texts) > 10
        weak = [
            (view, round(ratio, 2), text, name)
            for ratio, large, text, name in texts
            if ratio < (LEAST_OF_LARGE if large else LEAST_CONTRAST)
        ]
        assert not weak


@pytest.mark.parametrize("view", ["", "#pictures", "#compare?sample=s0"])
def test_focus_goes_through_the_page_in_reading_order(
    browser: Browser, page: Path, view: str
) -> None:
    shown(browser, page, view)
    assert browser.run(
        "return [...document.querySelectorAll('[tabindex]')].every(n => n.tabIndex < 1)"
    )
    press(browser, "\ue004")
    first = browser.run(ORDER)
    assert first["name"] == "Skip to content"
    for _ in range(24):
        press(browser, "\ue004")
        step = browser.run(ORDER)
        if step["end"]:
            break
        assert step["forward"], step["name"]
        assert step["seen"], step["name"]


def test_targets_are_large_enough_for_a_finger(browser: Browser, page: Path) -> None:
    browser.resize(PHONE)
    for view in ("", "#pictures", "#compare?sample=s0"):
        shown(browser, page, view)
        small = browser.run(
            "return [...document.querySelectorAll('button, select, summary, nav a')]"
            ".map(n => [n.textContent.trim(), n.getBoundingClientRect()])"
            ".filter(([, box]) => box.width && Math.min(box.width, box.height) < 24)"
            ".map(([text, box]) => [text, Math.round(box.width), Math.round(box.height)])"
        )
        assert small == []
