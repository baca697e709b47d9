import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icd_bench.diffusion.attention.alignment import (
    align_tokens,
    equalizer,
    read_prompt,
    refinement_mapper,
    replacement_mapper,
    word_mask,
)

LENGTH = 77
WORDS = st.lists(
    st.sampled_from(["a", "cat", "brontosaurus", "bike", "mirror.", "storm-trooper"]), max_size=12
)
TOKENS = st.lists(st.integers(0, 4), max_size=12)


def prompt(tokenizer, text, length=LENGTH):
    return read_prompt(tokenizer, text, length)


def golden_pairs(case):
    return [(f"pair_{n:02d}", pair) for n, pair in enumerate(case.settings["pairs"])]


def test_golden_tokens(golden, tokenizer):
    for _, pair in golden_pairs(golden("mappers")):
        for role in ("source", "target"):
            read = prompt(tokenizer, pair[role])
            expected = pair[f"{role}_tokens"]
            assert read.num_tokens == len(expected)
            assert list(read.ids[:-1]) == expected[: len(read.ids) - 1]


def test_golden_refinement_mappers(golden, tokenizer):
    case = golden("mappers")
    compared = 0
    for name, pair in golden_pairs(case):
        if pair["refine_raises"]:
            continue
        source, target = prompt(tokenizer, pair["source"]), prompt(tokenizer, pair["target"])
        mapper = refinement_mapper(source, target, LENGTH)
        alphas, positions = (case.tensors[f"{name}.refine_{x}"] for x in ("alphas", "mapper"))
        assert torch.equal(mapper.sum(0), alphas), pair["what"]
        taken = alphas.bool()
        assert torch.equal(mapper.argmax(0)[taken], positions[taken]), pair["what"]
        compared += 1
    assert compared == 23


def test_golden_replacement_mappers(golden, tokenizer):
    case = golden("mappers")
    compared = 0
    for name, pair in golden_pairs(case):
        source, target = prompt(tokenizer, pair["source"]), prompt(tokenizer, pair["target"])
        if pair["replace_raises"]:
            with pytest.raises(ValueError, match="words"):
                replacement_mapper(source, target, LENGTH)
            continue
        mapper = replacement_mapper(source, target, LENGTH)
        expected = case.tensors[f"{name}.replace_mapper"]
        torch.testing.assert_close(mapper, expected, atol=1e-6, rtol=0, msg=pair["what"])
        compared += 1
    assert compared == 19


def test_golden_word_positions(golden, tokenizer):
    compared = 0
    for row in golden("mappers").settings["word_indices"]:
        read = prompt(tokenizer, row["text"])
        if isinstance(row["word"], str):
            assert read.positions(row["word"]) == row["indices"], row
        elif row["word"] < len(read.words):
            assert list(read.spans[row["word"]]) == row["indices"], row
        compared += 1
    assert compared == 19


def test_golden_equalizers(golden, tokenizer):
    case = golden("mappers")
    for n, row in enumerate(case.settings["equalizers"]):
        weights = dict(zip(row["words"], row["values"], strict=True))
        factors = equalizer(prompt(tokenizer, row["text"]), weights, LENGTH)
        assert torch.equal(factors[None], case.tensors[f"equalizer_{n:02d}"])


def test_words_in_a_row_are_found_together(tokenizer):
    read = prompt(tokenizer, "a cat and a cat and a dog")
    assert read.positions("a dog") == [7, 8]
    assert read.positions("cat and a") == [2, 3, 4, 5, 6, 7]
    assert read.positions("") == []


def test_a_long_prompt_is_cut_where_the_tokenizer_cuts(tokenizer):
    text = "a cat " * 40
    read = prompt(tokenizer, text)
    assert read.num_tokens == 82
    assert list(read.ids) == tokenizer(text, truncation=True, max_length=LENGTH).input_ids
    assert max(read.positions("cat")) < LENGTH - 1
    assert refinement_mapper(read, read, LENGTH).equal(torch.eye(LENGTH))


def test_a_word_behind_the_cut_has_no_position(tokenizer):
    assert prompt(tokenizer, "a cat next to a mirror", length=5).positions("mirror") == []
    assert prompt(tokenizer, "a brontosaurus", length=5).positions("brontosaurus") == [2, 3]


def test_shorter_text_has_smaller_mappers(tokenizer):
    source, target = (prompt(tokenizer, f"a {x} on a sofa", 32) for x in ("cat", "labradoodle"))
    assert torch.equal(
        replacement_mapper(source, target, 32),
        replacement_mapper(source, target, LENGTH)[:32, :32],
    )


def test_word_mask_marks_all_words(tokenizer):
    mask = word_mask(prompt(tokenizer, "a brontosaurus riding a bike"), ("bike", "zebra", "a"), 77)
    assert mask.nonzero().flatten().tolist() == [1, 6, 7]


@settings(deadline=None)
@given(tokens=TOKENS)
def test_a_sequence_is_aligned_with_itself_by_identity(tokens):
    assert align_tokens(tokens, tokens) == list(range(len(tokens)))


@settings(deadline=None)
@given(source=TOKENS, target=TOKENS)
def test_alignment_is_the_longest_common_subsequence(source, target):
    aligned = align_tokens(source, target)
    pairs = [(i, j) for j, i in enumerate(aligned) if i >= 0]
    assert all(source[i] == target[j] for i, j in pairs)
    assert [i for i, _ in pairs] == sorted({i for i, _ in pairs})

    length = [[0] * (len(target) + 1) for _ in range(len(source) + 1)]
    for i, s in enumerate(source):
        for j, t in enumerate(target):
            longer = max(length[i][j + 1], length[i + 1][j])
            length[i + 1][j + 1] = length[i][j] + 1 if s == t else longer
    assert len(pairs) == length[-1][-1]


@settings(deadline=None)
@given(words=WORDS)
def test_identical_prompts_have_identity_mappers(tokenizer, words):
    read = prompt(tokenizer, " ".join(words))
    assert refinement_mapper(read, read, LENGTH).equal(torch.eye(LENGTH))
    assert replacement_mapper(read, read, LENGTH).equal(torch.eye(LENGTH))


@settings(deadline=None)
@given(words=WORDS)
def test_spans_cover_the_tokens_in_order(tokenizer, words):
    read = prompt(tokenizer, " ".join(words))
    covered = [position for span in read.spans for position in span]
    assert covered == list(range(1, len(read.ids) - 1))


@settings(deadline=None)
@given(source=WORDS, target=WORDS)
def test_refinement_takes_every_column_from_one_source_token_or_none(tokenizer, source, target):
    mapper = refinement_mapper(
        prompt(tokenizer, " ".join(source)), prompt(tokenizer, " ".join(target)), LENGTH
    )
    assert set(mapper.flatten().tolist()) <= {0.0, 1.0}
    assert set(mapper.sum(0).tolist()) <= {0.0, 1.0}
    assert mapper[0, 0] == 1


@settings(deadline=None)
@given(data=st.data(), source=WORDS.filter(bool))
def test_replacement_gives_away_each_changed_words_attention(tokenizer, data, source):
    target = data.draw(
        st.lists(
            st.sampled_from(["dog", "labradoodle", "a"]),
            min_size=len(source),
            max_size=len(source),
        )
    )
    old, new = prompt(tokenizer, " ".join(source)), prompt(tokenizer, " ".join(target))
    mapper = replacement_mapper(old, new, LENGTH)
    assert (mapper >= 0).all()
    last = max((n for n, w in enumerate(target) if w != source[n]), default=-1)
    for n in range(last + 1):
        block = mapper[list(old.spans[n])][:, list(new.spans[n])]
        assert block.sum() == pytest.approx(mapper[list(old.spans[n]), : new.spans[n].stop].sum())
        torch.testing.assert_close(block.sum(1), torch.ones(len(old.spans[n])))
