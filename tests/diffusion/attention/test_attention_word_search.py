"""Where InfEdit finds blend and kept words: cases by hand, and what holds for any tokens."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icd_bench.diffusion.attention import AttentionSizes, Row, UnifiedAttention, UnifiedEdit
from icd_bench.diffusion.attention.alignment import read_prompt
from icd_bench.diffusion.attention.word_search import find_words, scanned_tokens, whole_words

IDS = st.lists(st.integers(0, 3), max_size=10)
WORDS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), max_size=4)

BOTH = [
    ("a dog, near a cat", ("dog",), [[2]]),
    ("a dog, near a cat", ("dog,",), [[2, 3]]),
    ("a cat and a dog", ("Dog",), [[5]]),
    ("a cat and a cat", ("cat",), [[2]]),
    ("a cat and a dog", ("cat", "a"), [[2], [4]]),
    ("a brontosaurus and a cat", ("brontosaurus", "cat"), [[2, 3, 4], [7]]),
    ("a cat and a dog", ("a dog",), [[4, 5]]),
    ("a cat", ("bike",), [[]]),
    ("a cat", ("",), [[]]),
]
WHOLE = [
    ("a cat and a dog", ("bike", "dog"), [[], [5]]),
    ("a cat and a dog", ("dog", "cat"), [[5], [2]]),
    ("a mirror, a cat and a mirror.", ("mirror.",), [[8, 9]]),
    ("a mirror", ("mirror.",), [[]]),
]
SCANNED = [
    ("a cat and a dog", ("bike", "dog"), [[], []]),
    ("a cat and a dog", ("dog", "cat"), [[5], []]),
    ("a mirror, a cat and a mirror.", ("mirror.",), [[2, 9]]),
    ("a mirror", ("mirror.",), [[2]]),
]


@pytest.mark.parametrize(
    ("search", "text", "words", "expected"),
    [
        *((whole_words, *case) for case in BOTH + WHOLE),
        *((scanned_tokens, *case) for case in BOTH[:6] + BOTH[7:] + SCANNED),
    ],
)
def test_words_are_found(
    search: Any, text: str, words: tuple[str, ...], expected: list[list[int]], tokenizer: Any
) -> None:
    read = partial(read_prompt, tokenizer, max_tokens=tokenizer.model_max_length)
    found = find_words(read, read(text), words, search)
    assert [word.positions for word in found] == expected
    assert [word.text for word in found] == list(words)


@given(IDS, WORDS)
def test_whole_words_are_whole_or_missing(ids: list[int], words: list[list[int]]) -> None:
    for word, places in zip(words, whole_words(ids, words), strict=True):
        assert [ids[i] for i in places] in (word, [])
        assert places == list(range(places[0], places[0] + len(word))) if places else True
        in_a_row = (ids[i : i + len(word)] for i in range(len(ids)))
        assert bool(places) == (word in in_a_row)


@given(IDS, WORDS)
def test_a_scan_never_goes_back(ids: list[int], words: list[list[int]]) -> None:
    places = [i for of_word in scanned_tokens(ids, words) for i in of_word]
    tokens = [token for word in words for token in word]
    assert places == sorted(places)
    assert [ids[i] for i in places] == tokens[: len(places)]
    if len(places) < len(tokens):
        assert tokens[len(places)] not in ids[places[-1] if places else 0 :]


def edited(tokenizer: Any, source: str, target: str, word: str, similarity: Any) -> list[int]:
    """Positions that count as edited, where all texts are alike."""
    edit = UnifiedEdit(target, 1, 1, edited_words=(word,), similarity=similarity)
    text = torch.ones(1, tokenizer.model_max_length, 8)
    control = UnifiedAttention(tokenizer, [source], [[edit]], 4, text, text, AttentionSizes())
    return control.plans[Row(0, 0)].edited.nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("source", "target", "word", "aligned", "released"),
    [
        ("a cat", "a dog, near a cat", "dog", [2], [2]),
        ("a car", "a a", "a", [1], [1]),
        # What replaces "the" is aligned to it.
        ("the the to", "the next", "the", [1], [1, 2]),
        ("a cat on a mat", "a dog on a mat", "cat", [], [2]),
        ("a cat on a mat", "a dog on a mat", "dog", [2], [2]),
    ],
)
def test_edited_tokens(
    source: str, target: str, word: str, aligned: list[int], released: list[int], tokenizer: Any
) -> None:
    assert edited(tokenizer, source, target, word, "aligned") == aligned
    assert edited(tokenizer, source, target, word, "released") == released


def warnings(tokenizer: Any, similarity: Any, *words: str, kept: tuple[str, ...] = ()) -> str:
    edit = UnifiedEdit("a dog and a mirror", 1, 1, words, kept, similarity=similarity)
    text = torch.ones(1, tokenizer.model_max_length, 8)
    control = UnifiedAttention(tokenizer, ["a cat and a mirror"], [[edit]], 4, text, text)
    return "\n".join(control.warnings[0][0])


@pytest.mark.parametrize("similarity", ["aligned", "released"])
def test_what_is_found_is_not_reported(similarity: str, tokenizer: Any) -> None:
    assert warnings(tokenizer, similarity, "dog", "mirror", kept=("mirror",)) == ""


def test_what_a_scan_leaves_out_is_reported(tokenizer: Any) -> None:
    told = warnings(tokenizer, "released", "mirror", "dog")
    assert '"dog" is in "a dog and a mirror", but not behind' in told
    assert 'part of blend word "mirror."' in warnings(tokenizer, "released", "mirror.")
    assert warnings(tokenizer, "aligned", "mirror", "dog") == ""


def test_blending_by_what_replaces_a_word_is_not_off(tokenizer: Any) -> None:
    told = warnings(tokenizer, "released", "cat")
    assert '"cat" is not in' in told
    assert "LocalBlend is off" not in told
    assert "LocalBlend is off" in warnings(tokenizer, "aligned", "cat")


def test_kept_words_that_are_new_are_reported(tokenizer: Any) -> None:
    assert 'kept word "dog" has no counterpart' in warnings(tokenizer, "aligned", kept=("dog",))
