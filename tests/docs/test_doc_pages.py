"""Links lead somewhere, every page is reachable, and generated pages are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from doc_fences import ROOT, pages

import icd_bench
from icd_bench.reference import PAGES

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]+))?\)")


def links(page: Path) -> list[tuple[str, str]]:
    """Return path and heading of every relative link, those in code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = LINK.findall(text)
    return [link for link in found if not re.match(r"[a-z]+:", link[0])]


def anchors(page: Path) -> set[str]:
    """Return the names that headings get."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, heading in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)}: there is no {path}"
        if heading and target.suffix == ".md":
            assert heading in anchors(target), f"{page.relative_to(ROOT)}: {path} has no #{heading}"


def test_the_index_has_every_page() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / path).resolve() for path, _ in links(index)}
    there = {path for path in (ROOT / "docs").rglob("*.md") if path != index}
    missing = sorted(str(path.relative_to(ROOT)) for path in there - linked)
    assert not missing, "docs/README.md does not name them"


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    page = ROOT / "docs/reference" / name
    assert page.read_text(encoding="utf-8") == PAGES[name](), "run: make docs"


def test_the_citation_file_is_whole() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "type", "abstract"} <= set(citation)
    assert citation["version"] == icd_bench.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {icd_bench.__version__}" in changes
