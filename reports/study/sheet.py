"""The assessor's page: one design, as an offline file or from a server."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from icd_bench.reports.study.bundle import Bundle, picture_path

OFFLINE_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
"""The offline page can reach no network at all."""


TITLES = {"assess": "Compare pictures", "admin": "Progress of a study"}
"""What a tab says until the page's script knows the study."""


def web_file(name: str) -> str:
    """Return a file of the page's design."""
    return (files(__package__) / "web" / name).read_text(encoding="utf-8")


def offline_sheet(bundle: Bundle, folder: Path, rater: str) -> str:
    """Return the page of one rater as one self-contained HTML file."""
    tasks = [bundle.tasks[task] for task in bundle.lists[rater]]
    names = dict.fromkeys(name for task in tasks for name in task.pictures)
    pictures = {
        name: "data:image/png;base64,"
        + base64.b64encode(picture_path(folder, name).read_bytes()).decode()
        for name in names
    }
    content = page_data(bundle, rater, bundle.lists[rater]) | {"pictures": pictures}
    policy = f'<meta http-equiv="Content-Security-Policy" content="{OFFLINE_POLICY}">'
    style = f"<style>\n{web_file('assess.css')}</style>"
    script = f"<script>\n{web_file('assess.js')}</script>"
    return fill_page("assess", policy, style, script, content)


def page_data(
    bundle: Bundle,
    rater: str,
    tasks: Sequence[str],
    *,
    api: str | None = None,
    answers: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return what the page knows: questions, tasks, answers given before, where to send them."""
    return {
        "study": bundle.study,
        "sheet": rater,
        "title": bundle.title,
        "questions": [question.model_dump() for question in bundle.questions],
        "tasks": [bundle.tasks[task].model_dump() for task in tasks],
        "answers": list(answers),
        "api": api,
    }


def fill_page(name: str, policy: str, style: str, script: str, content: dict[str, Any]) -> str:
    """Return a page: ``NAME.html`` in the frame that all pages of a study share.

    ``content`` becomes JSON that no text in it can break out of.
    """
    text = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    data = f'<script type="application/json" id="study">{text}</script>'
    page = web_file("page.html")
    parts = {
        "policy": policy,
        "title": TITLES[name],
        "style": style,
        "body": web_file(f"{name}.html"),
        "study": data,
        "script": script,
    }
    for place, part in parts.items():
        page = page.replace(f"<!-- {place} -->", part, 1)
    return page
