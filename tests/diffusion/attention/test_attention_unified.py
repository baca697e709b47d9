"""Unified attention control: who takes attention from whom, when, and what may change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from icd_bench.diffusion.attention import (
    AttentionSizes,
    Layer,
    Row,
    UnifiedAttention,
    UnifiedEdit,
    split_rows,
    unified_rows,
)
from icd_bench.diffusion.attention.alignment import read_prompt
from icd_bench.diffusion.attention.unified_plan import similar_alignment

LAYER = Layer("mid", "mid", 0)
SOURCE, TARGET = "a cat next to a mirror", "a dog next to a mirror"
STEPS = 4

S, T, M = unified_rows(0, 1)
S0, T0, M0 = (Row(row.sample, row.setting, False, row.mutual) for row in (S, T, M))


def text(length: int, seed: int) -> Tensor:
    return torch.randn(length, 8, generator=torch.Generator().manual_seed(seed))


def make(tokenizer: Any, cross: float, own: float, **changes: Any) -> UnifiedAttention:
    edit = UnifiedEdit(TARGET, cross_window=cross, self_window=own, **changes)
    length = tokenizer.model_max_length
    source, target = text(length, 1)[None], text(length, 2)[None]
    sizes = AttentionSizes(blend=(2, 2))
    return UnifiedAttention(tokenizer, [SOURCE], [[edit]], STEPS, source, target, sizes)


def qkv(rows: int, keys: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    q, k, v = (
        torch.randn(rows, 2, count, 8, generator=generator, dtype=torch.float64)
        for count in (4, keys, keys)
    )
    return q, k, v


def test_first_the_target_has_the_sources_layout_in_both_halves(tokenizer: Any) -> None:
    control = make(tokenizer, 0.5, 0.75)
    control.begin(1, [S, T, S0, T0])
    q, k, v = qkv(4)
    expected = attend(q[[0, 0, 2, 2]], k[[0, 0, 2, 2]], v)
    torch.testing.assert_close(control.self_attention(LAYER, q, k, v), expected)
    assert control.null_row_readers(1, 0) == {0}


def test_then_the_mutual_branch_draws_the_source_in_the_targets_layout(tokenizer: Any) -> None:
    control = make(tokenizer, 1.0, 0.75)
    control.begin(2, [S, T, M, T0])
    q, k, v = qkv(4)
    expected = attend(q[[0, 1, 1, 3]], k[[0, 1, 0, 3]], v[[0, 1, 0, 3]])
    torch.testing.assert_close(control.self_attention(LAYER, q, k, v), expected)
    assert not control.null_row_readers(2, 0)


@pytest.mark.parametrize(("step", "lender"), [(0, 0), (2, 2)])
def test_cross_maps_are_the_mutual_branchs(tokenizer: Any, step: int, lender: int) -> None:
    control = make(tokenizer, 0.75, 0.5)
    rows = [S, T, M] if control.has_mutual(T, step) else [S, T]
    assert len(rows) == lender + (1 if lender else 2)
    control.begin(step, rows)
    q, k, v = qkv(len(rows), tokenizer.model_max_length)
    attended = control.cross_attention(LAYER, q, k, v)
    # Every token has a counterpart at its own position: "cat" gives its map to "dog".
    torch.testing.assert_close(attended[1], attend(q[lender], k[lender], v[1]))
    torch.testing.assert_close(attended[0], attend(q[0], k[0], v[0]))


def test_after_the_cross_window_the_target_has_its_own_maps(tokenizer: Any) -> None:
    control = make(tokenizer, 0.75, 0.5)
    control.begin(3, [S, T])
    q, k, v = qkv(2, tokenizer.model_max_length)
    torch.testing.assert_close(control.cross_attention(LAYER, q, k, v), attend(q, k, v))


@pytest.mark.parametrize(
    ("cross", "own", "words", "expected"),
    [
        (0.7, 0.7, (), []),
        (0.75, 0.75, (), [2]),
        (1.0, 0.75, (), [2, 3]),
        (0.5, 0.5, ("dog",), [1, 2]),
        (0.0, 0.0, (), []),
        (0.0, 0.0, ("dog",), [0, 1, 2]),
        (0.0, 0.0, ("bird",), []),
    ],
)
def test_the_mutual_branch_has_a_row_where_it_differs_and_matters(
    tokenizer: Any, cross: float, own: float, words: tuple[str, ...], expected: list[int]
) -> None:
    control = make(tokenizer, cross, own, edited_words=words)
    assert [step for step in range(STEPS) if control.has_mutual(T, step)] == expected


def test_calls_without_the_rows_that_are_needed_are_refused(tokenizer: Any) -> None:
    control = make(tokenizer, 0.5, 0.5)
    with pytest.raises(ValueError, match="without its source"):
        control.begin(0, [T])
    with pytest.raises(ValueError, match="source and target"):
        control.begin(3, [S, M])


def test_split_calls_keep_a_target_its_mutual_branch_and_their_source_together() -> None:
    rows = [row for sample in range(2) for row in unified_rows(sample, 2)]
    for part in split_rows(rows, 3):
        taken = [rows[i] for i in part]
        assert len(taken) == 3
        assert len({row.sample for row in taken}) == 1
        assert [row.setting for row in taken].count(None) == 1
        assert len({row.setting for row in taken}) == 2


def after(control: UnifiedAttention, step: int, position: int, length: int) -> Tensor:
    """Blended latents of S, T, M, before it 1, 2, 3, where one token looks at one place."""
    rows = [S, T, M] if control.has_mutual(T, step) else [S, T]
    control.begin(step, rows)
    q, k, v = (torch.zeros(len(rows), 1, count, 4) for count in (4, length, length))
    q[:, 0, 0, 0], k[:, 0, position, 0] = 40.0, 1.0
    control.cross_attention(LAYER, q, k, v)
    latents = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    return control.blend(step, latents, alpha=0.9)


def test_outside_of_the_edited_words_place_the_target_is_the_mutual_branch(
    tokenizer: Any,
) -> None:
    control = make(tokenizer, 0.0, 0.0, edited_words=("dog",))
    dog = 2
    first = after(control, 0, dog, tokenizer.model_max_length)
    assert first.flatten(1).tolist() == [[1.0] * 4, [2.0] * 4, [3.0] * 4]
    second = after(control, 1, dog, tokenizer.model_max_length)
    assert second.flatten(1).tolist() == [[1.0] * 4, [2.0, 3.0, 3.0, 3.0], [3.0] * 4]
    assert control.warnings == (((),),)


def test_in_the_kept_words_place_the_target_is_the_source(tokenizer: Any) -> None:
    control = make(tokenizer, 0.0, 0.0, kept_words=("mirror",))
    states = [after(control, step, 6, tokenizer.model_max_length) for step in range(2)]
    assert states[-1].flatten(1).tolist() == [[1.0] * 4, [1.0, 2.0, 2.0, 2.0], [3.0] * 4]


def test_words_that_are_not_in_the_prompt_are_reported(tokenizer: Any) -> None:
    control = make(tokenizer, 0.5, 0.5, edited_words=("dgo",))
    ((warnings,),) = control.warnings
    assert any('"dgo"' in warning and "dog" in warning for warning in warnings)
    assert any("LocalBlend is off" in warning for warning in warnings)


def test_in_a_gap_the_most_similar_tokens_are_aligned(tokenizer: Any) -> None:
    length = tokenizer.model_max_length
    source = read_prompt(tokenizer, "a cat next to a mirror", length)
    target = read_prompt(tokenizer, "a silver cat sculpture next to a mirror", length)
    other = read_prompt(tokenizer, "a silver dog next to a mirror", length)
    assert -1 in similar_alignment(source, target, text(length, 1), text(length, 2))

    own, new = torch.eye(length), torch.eye(length)[torch.randperm(length)]
    new[3] = own[2]
    aligned = similar_alignment(source, other, own, new)
    assert aligned[2:4] == [-1, 2]
    swapped = torch.eye(length).roll(1, dims=0)
    swapped[2] = own[2]
    assert similar_alignment(source, other, own, swapped, "released")[2:4] == [2, -1]
