"""Prompts and blend words as the published files write them, and how they are meant."""

from __future__ import annotations

import ast
import json
import re

from icd_bench.api import BlendWords


def strip_brackets(prompt: str) -> str:
    """Return a prompt without the characters ``[`` and ``]`` and on one line.

    >>> strip_brackets("a [rusty]\\n bicycle ")
    'a rusty bicycle'
    """
    return " ".join(re.sub(r"[\[\]]", "", prompt).split())


def read_blend_words(text: str) -> BlendWords:
    """Return the blend words of a row, in any of the ways in which published files write them.

    ``"cat dog"`` (PIE-Bench), ``"('cat', 'dog')"`` (iCD's COCO set), ``'["cat,dog", "a,b"]'``
    (PIE-Bench++), and blank for none. Words are kept as they are written: case and punctuation
    count when they are looked up in a prompt. Of more than two words the first two count, as in
    the reference. A word alone is meant for both prompts: where one lacks it, it is reported as
    any other word that a prompt does not have.

    Raises:
        ValueError: the text is none of these.
    """
    text = text.strip()
    if not text:
        return BlendWords()
    if text.startswith("("):
        pairs = [_tuple(text)]
    elif text.startswith("["):
        pairs = [_two([word.strip() for word in item.split(",")]) for item in _list(text)]
    else:
        pairs = [_two(text.split())]
    return BlendWords(tuple(s for s, _ in pairs if s), tuple(t for _, t in pairs if t))


def _tuple(text: str) -> tuple[str, str]:
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{text!r} is not a pair of words") from error
    if not isinstance(value, tuple):
        raise ValueError(f"{text!r} is not a pair of words")
    return _two([str(word).strip() for word in value])


def _list(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a list of pairs") from error
    return [item if isinstance(item, str) else ",".join(map(str, item)) for item in value]


def _two(words: list[str]) -> tuple[str, str]:
    if not words:
        raise ValueError("has no word")
    return words[0], words[:2][-1]
