"""Mutual self-attention: who takes keys and values from whom, when, where, behind which masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from icd_bench.diffusion.attention import (
    AttentionControl,
    AttentionSizes,
    GivenMasks,
    Layer,
    MutualEdit,
    MutualSelfAttention,
    PromptEdit,
    PromptToPrompt,
    Row,
    WordMasks,
    edit_rows,
)

EARLY, LATE = Layer("down", "down", 0), Layer("up", "up", 5)
SIZES = AttentionSizes(blend=(2, 2))
SOURCE, TARGET = "a cat next to a mirror", "a dog next to a mirror"

ROWS = [*edit_rows(1, 2), Row(0, conditional=False), Row(0, 0, False), Row(0, 1, False)]
"""Source and two targets, then their null-text rows."""


def mutual(masks: Any = None, **changes: Any) -> MutualEdit:
    return MutualEdit(
        TARGET, **{"steps": range(1, 4), "layers": range(3, 9), **changes}, masks=masks
    )


def make(tokenizer: Any, *edits: MutualEdit | None, inner: Any = None) -> MutualSelfAttention:
    return MutualSelfAttention(tokenizer, [SOURCE], [edits], SIZES, inner)


def qkv(rows: int, tokens: int = 4, keys: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    q, k, v = (
        torch.randn(rows, 2, count, 8, generator=generator, dtype=torch.float64)
        for count in (tokens, keys or tokens, keys or tokens)
    )
    return q, k, v


def test_targets_take_keys_and_values_of_their_own_half(tokenizer: Any) -> None:
    control = make(tokenizer, mutual(), None)
    control.begin(1, ROWS)
    q, k, v = qkv(6)
    attended = control.self_attention(LATE, q, k, v)
    expected = attend(q, k[[0, 0, 2, 3, 3, 5]], v[[0, 0, 2, 3, 3, 5]])
    torch.testing.assert_close(attended, expected)


@pytest.mark.parametrize(("step", "layer"), [(0, LATE), (1, EARLY), (4, LATE)])
def test_nothing_happens_elsewhere(step: int, layer: Layer, tokenizer: Any) -> None:
    control = make(tokenizer, mutual(), mutual())
    control.begin(step, ROWS)
    q, k, v = qkv(6)
    assert torch.equal(control.self_attention(layer, q, k, v), attend(q, k, v))
    assert all("nowhere" in warning for (warning,) in control.warnings[0])


def test_lists_of_steps_and_layers(tokenizer: Any) -> None:
    control = make(tokenizer, mutual(steps=[0, 2], layers=[5]), None)
    q, k, v = qkv(6)
    changed = {}
    for step in range(4):
        control.begin(step, ROWS)
        changed[step] = not torch.equal(control.self_attention(LATE, q, k, v), attend(q, k, v))
    assert changed == {0: True, 1: False, 2: True, 3: False}
    assert control.warnings == (((), ()),)


def test_a_target_without_its_source_row_is_refused(tokenizer: Any) -> None:
    control = make(tokenizer, mutual())
    with pytest.raises(ValueError, match="without its source row"):
        control.begin(1, [Row(0), Row(0, 0), Row(0, 0, conditional=False)])


def test_null_rows_are_fed_where_it_acts(tokenizer: Any) -> None:
    control = make(tokenizer, None, mutual())
    readers = [control.null_row_readers(step, 0) for step in range(5)]
    assert readers == [set(), *[{1}] * 3, set()]
    assert not AttentionControl().null_row_readers(1, 0)


def test_given_masks_part_object_and_background(tokenizer: Any) -> None:
    """Four tokens; masks of 4x4 pixels, of which nearest interpolation keeps every second."""
    source, target = torch.zeros(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    source[0, 0] = target[2, 2] = target[2, 0] = True
    control = make(tokenizer, mutual(GivenMasks(source, target)), mutual())
    control.begin(1, ROWS)
    q, k, v = qkv(6)
    attended = control.self_attention(LATE, q, k, v)

    for row, from_row in ((1, 0), (4, 3)):
        inside, outside = [2, 3], [0, 1]
        for queries, keys in ((inside, [0]), (outside, [1, 2, 3])):
            expected = attend(q[row][:, queries], k[from_row][:, keys], v[from_row][:, keys])
            torch.testing.assert_close(attended[row][:, queries], expected)
    torch.testing.assert_close(attended[2], attend(q[2], k[0], v[0]))


def test_an_object_that_vanishes_leaves_all_to_see(tokenizer: Any) -> None:
    empty, everywhere = torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    control = make(tokenizer, mutual(GivenMasks(empty, everywhere)))
    rows = edit_rows(1, 1)
    control.begin(1, rows)
    q, k, v = qkv(2)
    attended = control.self_attention(LATE, q, k, v)
    torch.testing.assert_close(attended[1], attend(q[1], k[0], v[0]))


def test_masks_come_from_the_layers_that_ran_in_this_step(tokenizer: Any) -> None:
    words = WordMasks(("cat",), ("dog",), threshold=0.5)
    length = tokenizer.model_max_length
    control = make(tokenizer, mutual(words))
    conditional, unconditional = edit_rows(1, 1), [Row(0, None, False), Row(0, 0, False)]
    q, k, v = qkv(2)
    text = qkv(2, 4, length)

    def places(row: int) -> Tensor:
        maps = (text[0][row] @ text[1][row].mT / 8**0.5).softmax(-1).mean(0)[:, 2]
        return (maps - maps.min()) / (maps.max() - maps.min()) >= 0.5

    sees = places(1)[:, None] == places(0)
    assert sees.any(dim=1).all()
    expected = attend(q[1], k[0], v[0], attn_mask=sees)
    unmasked = attend(q[1], k[0], v[0])

    control.begin(1, conditional)
    torch.testing.assert_close(control.self_attention(LATE, q, k, v)[1], unmasked)
    torch.testing.assert_close(control.cross_attention(EARLY, *text), attend(*text))
    torch.testing.assert_close(control.self_attention(LATE, q, k, v)[1], expected)
    # The null-text rows may come in a call of their own.
    control.begin(1, unconditional)
    torch.testing.assert_close(control.self_attention(LATE, q, k, v)[1], expected)
    control.begin(2, unconditional)
    torch.testing.assert_close(control.self_attention(LATE, q, k, v)[1], unmasked)


def test_absent_words_are_reported_and_masks_left_out(tokenizer: Any) -> None:
    control = make(tokenizer, mutual(WordMasks(("cat",), ("tiger",))))
    control.begin(1, edit_rows(1, 1))
    q, k, v = qkv(2)
    text = qkv(2, 4, tokenizer.model_max_length)
    control.cross_attention(EARLY, *text)
    torch.testing.assert_close(control.self_attention(LATE, q, k, v)[1], attend(q[1], k[0], v[0]))
    ((warnings,),) = control.warnings
    assert len(warnings) == 1
    assert "no masks" in warnings[0]


def test_other_rows_are_left_to_prompt_to_prompt(tokenizer: Any) -> None:
    idle, replaced = PromptEdit(TARGET, 0.0, 0.0), PromptEdit(TARGET, 1.0, 1.0)

    def p2p() -> PromptToPrompt:
        return PromptToPrompt(tokenizer, [SOURCE], [[idle, replaced]], num_steps=4, sizes=SIZES)

    control, alone = make(tokenizer, mutual(), None, inner=p2p()), p2p()
    for each in (control, alone):
        each.begin(1, ROWS)
    q, k, v = qkv(6)
    together, expected = (each.self_attention(LATE, q, k, v) for each in (control, alone))
    torch.testing.assert_close(together[[0, 2, 3, 5]], expected[[0, 2, 3, 5]])
    torch.testing.assert_close(together[1], attend(q[1], k[0], v[0]))
    assert not torch.allclose(expected[2], attend(q[2], k[2], v[2]))
    assert control.warnings == (((), ()),)
