"""The vocabulary of the scenes world: what a picture can contain.

A `Scene` is everything that decides the pixels. All of it is said in the caption except
`variation`, a number that moves and lights the same content slightly differently: it is what an
inversion has to recover from the picture because no prompt tells it.
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "1"
IMAGE_SIZE = 64
VARIATIONS = 65536

KINDS = (
    "ball", "car", "cat", "cube", "duck", "fish",
    "heart", "house", "mug", "mushroom", "star", "tree",
)  # fmt: skip
FACING_KINDS = ("car", "cat", "duck", "fish")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
MATERIALS = ("rubber", "metal", "wooden")
SIZES = ("small", "large")
FACINGS = ("left", "right")
POSITIONS = ("left", "centre", "right")
BACKGROUNDS = ("beach", "forest", "desert", "city", "snow", "night")
STYLES = ("photo", "sketch", "neon")


def _require(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{field} is {value!r}; it must be one of {allowed}")


@dataclass(frozen=True, slots=True)
class Thing:
    """One object. `facing` is None for the kinds that look the same from both sides."""

    kind: str
    colour: str
    material: str
    size: str
    facing: str | None
    position: str

    def __post_init__(self) -> None:
        _require("kind", self.kind, KINDS)
        _require("colour", self.colour, COLOURS)
        _require("material", self.material, MATERIALS)
        _require("size", self.size, SIZES)
        _require("position", self.position, POSITIONS)
        _require("facing", self.facing, FACINGS if self.kind in FACING_KINDS else (None,))


@dataclass(frozen=True, slots=True)
class Scene:
    """One or two things before a background, in a style.

    Two things stand left and right, in this order. `variation` is in [0, VARIATIONS); 0 is the
    canonical picture, the one without any shift.
    """

    background: str
    style: str
    things: tuple[Thing, ...]
    variation: int = 0

    def __post_init__(self) -> None:
        _require("background", self.background, BACKGROUNDS)
        _require("style", self.style, STYLES)
        if not 0 <= self.variation < VARIATIONS:
            raise ValueError(f"variation is {self.variation}; it must be in [0, {VARIATIONS})")
        if len(self.things) not in (1, 2):
            raise ValueError(f"things has {len(self.things)} entries; a scene shows 1 or 2")
        if len(self.things) == 2 and [t.position for t in self.things] != ["left", "right"]:
            raise ValueError("things: two things stand at positions ('left', 'right'), in order")
