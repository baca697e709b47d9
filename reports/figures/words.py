"""Which words of a prompt an edit changes."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal


@dataclass(frozen=True)
class Words:
    """Words in a row that fare alike."""

    text: str
    kind: Literal["kept", "removed", "added"]


def changed_words(source: str, target: str) -> tuple[Words, ...]:
    """Return both prompts as one: kept words once, removed ones before those that replace them."""
    before, after = source.split(), target.split()
    parts: list[Words] = []
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            parts.append(Words(" ".join(after[b0:b1]), "kept"))
            continue
        if a1 > a0:
            parts.append(Words(" ".join(before[a0:a1]), "removed"))
        if b1 > b0:
            parts.append(Words(" ".join(after[b0:b1]), "added"))
    return tuple(parts)
