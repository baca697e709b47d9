"""The fenced blocks of the documentation, and the commands in them.

The info string of a fence says, after its language, what a machine needs to run it:

- nothing: it runs offline, in seconds, in the folder that the page's earlier fences left;
- ``needs=gpu,network``: it is not run here, but its ``icd-bench`` commands are parsed;
- ``file=album/prompts.csv``: it is the content of a file that commands of the page use;
- ``exit=1``: its last command ends with that code.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELLS = ("sh", "bash", "console")
NEEDS = {
    "install": "changes the environment, or builds one",
    "network": "fetches something",
    "data": "a benchmark that is not part of the package",
    "gpu": "an accelerator, and weights of a real model",
    "cluster": "a scheduler, or several machines",
    "people": "somebody who answers, or who stops what waits",
    "minutes": "more than a few seconds of two cores",
    "checkout": "the repository as working directory",
}
OPERATORS = re.compile(r"[;&|<>()]+")
FENCE = re.compile(r"^(`{3,}) *(\S*) *(.*)$")


@dataclass(frozen=True)
class Fence:
    """One fenced block."""

    page: Path
    line: int
    language: str
    options: dict[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def needs(self) -> tuple[str, ...]:
        """What it needs besides this package."""
        return tuple(filter(None, self.options.get("needs", "").split(",")))

    @property
    def lines(self) -> list[str]:
        """Commands, one a line: continued lines joined, prompts and comments left out."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        lines = [re.sub(r"^\$ ", "", line) for line in joined.splitlines()]
        return [line for line in lines if shlex.split(line, comments=True)]

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each ``icd-bench`` command, wherever it stands in a line."""
        for line in self.lines:
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            call: list[str] | None = None
            for word in [*words, ";"]:
                if OPERATORS.fullmatch(word):
                    if call:  # not where only the package's name is meant
                        yield call
                    call = None
                elif call is not None:
                    call.append(word)
                elif word == "icd-bench":
                    call = []


def pages() -> list[Path]:
    """Return every page that users read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    folders = ("icd_bench", "methods", "benchmarks", "reports", "tests")
    return sorted([*found, *(path for f in folders for path in (ROOT / f).rglob("README.md"))])


def fences(page: Path) -> list[Fence]:
    """Return the fenced blocks of a page."""
    found = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if not (opening := FENCE.match(line)):
            continue
        ticks, language, info = opening.groups()
        body = []
        for _, inner in lines:
            if inner.strip() == ticks:
                break
            body.append(inner)
        options = dict(word.partition("=")[::2] for word in info.split())
        found.append(Fence(page, number, language, options, "\n".join(body) + "\n"))
    return found
