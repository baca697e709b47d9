import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from icd_bench.diffusion.attention import (
    AttentionControl,
    AttentionSizes,
    Blend,
    Layer,
    PromptEdit,
    PromptToPrompt,
    Row,
    controlled,
    edit_rows,
    split_rows,
)
from icd_bench.diffusion.attention.control import attention_maps

LAYER = Layer("layer", "down", 0)
SOURCE = "a cat sitting next to a mirror"
TIGER = "a tiger sitting next to a mirror"
SILVER = "a silver cat sculpture sitting next to a mirror"

GOLDEN = {
    "replace": PromptEdit("", 0.6, 0.4, "replace"),
    "replace_token_counts_differ": PromptEdit("", (0.2, 0.9), (0.2, 0.8), "replace"),
    "replace_two_targets": PromptEdit("", 0.6, 0.4, "replace"),
    "refine": PromptEdit("", 0.5, 0.6, "refine"),
    "refine_same_length": PromptEdit("", 0.6, 0.4, "refine"),
    "reweight": PromptEdit("", 0.6, 0.4, "identity"),
    "reweight_over_replace": PromptEdit("", 0.6, 0.4, "replace"),
    "reweight_over_refine": PromptEdit("", 0.6, 0.4, "refine"),
}


def qkv_of(maps):
    """Queries and keys that have these attention maps, and values that show them."""
    keys = torch.eye(maps.shape[-1]).expand(*maps.shape[:2], -1, -1)
    return maps.log() * maps.shape[-1] ** 0.5, keys, keys


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_controllers(golden, tokenizer, name):
    case = golden("controllers")
    setting, steps = case.settings["controllers"][name], case.settings["num_steps"]
    source, *targets = setting["prompts"]
    edits = [
        PromptEdit(
            target,
            GOLDEN[name].cross_window,
            GOLDEN[name].self_window,
            GOLDEN[name].mapper,
            weights=setting.get("equalizer", {}),
            blend=Blend(("a",), ("a",)),
        )
        for target in targets
    ]
    control = PromptToPrompt(
        tokenizer, [source], [edits], steps, AttentionSizes(self_tokens=9, blend=(3, 3))
    )
    # a null-text row in front, which must stay as it is
    rows = [Row(0, 0, conditional=False), *control.rows]

    for step in range(steps):
        control.begin(step, rows)
        for kind, attend in (("cross", control.cross_attention), ("self", control.self_attention)):
            given_maps, expected = (
                case.tensors[f"{name}.{kind}_{x}"][step].unflatten(0, (len(rows) - 1, -1))
                for x in ("in", "out")
            )
            given_maps = torch.cat([given_maps[-1:], given_maps])
            edited = attend(LAYER, *qkv_of(given_maps))
            torch.testing.assert_close(edited[1:], expected, atol=1e-6, rtol=0)
            torch.testing.assert_close(edited[0], given_maps[0], atol=1e-6, rtol=0)
        control._blend.end_step()

    stored = case.tensors[f"{name}.stored_cross_sum"].unflatten(0, (len(rows) - 1, -1)).mean(1)
    torch.testing.assert_close(control._blend._maps, stored, atol=5e-6, rtol=0)


def test_self_attention_is_replaced_up_to_the_limit_only(tokenizer):
    edit = PromptEdit(TIGER, 0.0, 1.0)
    control = PromptToPrompt(tokenizer, [SOURCE], [[edit]], 2, AttentionSizes(self_tokens=9))
    control.begin(0, control.rows)
    for tokens in (9, 10):
        q, k, v = torch.randn(3, 2, 2, tokens, 4)
        attended = control.self_attention(LAYER, q, k, v)
        maps = attention_maps(q, k)
        chosen = maps[[0, 0]] if tokens == 9 else maps
        torch.testing.assert_close(attended, chosen @ v)


EDITS = st.builds(
    PromptEdit,
    target_prompt=st.sampled_from([TIGER, SILVER, SOURCE, "a brontosaurus near a bike"]),
    cross_window=st.one_of(
        st.floats(0, 1),
        st.fixed_dictionaries({"default_": st.floats(0, 1), "mirror": st.floats(0, 1)}),
    ),
    self_window=st.floats(0, 1),
    mapper=st.sampled_from(["auto", "refine", "identity", "none"]),
    weights=st.dictionaries(st.sampled_from(["tiger", "silver", "a"]), st.floats(-2, 3)),
    blend=st.sampled_from([None, Blend(("cat",), ("tiger", "cat")), Blend(("mirror",), ())]),
)


def run(unet, tokenizer, sources, edits, texts, latents, steps=3, max_rows=64, guided=False):
    """Sample a few steps of a made-up sampler under control; returns latents and the control."""
    sizes = AttentionSizes(self_tokens=16, blend=(4, 4))
    control = PromptToPrompt(tokenizer, sources, edits, steps, sizes)
    rows = list(control.rows)
    if guided:
        rows += [Row(r.sample, r.setting, conditional=False) for r in control.rows]
        texts = torch.cat([texts, torch.zeros_like(texts)])
    with controlled(unet, control), torch.no_grad():
        for step in range(steps):
            x = torch.cat([latents, latents]) if guided else latents
            eps = torch.empty_like(x)
            for batch in split_rows(rows, max_rows):
                control.begin(step, [rows[p] for p in batch])
                eps[batch] = unet(x[batch], 900 - 300 * step, texts[batch]).sample
            if guided:
                conditional, null = eps.chunk(2)
                eps = null + 3 * (conditional - null)
            latents = control.after_step(step, latents - 0.4 * eps)
    return latents, control


def inputs(samples, targets, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = samples * (targets + 1)
    latents = torch.randn(samples, 4, 8, 8, generator=generator)
    texts = torch.randn(rows, 77, 16, generator=generator)
    return latents.repeat_interleave(targets + 1, 0).double(), texts.double()


@settings(max_examples=12, deadline=None)
@given(edits=st.lists(EDITS, min_size=2, max_size=4))
def test_settings_in_one_batch_equal_settings_alone(unet, tokenizer, edits):
    latents, texts = inputs(1, len(edits))
    together, _ = run(unet, tokenizer, [SOURCE], [edits], texts, latents)
    for n, edit in enumerate(edits):
        alone, _ = run(unet, tokenizer, [SOURCE], [[edit]], texts[[0, n + 1]], latents[:2])
        torch.testing.assert_close(together[[0, n + 1]], alone, atol=1e-5, rtol=1e-5)


@settings(max_examples=6, deadline=None)
@given(
    edits=st.lists(st.lists(EDITS, min_size=2, max_size=2), min_size=3, max_size=3),
    max_rows=st.integers(2, 8),
    guided=st.booleans(),
)
def test_micro_batches_change_nothing(unet, tokenizer, edits, max_rows, guided):
    latents, texts = inputs(3, 2)
    arguments = (unet, tokenizer, [SOURCE] * 3, edits, texts, latents)
    whole, _ = run(*arguments, guided=guided)
    split, _ = run(*arguments, guided=guided, max_rows=max_rows)
    torch.testing.assert_close(split, whole, atol=1e-5, rtol=1e-5)


def test_the_source_row_is_that_of_plain_sampling(unet, tokenizer):
    latents, texts = inputs(1, 2)
    edits = [
        PromptEdit(TIGER, 0.8, 0.8, blend=Blend(("cat",), ("tiger",))),
        PromptEdit(SILVER, 1, 1),
    ]
    together, _ = run(unet, tokenizer, [SOURCE], [edits], texts, latents)
    alone, _ = run(unet, tokenizer, [SOURCE], [[]], texts[:1], latents[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mapper", ["replace", "refine", "identity", "none"])
def test_zero_windows_are_plain_attention(unet, tokenizer, mapper):
    latents, texts = inputs(1, 1)
    edit = PromptEdit(TIGER, 0, 0, mapper, weights={"tiger": 5})
    edited, _ = run(unet, tokenizer, [SOURCE], [[edit]], texts, latents)
    with torch.no_grad():
        for step in range(3):
            latents = latents - 0.4 * unet(latents, 900 - 300 * step, texts).sample
    torch.testing.assert_close(edited, latents, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "edit",
    [
        PromptEdit(TIGER, 1.0, 0.0),
        PromptEdit(SILVER, 1.0, 0.0),
        PromptEdit(TIGER, 0.0, 1.0),
        PromptEdit(TIGER, 1.0, 0.0, "none", weights={"tiger": 4}),
    ],
    ids=["replace", "refine", "self", "reweight"],
)
def test_every_control_changes_the_target(unet, tokenizer, edit):
    latents, texts = inputs(1, 1)
    edited, _ = run(unet, tokenizer, [SOURCE], [[edit]], texts, latents)
    plain, _ = run(unet, tokenizer, [SOURCE], [[PromptEdit(TIGER, 0, 0)]], texts, latents)
    assert (edited[1] - plain[1]).abs().max() > 1e-2


class ExplicitMaps(AttentionControl):
    """Prompt-to-Prompt of two rows as the paper writes it: on materialised maps."""

    def __init__(self, mapper, kept):
        self.mapper, self.kept = mapper.double(), kept.double()

    def self_attention(self, layer, q, k, v):
        maps = attention_maps(q, k)
        return torch.stack([maps[0], maps[0] if q.shape[-2] <= 16 else maps[1]]) @ v

    def cross_attention(self, layer, q, k, v):
        maps = attention_maps(q, k)
        return torch.stack([maps[0], maps[0] @ self.mapper + maps[1] * self.kept]) @ v


def test_fused_attention_equals_explicit_maps(unet, tokenizer):
    latents, texts = inputs(1, 1)
    edit = PromptEdit(SILVER, 1.0, 1.0, weights={"silver": 2.5, "mirror": 0.3})
    control = PromptToPrompt(tokenizer, [SOURCE], [[edit]], 1, AttentionSizes(self_tokens=16))
    plan = control._plans[Row(0, 0)]
    outputs = []
    for candidate in (control, ExplicitMaps(plan.taken, plan.kept)):
        with controlled(unet, candidate), torch.no_grad():
            candidate.begin(0, edit_rows(1, 1))
            outputs.append(unet(latents, 500, texts).sample)
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)


def test_blended_rows_equal_their_source_outside_the_mask(unet, tokenizer):
    latents, texts = inputs(1, 1)
    edit = PromptEdit(TIGER, 0.5, 0.5, blend=Blend(("cat",), ("tiger",), threshold=0.9))
    edited, control = run(unet, tokenizer, [SOURCE], [[edit]], texts, latents)
    mask = control._blend.masks(control._blend.rows)[0].repeat_interleave(2, 0)
    mask = mask.repeat_interleave(2, 1)
    assert 0 < mask.sum() < mask.numel()
    assert torch.equal(edited[1][:, ~mask], edited[0][:, ~mask])
    assert not torch.equal(edited[1][:, mask], edited[0][:, mask])


def test_half_precision_stays_close(unet, tokenizer):
    edit = PromptEdit(SILVER, 1.0, 0.5, weights={"silver": 2})
    control = PromptToPrompt(tokenizer, [SOURCE], [[edit]], 2)
    control.begin(0, control.rows)
    q = torch.randn(2, 2, 16, 8)
    k, v = torch.randn(2, 2, 2, 77, 8)
    full = control.cross_attention(LAYER, q, k, v)
    half = control.cross_attention(LAYER, *(x.to(torch.bfloat16) for x in (q, k, v)))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, atol=0.05, rtol=0.05)


def warnings_of(tokenizer, source, edit):
    return PromptToPrompt(tokenizer, [source], [[edit]], 4).warnings[0][0]


def test_nothing_to_warn_of(tokenizer):
    edit = PromptEdit(TIGER, 0.5, 0.5, weights={"tiger": 2}, blend=Blend(("cat",), ("tiger",)))
    assert warnings_of(tokenizer, SOURCE, edit) == ()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (PromptEdit(TIGER, 0.5, 0.5, weights={"tigers": 2}), 'reweighted word "tigers".*"tiger"'),
        (PromptEdit(TIGER, {"zebra": 0.5}, 0.5), 'windowed word "zebra"'),
        (PromptEdit(SILVER, 0.5, 0.5, "replace"), "7 words, target prompt 9.*refined"),
        (PromptEdit("a cat " * 60, 0.5, 0.5), "122 tokens: only the first 77"),
        (PromptEdit(TIGER, 1, 1, blend=Blend(("cat",), ("lion",))), 'blend word "lion"'),
        (PromptEdit(TIGER, 1, 1, blend=Blend(("dog",), ("lion",))), "LocalBlend is off"),
        (
            PromptEdit(TIGER, 1, 1, blend=Blend(("cat",), ("tiger",), target_excluded=("x",))),
            'excluded word "x"',
        ),
    ],
)
def test_what_cannot_be_done_is_said(tokenizer, edit, said):
    assert re.search(said, "\n".join(warnings_of(tokenizer, SOURCE, edit)))


def test_blending_by_absent_words_never_returns_the_source(unet, tokenizer):
    latents, texts = inputs(1, 1)
    absent = PromptEdit(TIGER, 0.5, 0.5, blend=Blend(("dog",), ("lion",)))
    edited, _ = run(unet, tokenizer, [SOURCE], [[absent]], texts, latents)
    without, _ = run(unet, tokenizer, [SOURCE], [[PromptEdit(TIGER, 0.5, 0.5)]], texts, latents)
    assert torch.equal(edited, without)
    assert not torch.equal(edited[0], edited[1])


def test_an_edit_that_blending_undid_is_reported(unet, tokenizer):
    latents, texts = inputs(1, 1)
    blend = Blend(("cat",), ("tiger",), 0.3, 0.0, ("cat",), ("tiger",), excluded_threshold=-1.0)
    edited, control = run(
        unet, tokenizer, [SOURCE], [[PromptEdit(TIGER, 0.5, 0.5, blend=blend)]], texts, latents
    )
    assert torch.equal(edited[0], edited[1])
    assert control.warnings == ((("LocalBlend's mask is empty: the edit equals the source",),),)


def test_a_target_without_its_source_is_an_error(tokenizer):
    control = PromptToPrompt(tokenizer, [SOURCE], [[PromptEdit(TIGER, 1, 1)]], 4)
    with pytest.raises(ValueError, match="without its source row"):
        control.begin(0, [Row(0, 0)])


def test_a_batch_other_than_announced_is_an_error(unet, tokenizer):
    control = PromptToPrompt(tokenizer, [SOURCE], [[PromptEdit(TIGER, 1, 1)]], 4)
    latents, texts = inputs(1, 1)
    with controlled(unet, control), pytest.raises(ValueError, match="begin announced 0"):
        unet(latents, 500, texts)


def test_uneven_edits_are_an_error(tokenizer):
    edit = PromptEdit(TIGER, 1, 1)
    with pytest.raises(ValueError, match="all of one length"):
        PromptToPrompt(tokenizer, [SOURCE, SOURCE], [[edit], [edit, edit]], 4)
    with pytest.raises(ValueError, match="2 source prompts"):
        PromptToPrompt(tokenizer, [SOURCE, SOURCE], [[edit]], 4)


def test_attention_maps_are_those_of_fused_attention():
    q, k, v = torch.randn(3, 2, 2, 6, 4)
    fused = functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention_maps(q, k) @ v, fused)
