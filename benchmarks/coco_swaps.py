"""New replacement edits from captions: one noun of a caption becomes another of its kind.

The nouns are those of COCO's object categories and near relatives; a noun is replaced within its
kind, singular by singular and plural by plural, and ``a`` becomes ``an`` where it must. The result
is a CSV in the form of iCD's set, to be read by a person before it is used.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from icd_bench.errors import BadSample, UsageError

from .caption_rows import caption, caption_rows

KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "people": (("man", "men"), ("woman", "women"), ("boy", "boys"), ("girl", "girls"),
               ("child", "children"), ("robot", "robots"), ("clown", "clowns")),
    "animals": (("dog", "dogs"), ("cat", "cats"), ("horse", "horses"), ("cow", "cows"),
                ("elephant", "elephants"), ("bear", "bears"),
                ("zebra", "zebras"), ("giraffe", "giraffes"), ("bird", "birds"),
                ("lion", "lions"), ("tiger", "tigers"), ("fox", "foxes")),
    "vehicles": (("car", "cars"), ("bus", "buses"), ("truck", "trucks"), ("train", "trains"),
                 ("motorcycle", "motorcycles"), ("bicycle", "bicycles"), ("boat", "boats"),
                 ("airplane", "airplanes"), ("tractor", "tractors")),
    "food": (("pizza", "pizzas"), ("sandwich", "sandwiches"), ("cake", "cakes"),
             ("apple", "apples"), ("orange", "oranges"), ("banana", "bananas"),
             ("donut", "donuts"), ("burger", "burgers"), ("salad", "salads")),
    "furniture": (("chair", "chairs"), ("couch", "couches"), ("bench", "benches"),
                  ("bed", "beds"), ("table", "tables"), ("desk", "desks")),
    "places": (("beach", "beaches"), ("field", "fields"), ("street", "streets"),
               ("forest", "forests"), ("desert", "deserts"), ("park", "parks")),
}  # fmt: skip
"""Kind -> (singular, plural) of its nouns."""

COLUMNS = ("file_name", "old_caption", "edited_caption", "blended_words")
VOWELS = "aeiou"


@dataclass(frozen=True)
class Swap:
    """One new edit."""

    file_name: str
    source: str
    target: str
    words: tuple[str, str]


def build(captions: Path, out: Path, count: int, seed: int) -> int:
    """Write a new set and return its number of edits.

    Raises:
        UsageError: the captions cannot be read, or do not have that many nouns of ``KINDS``.
    """
    found = swaps(read_captions(captions), count, seed)
    if len(found) < count:
        raise UsageError(f"{captions}: only {len(found)} captions have a noun that can be replaced")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((s.file_name, s.source, s.target, str(s.words)) for s in found)
    return len(found)


def read_captions(path: Path) -> list[tuple[str, str]]:
    """Return (file name, caption) of COCO's JSON or of a CSV, one caption a picture.

    Raises:
        UsageError: it is neither.
    """
    first: dict[str, str] = {}
    for name, text in _json_captions(path) if path.suffix == ".json" else _csv_captions(path):
        first.setdefault(name, text)
    return sorted(first.items())


def swaps(captions: Iterable[tuple[str, str]], count: int, seed: int) -> list[Swap]:
    """Return up to ``count`` edits in the order of their file names.

    Kinds take turns, so that none dominates; which captions and nouns depends on the seed alone.
    """
    chooser = random.Random(seed)
    waiting: dict[str, list[tuple[str, str, list[str]]]] = {kind: [] for kind in KINDS}
    for name, text in captions:
        nouns = _nouns(text)
        for kind in dict.fromkeys(nouns.values()):
            waiting[kind].append((name, text, [n for n, k in nouns.items() if k == kind]))
    for rows in waiting.values():
        chooser.shuffle(rows)
    taken: dict[str, Swap] = {}
    while len(taken) < count and any(waiting.values()):
        for kind, rows in waiting.items():
            while rows and rows[-1][0] in taken:
                rows.pop()
            if rows and len(taken) < count:
                name, text, nouns_of_kind = rows.pop()
                taken[name] = _swap(name, text, nouns_of_kind, kind, chooser)
    return [taken[name] for name in sorted(taken)]


def _nouns(text: str) -> dict[str, str]:
    """Return the nouns that a caption has exactly once, as words of their own -> kind."""
    words = text.split()
    return {
        word: kind
        for kind, nouns in KINDS.items()
        for forms in nouns
        for word in forms
        if words.count(word) == 1
    }


def _swap(name: str, text: str, nouns: Sequence[str], kind: str, chooser: random.Random) -> Swap:
    old = chooser.choice(sorted(set(nouns)))
    form = next(place for pair in KINDS[kind] for place, word in enumerate(pair) if word == old)
    others = [pair[form] for pair in KINDS[kind] if old not in pair and pair[form] not in nouns]
    new = chooser.choice(others)
    return Swap(name, text, _replace(text, old, new), (old, new))


def _replace(text: str, old: str, new: str) -> str:
    article = "an" if new[0] in VOWELS else "a"

    def fit(match: re.Match[str]) -> str:
        before = match["article"]
        if not before:
            return new
        fitted = article.capitalize() if before[0].isupper() else article
        return f"{fitted} {new}"

    pattern = rf"(?<!\S)(?:(?P<article>[Aa]n?) )?{re.escape(old)}(?!\S)"
    return re.sub(pattern, fit, text, count=1)


def _json_captions(path: Path) -> Iterator[tuple[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        for note in sorted(content["annotations"], key=lambda note: int(note["id"])):
            yield names[note["image_id"]], " ".join(str(note["caption"]).split())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not COCO's captions: {error!r}") from error


def _csv_captions(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    for row in caption_rows(path, ("file_name", "caption")):
        if isinstance(row, BadSample):
            raise UsageError(str(row))
        yield row.text("file_name"), caption(row, "caption")
