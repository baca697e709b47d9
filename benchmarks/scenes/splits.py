"""Which scenes belong to train, dev and test.

Two of thirteen (kind, colour, background) combinations are held out: no train or dev picture
shows one, and the first thing of every test source is one. The rule is arithmetic on vocabulary
indices, so each kind, colour and background is still met evenly in training.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import product

import numpy as np

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
    VARIATIONS,
    VERSION,
    Scene,
    Thing,
)

SPLITS = ("train", "dev", "test")
TWO_THINGS = 0.45
STYLE_WEIGHTS = (0.6, 0.2, 0.2)

Combination = tuple[str, str, str]

HELD_OUT: frozenset[Combination] = frozenset(
    (kind, colour, background)
    for (i, kind), (j, colour), (k, background) in product(
        enumerate(KINDS), enumerate(COLOURS), enumerate(BACKGROUNDS)
    )
    if (5 * i + 3 * j + 2 * k) % 13 in (0, 1)
)


def scene(split: str, index: int) -> Scene:
    """Scene `index` of a split, any index >= 0. The same for everybody, forever."""
    return draw_scene(generator("scene", split, index), split)


def generator(purpose: str, split: str, index: int) -> np.random.Generator:
    """A generator of its own for each (VERSION, purpose, split, index)."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be one of {SPLITS}")
    if index < 0:
        raise ValueError(f"index is {index}; it must be at least 0")
    key = f"icd-bench scenes {VERSION} {purpose} {split} {index}".encode()
    seed = int.from_bytes(blake2b(key, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.PCG64(seed))


def combinations(scene: Scene) -> list[Combination]:
    """(kind, colour, background) of each thing of a scene."""
    return [(thing.kind, thing.colour, scene.background) for thing in scene.things]


def allowed(scene: Scene, split: str) -> bool:
    """Whether a split may show a scene: anything in test, nothing held out elsewhere."""
    return split == "test" or HELD_OUT.isdisjoint(combinations(scene))


def draw_scene(
    rng: np.random.Generator, split: str, count: int | None = None, positions: tuple[str, ...] = ()
) -> Scene:
    """One random scene of a split, of `count` things, a single thing at one of `positions`."""
    if count is None:
        count = 2 if rng.random() < TWO_THINGS else 1
    style = STYLES[int(np.searchsorted(np.cumsum(STYLE_WEIGHTS), rng.random(), side="right"))]
    variation = int(rng.integers(1, VARIATIONS))
    places = ("left", "right") if count == 2 else (choose(rng, positions or POSITIONS),)
    while True:
        background = choose(rng, BACKGROUNDS)
        things = tuple(draw_thing(rng, place) for place in places)
        found = Scene(background, style, things, variation)
        if len({thing.kind for thing in things}) < count or not allowed(found, split):
            continue
        if split == "test" and combinations(found)[0] not in HELD_OUT:
            continue
        return found


def draw_thing(rng: np.random.Generator, position: str) -> Thing:
    """One random thing, any combination."""
    kind = choose(rng, KINDS)
    facing = choose(rng, FACINGS)
    return Thing(
        kind=kind,
        colour=choose(rng, COLOURS),
        material=choose(rng, MATERIALS),
        size=choose(rng, SIZES),
        facing=facing if kind in FACING_KINDS else None,
        position=position,
    )


def choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options, uniformly."""
    return options[int(rng.integers(len(options)))]
