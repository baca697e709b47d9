"""The page's HTML: one template, our own style and scripts, and the data, none of it from a net."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    "troubles",
    "made",
    "main",
)
"""Files of ``assets``; they share one scope, in this order."""


@dataclass(frozen=True)
class Inlined:
    """What else is inside the page, if it is a single file."""

    parts: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    """File name -> data URL."""


def page(first: Mapping[str, Any], inlined: Inlined) -> str:
    """Return the HTML of a report.

    Args:
        first: data of the first page.
        inlined: data and pictures that are files of their own otherwise.
    """
    script = _script()
    environment = Environment(
        loader=PackageLoader("icd_bench.reports.page", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    data = {"report": to_inline_json(first)}
    data |= {f"part-{name}": to_inline_json(part) for name, part in inlined.parts.items()}
    if inlined.pictures:
        data["pictures"] = to_inline_json(inlined.pictures)
    return environment.get_template("page.html.j2").render(
        generator=GENERATOR,
        title=first["title"],
        policy=_policy(script),
        style=Markup(_asset("page.css")),
        script=Markup(script),
        data={name: Markup(text) for name, text in data.items()},
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
