"""The word-level CLIP tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icd_bench.training.scenes.clip import tokenize
from icd_bench.training.scenes.data import load_world
from icd_bench.training.scenes.tokenizer import (
    apply_merges,
    build_tokenizer,
    load_tokenizer,
    word_merges,
)

WORDS = load_world().vocabulary
TOKENIZER = build_tokenizer(WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_the_world_is_one_token(word: str) -> None:
    assert len(TOKENIZER(word).input_ids) == 3
    assert TOKENIZER.decode(TOKENIZER(word).input_ids, skip_special_tokens=True).strip() == word


@given(st.lists(st.text("abcde", min_size=1, max_size=6), min_size=1, max_size=12))
def test_merges_join_any_set_of_words(words: list[str]) -> None:
    merges = word_merges(words)
    assert all(apply_merges(word, merges) == [word + "</w>"] for word in words)


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_text_has_an_encoding_without_unknowns(text: str) -> None:
    ids = tokenize(TOKENIZER, [text])[0].tolist()
    assert len(ids) == 32
    assert ids[0] == TOKENIZER.bos_token_id
    assert TOKENIZER.eos_token_id in ids


def test_unknown_words_fall_apart_into_characters() -> None:
    pieces = TOKENIZER.tokenize("a zebra")
    assert pieces[0] == "a</w>"
    assert "".join(pieces[1:]) == "zebra</w>"
    assert len(pieces) > 2


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    texts = ["a small red metal car", "", "zebra façade"]
    assert tokenize(load_tokenizer(tmp_path), texts).equal(tokenize(TOKENIZER, texts))
