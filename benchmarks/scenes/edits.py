"""The ten edit types of PIE-Bench as pairs of scenes.

The categories go round in order, so any ten neighbours hold each once. Target and source share
their `variation`: what the prompts do not say stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from icd_bench.benchmarks.edit_types import CATEGORIES

from .attributes import SCENE_ATTRIBUTES, THING_ATTRIBUTES, attributes, variants
from .render import mask_of, render
from .splits import allowed, draw_scene, draw_thing, generator
from .world import IMAGE_SIZE, Scene

_EDITED: dict[int, tuple[str, ...]] = {
    1: ("kind",),
    4: ("size",),
    5: ("facing", "position"),
    6: ("colour",),
    7: ("material",),
    8: ("background",),
    9: ("style",),
}


@dataclass(frozen=True, slots=True)
class ScenePair:
    """A source scene and its true edit.

    `blend_words` are the nouns the edit is about, as they stand in the source and the target
    caption: `("", "mug")` where a mug is added, `("mug", "")` where it goes, None where the edit
    is about the whole picture (background, style).
    `changed` names the attributes that differ; `("thing",)` for add and delete.
    """

    source: Scene
    target: Scene
    category: int
    blend_words: tuple[str, str] | None
    changed: tuple[str, ...]


def pair(split: str, index: int) -> ScenePair:
    """Edit `index` of a split; its category is `index % 10`."""
    category = index % len(CATEGORIES)
    rng = generator("pair", split, index)
    while True:
        if category == 2:
            found = _add(rng, split)
        elif category == 3:
            found = _delete(rng, split)
        else:
            found = _change(rng, split, category)
        if found is not None and allowed(found.target, split):
            return found


def edited_attributes(pair: ScenePair) -> set[str]:
    """Names of the target's attributes that the edit sets: all of an added thing's, else `changed`.

    A deletion sets none; the thing that remains keeps its own.
    """
    if pair.changed != ("thing",):
        return set(pair.changed)
    suffixes = [
        "2" if index else ""
        for index, thing in enumerate(pair.target.things)
        if thing not in pair.source.things
    ]
    return {name + suffix for name in THING_ATTRIBUTES for suffix in suffixes}


def edit_mask(pair: ScenePair) -> NDArray[np.bool_]:
    """The pixels (64, 64) an edit may change; outside, source and true target are identical.

    The pixels that differ, and all of the changed things before and after. A new background is
    everything but the things; a new style is the whole picture.
    """
    if pair.source.style != pair.target.style:
        return np.ones((IMAGE_SIZE, IMAGE_SIZE), dtype=bool)
    mask: NDArray[np.bool_] = (render(pair.source) != render(pair.target)).any(-1)
    for scene, other in ((pair.source, pair.target), (pair.target, pair.source)):
        for index, thing in enumerate(scene.things):
            if thing not in other.things:
                mask |= mask_of(scene, index) > 0
    if pair.source.background != pair.target.background:
        covers = [mask_of(pair.source, index) for index in range(len(pair.source.things))]
        mask |= np.max(covers, axis=0) < 0.5
    return mask


def _change(rng: np.random.Generator, split: str, category: int) -> ScenePair | None:
    """One attribute, or two at once for category 0; None where the scene offers no such edit."""
    source = draw_scene(rng, split)
    index = int(rng.integers(len(source.things)))
    suffix = "2" if index else ""
    names = [name + suffix for name in THING_ATTRIBUTES] + list(SCENE_ATTRIBUTES)
    if category != 0:
        names = [name for name in names if name.removesuffix("2") in _EDITED[category]]
    options = [name for name in names if variants(source, name)]
    count = 2 if category == 0 else 1
    if len(options) < count:
        return None
    changed = [options[int(i)] for i in rng.permutation(len(options))[:count]]
    target = source
    for name in changed:
        near = [other for other in variants(target, name) if _same_words(source, other)]
        target = near[int(rng.integers(len(near)))]
    about = set(SCENE_ATTRIBUTES).isdisjoint(changed)
    words = (source.things[index].kind, target.things[index].kind) if about else None
    return ScenePair(source, target, category, words, _in_order(source, changed))


def _add(rng: np.random.Generator, split: str) -> ScenePair | None:
    source = draw_scene(rng, split, count=1, positions=("left", "right"))
    old = source.things[0]
    new = draw_thing(rng, "right" if old.position == "left" else "left")
    if new.kind == old.kind:
        return None
    things = (old, new) if old.position == "left" else (new, old)
    return ScenePair(source, replace(source, things=things), 2, ("", new.kind), ("thing",))


def _delete(rng: np.random.Generator, split: str) -> ScenePair | None:
    source = draw_scene(rng, split, count=2)
    gone = int(rng.integers(2))
    target = replace(source, things=(source.things[1 - gone],))
    return ScenePair(source, target, 3, (source.things[gone].kind, ""), ("thing",))


def _same_words(source: Scene, target: Scene) -> bool:
    """Whether both name the same attributes: a kind with a facing stays one with a facing."""
    return list(attributes(source)) == list(attributes(target))


def _in_order(scene: Scene, names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in attributes(scene) if name in names)
