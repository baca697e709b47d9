"""Scenes as named attributes, and the scenes one attribute away.

Names: kind, colour, material, size, facing, position for the first thing, the same with a `2`
for the second, background and style for the whole picture.
"""

from __future__ import annotations

from dataclasses import replace

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
    Scene,
    Thing,
)

THING_ATTRIBUTES = ("kind", "colour", "material", "size", "facing", "position")
SCENE_ATTRIBUTES = ("background", "style")
_VALUES: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "colour": COLOURS,
    "material": MATERIALS,
    "size": SIZES,
    "facing": FACINGS,
    "position": POSITIONS,
}


def attributes(scene: Scene) -> dict[str, str]:
    """Every attribute of a scene by name. `facing` is left out where the kind has none."""
    found: dict[str, str] = {}
    for suffix, thing in zip(("", "2"), scene.things, strict=False):
        for name in THING_ATTRIBUTES:
            value = getattr(thing, name)
            if value is not None:
                found[name + suffix] = value
    return found | {name: getattr(scene, name) for name in SCENE_ATTRIBUTES}


def variants(scene: Scene, attribute: str) -> list[Scene]:
    """All scenes that differ in one attribute, in the order of the vocabulary.

    A kind brings its facing along: from a ball to a car there are two variants, back one. Two
    things never are of one kind, and their positions are fixed, so `position` has no variants.
    """
    if attribute == "background":
        return [replace(scene, background=b) for b in BACKGROUNDS if b != scene.background]
    if attribute == "style":
        return [replace(scene, style=s) for s in STYLES if s != scene.style]
    name, index = _split_name(scene, attribute)
    thing = scene.things[index]
    if name == "kind":
        taken = {other.kind for other in scene.things}
        changed = [t for kind in KINDS if kind not in taken for t in _as_kind(thing, kind)]
    elif (name == "position" and len(scene.things) == 2) or getattr(thing, name) is None:
        changed = []
    else:
        changed = [
            replace(thing, **{name: value})
            for value in _VALUES[name]
            if value != getattr(thing, name)
        ]
    return [with_thing(scene, index, other) for other in changed]


def distractors(scene: Scene, n: int, rng: np.random.Generator) -> list[Scene]:
    """`n` different scenes, each one attribute away from `scene`; every scene has at least 31."""
    near = [other for attribute in attributes(scene) for other in variants(scene, attribute)]
    if n > len(near):
        raise ValueError(f"n is {n}; this scene has {len(near)} variants")
    return [near[int(i)] for i in rng.permutation(len(near))[:n]]


def with_thing(scene: Scene, index: int, thing: Thing) -> Scene:
    """The scene with thing `index` exchanged."""
    things = list(scene.things)
    things[index] = thing
    return replace(scene, things=tuple(things))


def _split_name(scene: Scene, attribute: str) -> tuple[str, int]:
    name, index = (attribute[:-1], 1) if attribute.endswith("2") else (attribute, 0)
    if name not in THING_ATTRIBUTES or index >= len(scene.things):
        raise ValueError(f"attribute is {attribute!r}; this scene has {tuple(attributes(scene))}")
    return name, index


def _as_kind(thing: Thing, kind: str) -> list[Thing]:
    if kind not in FACING_KINDS:
        return [replace(thing, kind=kind, facing=None)]
    facings = FACINGS if thing.facing is None else (thing.facing,)
    return [replace(thing, kind=kind, facing=facing) for facing in facings]
