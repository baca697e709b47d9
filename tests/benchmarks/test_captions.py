"""What the published files write, and what it means."""

from __future__ import annotations

import pytest
from official_folders import pie_rows

from icd_bench.api import BlendWords
from icd_bench.benchmarks.captions import read_blend_words, strip_brackets
from icd_bench.data.lint import missing_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("('child', 'lion')", BlendWords(("child",), ("lion",))),
        ("cat dog", BlendWords(("cat",), ("dog",))),
        (" ", BlendWords()),
        ("", BlendWords()),
        ('["cat,dog", "chair, sofa"]', BlendWords(("cat", "chair"), ("dog", "sofa"))),
        ("[]", BlendWords()),
        ("Mug Glass", BlendWords(("Mug",), ("Glass",))),
        ("And chair rock", BlendWords(("And",), ("chair",))),
        ("('camera,', 'camera,')", BlendWords(("camera,",), ("camera,",))),
        ("dog", BlendWords(("dog",), ("dog",))),
        ('["cat", "chair,sofa"]', BlendWords(("cat", "chair"), ("cat", "sofa"))),
    ],
)
def test_blend_words(text: str, words: BlendWords) -> None:
    assert read_blend_words(text) == words


@pytest.mark.parametrize("text", ["()", "(cat, dog", "[cat", "('cat')"])
def test_what_is_no_pair_of_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"word|pair"):
        read_blend_words(text)


def test_brackets_and_lines() -> None:
    assert strip_brackets("a [round] cake\n on\ta plate ") == "a round cake on a plate"


def test_words_are_looked_up_exactly_in_the_real_rows() -> None:
    missing = {
        row["file_name"][:12]: missing_words(
            read_blend_words(row["blended_words"]), row["old_caption"], row["edited_caption"]
        )
        for row in pie_rows()
    }
    assert missing["000000000002"] == ()
    assert missing["000000000028"] == ()
    assert missing["000000000013"] == ("dimsum",)
    assert missing["423000000001"] == ("Mug", "Glass")
    assert missing["723000000004"] == ("camera", "camera")
    assert missing["122000000007"] == ("And", "chair")
    assert sum(len(words) > 0 for words in missing.values()) == 11
