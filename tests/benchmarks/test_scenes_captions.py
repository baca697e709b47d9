"""The caption grammar and its inverse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd_bench.benchmarks.scenes.captions import (
    MAX_WORDS,
    VOCABULARY,
    CaptionError,
    bracket,
    caption,
    parse,
)
from icd_bench.benchmarks.scenes.splits import scene
from icd_bench.benchmarks.scenes.world import (
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
    Scene,
    Thing,
)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    places = draw(st.sampled_from([(p,) for p in POSITIONS] + [("left", "right")]))
    things = []
    for place in places:
        kind = draw(st.sampled_from(KINDS))
        things.append(
            Thing(
                kind=kind,
                colour=draw(st.sampled_from(COLOURS)),
                material=draw(st.sampled_from(MATERIALS)),
                size=draw(st.sampled_from(SIZES)),
                facing=draw(st.sampled_from(FACINGS)) if kind in FACING_KINDS else None,
                position=place,
            )
        )
    return Scene(
        background=draw(st.sampled_from(BACKGROUNDS)),
        style=draw(st.sampled_from(STYLES)),
        things=tuple(things),
        variation=draw(st.integers(0, VARIATIONS - 1)),
    )


@given(scenes())
def test_parse_inverts_caption(found: Scene) -> None:
    assert parse(caption(found)) == replace(found, variation=0)


@given(scenes())
def test_captions_are_short_plain_words(found: Scene) -> None:
    words = caption(found).split(" ")
    assert len(words) <= MAX_WORDS
    assert set(words) <= set(VOCABULARY)
    assert all(word.isalpha() and word.islower() for word in words)


@given(scenes(), scenes())
def test_brackets_only_mark(source: Scene, target: Scene) -> None:
    texts = caption(source), caption(target)
    marked = bracket(*texts)
    for text, mark in zip(texts, marked, strict=True):
        assert mark.replace("[", "").replace("]", "") == text
    assert ("[" in marked[0] + marked[1]) == (texts[0] != texts[1])


def test_brackets_read_like_pie() -> None:
    assert bracket("a small red ball at the beach", "a small blue ball at the beach") == (
        "a small [red] ball at the beach",
        "a small [blue] ball at the beach",
    )
    assert bracket("a ball at the beach", "a ball in the snow") == (
        "a ball [at the beach]",
        "a ball [in the snow]",
    )
    assert bracket("a ball in the snow", "a ball in the snow in neon style") == (
        "a ball in the snow",
        "a ball in the snow [in neon style]",
    )


def test_vocabulary_is_all_used_and_small() -> None:
    used = {word for i in range(3000) for word in caption(scene("train", i)).split()}
    assert tuple(sorted(used)) == VOCABULARY
    assert len(VOCABULARY) < 120


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "word 1"),
        ("a small red ball", "word 4 is 'ball'"),
        ("a small red rubber ball in the centre", "word 9 is the end"),
        ("a small red rubber ball facing left in the centre at the beach", "word 6 is 'facing'"),
        ("a small red rubber ball in the centre at the beach now", "expected the end"),
        ("a small red rubber ball  in the centre at the beach", "word 6 is ''"),
        (
            "a small red rubber ball on the right and a small red rubber mug on the left"
            " at the beach",
            "in order",
        ),
    ],
)
def test_parse_says_where_it_fails(text: str, complaint: str) -> None:
    with pytest.raises(CaptionError, match=complaint):
        parse(text)
