"""The page's HTML: one template, our own style and scripts, and the data, none of it from a net."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .inline_json import to_inline_json

GENERATOR = "icd-bench report"
SCRIPTS = (
    "core",
    "state",
    "pictures",
    "chart",
    "table",
    "curves",
    "grid",
    "compare",
    "categories",
    "changes",
    "study",
    "troubles",
    "made",
    "main",
)
"""Files of ``assets``; they share one scope, in this order."""


@dataclass(frozen=True)
class Content:
    """What a page says, but for its pictures."""

    first: Mapping[str, Any]
    """Data of the first page."""
    parts: Mapping[str, Any]
    """Data that is loaded when it is needed: name -> part."""
    studies: Sequence[str] = ()
    """Sections of HTML, each the analysis of a study."""


def page(content: Content, pictures: Mapping[str, str] | None = None) -> str:
    """Return the HTML of a report.

    Args:
        content: what it says; its parts are files beside the page, or inside it with ``pictures``.
        pictures: file name -> data URL, for a page that is a single file.
    """
    script = _script()
    environment = Environment(
        loader=PackageLoader("icd_bench.reports.page", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    data = {"report": to_inline_json(content.first)}
    if pictures is not None:
        data |= {f"part-{name}": to_inline_json(part) for name, part in content.parts.items()}
        data["pictures"] = to_inline_json(pictures)
    return environment.get_template("page.html.j2").render(
        generator=GENERATOR,
        title=content.first["title"],
        policy=_policy(script),
        style=Markup(_asset("page.css")),
        script=Markup(script),
        data={name: Markup(text) for name, text in data.items()},
        studies=[Markup(section) for section in content.studies],
    )


def _script() -> str:
    sources = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{sources}\n}})();\n'


def _asset(name: str) -> str:
    return files("icd_bench.reports.page").joinpath("assets", name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Return a content security policy: this script, files beside the page, and nothing else."""
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    rules = {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}' 'self' file:",
        "style-src": "'unsafe-inline'",
        "img-src": "'self' file: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
