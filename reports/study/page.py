"""The study as HTML: a section for a larger report, and a page of its own around it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from icd_bench.reports.study.analysis import StudyResult
from icd_bench.reports.study.sheet import web_file
from icd_bench.reports.study.tables import render_study

TITLES = {
    "preferences": "Preferences of each pair of methods",
    "ranking": "Ranking of the methods",
    "metrics": "Do automatic metrics prefer what people prefer?",
}


def study_section(result: StudyResult, figures: Mapping[str, Sequence[Path]]) -> str:
    """Return the study as one self-contained ``<section>``, its figures inside.

    Args:
        result: of the analysis.
        figures: from ``figures.draw_study``, with SVG files among them.
    """
    body = _from_markdown(render_study(result))
    pictures = []
    for name, paths in figures.items():
        (svg,) = [path for path in paths if path.suffix == ".svg"]
        data = base64.b64encode(svg.read_bytes()).decode()
        title = escape(TITLES[name])
        pictures.append(
            f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{title}">'
            f"<figcaption>{title}</figcaption></figure>"
        )
    first, rest = body.split("<h3>", 1)
    style = f"<style>\n{web_file('study.css')}</style>"
    return "\n".join(
        [f'<section class="study">{style}', first, *pictures, f"<h3>{rest}", "</section>"]
    )


def study_page(result: StudyResult, section: str) -> str:
    """Return ``section`` as a page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(result.plan.title)}</title>\n</head>\n"
        f'<body style="margin:0">\n{section}\n</body>\n</html>\n'
    )


def _from_markdown(text: str) -> str:
    """Turn the Markdown of ``tables.render_study`` into HTML: no more than what it uses.

    Its texts come with ``&`` and ``<`` escaped already.
    """
    blocks = [_block(block) for block in text.strip().split("\n\n")]
    return "\n".join(blocks)


def _block(block: str) -> str:
    lines = block.split("\n")
    if heading := re.fullmatch(r"(#+) (.*)", block):
        level = len(heading[1]) + 1
        return f"<h{level}>{_inline(heading[2])}</h{level}>"
    if block.startswith("> "):
        return f'<p class="warning" role="note">{_inline(block[2:])}</p>'
    if block.startswith("| "):
        head, _, *rows = lines
        return (
            '<div class="scroll"><table><thead>'
            + _row(head, "th")
            + "</thead><tbody>"
            + "".join(_row(row, "td") for row in rows)
            + "</tbody></table></div>"
        )
    if block.startswith("- "):
        return "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>"
    return f"<p>{_inline(block)}</p>"


def _row(line: str, tag: str) -> str:
    cells = re.split(r"(?<!\\)\|", line.strip()[1:-1])
    return "<tr>" + "".join(f"<{tag}>{_inline(cell.strip())}</{tag}>" for cell in cells) + "</tr>"


def _inline(text: str) -> str:
    text = text.replace("\\|", "|").replace(">", "&gt;").replace('"', "&quot;")
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"(?<![\w*])\*([^*]+)\*(?![\w*])", r"<em>\1</em>", text)
