"""Each edit type changes what it says, in words and in pixels, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from icd_bench.benchmarks.edit_types import CATEGORIES
from icd_bench.benchmarks.scenes.attributes import attributes, distractors, variants
from icd_bench.benchmarks.scenes.captions import caption
from icd_bench.benchmarks.scenes.edits import edit_mask, pair
from icd_bench.benchmarks.scenes.render import mask_of, render
from icd_bench.benchmarks.scenes.splits import scene
from icd_bench.benchmarks.scenes.world import VARIATIONS

DRAWN = [pair(split, index) for split in ("train", "test") for index in range(120)]
ALLOWED = {
    1: {"kind"},
    4: {"size"},
    5: {"facing", "position"},
    6: {"colour"},
    7: {"material"},
    8: {"background"},
    9: {"style"},
}


def test_categories_go_round() -> None:
    counts = Counter(pair("test", index).category for index in range(700))
    assert counts == dict.fromkeys(range(10), 70)
    assert {pair("test", index).category for index in range(20)} == set(range(10))


def test_changed_names_exactly_what_differs() -> None:
    for index in range(1500):
        edit = pair("dev", index)
        before, after = attributes(edit.source), attributes(edit.target)
        assert edit.source.variation == edit.target.variation
        if edit.category in (2, 3):
            few, many = (edit.source, edit.target)[:: 1 if edit.category == 2 else -1]
            assert (len(few.things), len(many.things)) == (1, 2)
            assert few.things[0] in many.things
            assert replace(few, things=many.things) == many
            assert edit.changed == ("thing",)
        else:
            assert list(before) == list(after)
            assert tuple(name for name in before if before[name] != after[name]) == edit.changed
        if edit.category == 0:
            assert len(edit.changed) == 2
        elif edit.category in ALLOWED:
            assert len(edit.changed) == 1
            assert edit.changed[0].removesuffix("2") in ALLOWED[edit.category]


def test_both_kinds_of_pose_and_both_things_are_edited() -> None:
    changed = Counter(name for i in range(2000) for name in pair("dev", i).changed)
    assert {"facing", "facing2", "position", "kind", "kind2", "colour", "colour2"} <= set(changed)


def test_blend_words_stand_in_their_captions() -> None:
    for edit in DRAWN:
        if edit.category in (8, 9):
            assert edit.blend_words is None
        if edit.blend_words is None:
            assert edit.category in (0, 8, 9)
            continue
        source, target = edit.blend_words
        assert bool(source) == (edit.category != 2)
        assert bool(target) == (edit.category != 3)
        assert not source or caption(edit.source).split().count(source) == 1
        assert not target or caption(edit.target).split().count(target) == 1


def test_masks_are_exact() -> None:
    for edit in DRAWN:
        source, target = render(edit.source), render(edit.target)
        mask = edit_mask(edit)
        differs = (source != target).any(-1)
        assert mask.shape == (64, 64)
        assert mask.dtype == np.bool_
        assert differs.sum() > 20, caption(edit.source)
        assert not (differs & ~mask).any()
        if edit.source.style != edit.target.style:
            assert mask.all()
        elif len(edit.source.things) == 2 or "background" not in edit.changed or edit.category == 8:
            assert not mask.all(), CATEGORIES[edit.category]
        assert caption(edit.source) != caption(edit.target)


def test_a_new_background_keeps_the_things() -> None:
    for edit in DRAWN:
        if edit.category == 8:
            kept = ~edit_mask(edit)
            assert kept.sum() > 100
            assert (render(edit.source)[kept] == render(edit.target)[kept]).all()


def test_coverage_counts_each_pixel_once() -> None:
    for index in range(60):
        found = scene("train", index)
        covers = [mask_of(found, i) for i in range(len(found.things))]
        assert all(cover.shape == (64, 64) and cover.max() == 1.0 for cover in covers)
        assert np.sum(covers, axis=0).max() <= 1.0 + 1e-9


@pytest.mark.parametrize("index", range(12))
def test_one_attribute_away_is_another_picture(index: int) -> None:
    found = scene("test", index)
    image, names = render(found), attributes(found)
    for attribute in names:
        near = variants(found, attribute)
        assert len(set(near)) == len(near)
        if not attribute.startswith("position"):
            assert near
        for other in near:
            if attribute.startswith("kind"):
                assert attributes(other)[attribute] != names[attribute]
            else:
                differing = {k for k, v in attributes(other).items() if v != names[k]}
                assert differing == {attribute}
            assert (render(other) != image).sum() > 20


def test_distractors() -> None:
    for index in range(200):
        found = scene("test", index)
        others = distractors(found, 31, np.random.default_rng(index))
        assert len({caption(other) for other in [found, *others]}) == 32
        assert others == distractors(found, 31, np.random.default_rng(index))
    with pytest.raises(ValueError, match="variants"):
        distractors(scene("test", 0), 1000, np.random.default_rng(0))


def test_unknown_attribute_says_what_there_is() -> None:
    with pytest.raises(ValueError, match="background"):
        variants(scene("test", 0), "weight")


def test_variation_moves_the_picture_but_not_the_caption() -> None:
    for index in range(20):
        found = scene("train", index)
        other = replace(found, variation=(found.variation + 1) % VARIATIONS)
        assert caption(found) == caption(other)
        assert (render(found) != render(other)).any()
