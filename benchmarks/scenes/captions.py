"""The caption grammar, both ways.

    caption := thing ["and" thing] place ["in" style "style"]
    thing   := "a" size colour material kind ["facing" facing] position

`photo` is the style that is not mentioned. At most 27 words.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from .world import (
    BACKGROUNDS,
    COLOURS,
    FACING_KINDS,
    FACINGS,
    KINDS,
    MATERIALS,
    POSITIONS,
    SIZES,
    STYLES,
    Scene,
    Thing,
)

_POSITION_PHRASES = {"left": "on the left", "centre": "in the centre", "right": "on the right"}
_PLACE_PHRASES = {name: f"{'at' if name == 'beach' else 'in'} the {name}" for name in BACKGROUNDS}

MAX_WORDS = 27
VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {"a", "and", "facing", "style", "at", "in", "on", "the"}
        | {*KINDS, *COLOURS, *MATERIALS, *SIZES, *FACINGS, *POSITIONS, *BACKGROUNDS, *STYLES[1:]}
    )
)


class CaptionError(ValueError):
    """A caption that the grammar cannot have produced."""


def caption(scene: Scene) -> str:
    """The one caption of a scene: lowercase words and single spaces."""
    words = [" and ".join(_describe(thing) for thing in scene.things)]
    words.append(_PLACE_PHRASES[scene.background])
    if scene.style != "photo":
        words.append(f"in {scene.style} style")
    return " ".join(words)


def parse(text: str) -> Scene:
    """The scene of a caption, with `variation` 0: `parse(caption(s)) == replace(s, variation=0)`.

    Raises `CaptionError` with the word at which the grammar fails.
    """
    reader = _Reader(text)
    things = [_read_thing(reader)]
    if reader.accept("and"):
        things.append(_read_thing(reader))
    background = reader.phrase(_PLACE_PHRASES)
    style = "photo"
    if reader.accept("in"):
        style = reader.one_of(STYLES[1:])
        reader.expect("style")
    reader.end()
    try:
        return Scene(background, style, tuple(things))
    except ValueError as error:
        raise CaptionError(f"caption {text!r}: {error}") from error


def bracket(source: str, target: str) -> tuple[str, str]:
    """Mark the words that differ as PIE-Bench does: `a [red] car`, `a [blue] car`.

    Words only one side has are marked on that side alone.
    """
    a, b = source.split(), target.split()
    spans: list[tuple[bool, list[str], list[str]]] = []
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        differs = tag != "equal"
        if len(spans) > 1 and differs and spans[-1][1] == ["the"] and not spans[-1][0]:
            spans.pop()
            _, before, after = spans.pop()
            spans.append((True, [*before, "the", *a[a0:a1]], [*after, "the", *b[b0:b1]]))
        else:
            spans.append((differs, a[a0:a1], b[b0:b1]))
    return _mark((differs, words) for differs, words, _ in spans), _mark(
        (differs, words) for differs, _, words in spans
    )


def _mark(spans: Iterable[tuple[bool, list[str]]]) -> str:
    texts = [(differs, " ".join(words)) for differs, words in spans if words]
    return " ".join(f"[{text}]" if differs else text for differs, text in texts)


def _describe(thing: Thing) -> str:
    words = ["a", thing.size, thing.colour, thing.material, thing.kind]
    if thing.facing is not None:
        words += ["facing", thing.facing]
    return " ".join([*words, _POSITION_PHRASES[thing.position]])


def _read_thing(reader: _Reader) -> Thing:
    reader.expect("a")
    size = reader.one_of(SIZES)
    colour = reader.one_of(COLOURS)
    material = reader.one_of(MATERIALS)
    kind = reader.one_of(KINDS)
    facing = None
    if kind in FACING_KINDS:
        reader.expect("facing")
        facing = reader.one_of(FACINGS)
    return Thing(kind, colour, material, size, facing, reader.phrase(_POSITION_PHRASES))


class _Reader:
    """A cursor over the words of a caption."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = text.split(" ")
        self.at = 0

    def accept(self, word: str) -> bool:
        found = self.at < len(self.words) and self.words[self.at] == word
        self.at += found
        return found

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise self.error(word)

    def one_of(self, words: tuple[str, ...]) -> str:
        for word in words:
            if self.accept(word):
                return word
        raise self.error(" / ".join(words))

    def phrase(self, phrases: dict[str, str]) -> str:
        for name, phrase in phrases.items():
            length = phrase.count(" ") + 1
            if self.words[self.at : self.at + length] == phrase.split(" "):
                self.at += length
                return name
        raise self.error(" / ".join(phrases.values()))

    def end(self) -> None:
        if self.at != len(self.words):
            raise self.error("the end")

    def error(self, wanted: str) -> CaptionError:
        found = repr(self.words[self.at]) if self.at < len(self.words) else "the end"
        return CaptionError(
            f"caption {self.text!r}: word {self.at + 1} is {found}, expected {wanted}"
        )
