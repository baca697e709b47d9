"""Guidance: the embedding of distilled networks, and guidance that depends on time."""

from __future__ import annotations

import torch
from golden_cases import assert_close, read_case
from hypothesis import given
from hypothesis import strategies as st

from icd_bench.diffusion.guidance import (
    classifier_free_guidance,
    dynamic_guidance,
    guidance_embedding,
    interval_guidance,
)


def test_embedding() -> None:
    tensors = read_case("icd/conventions").tensors
    assert_close(guidance_embedding(tensors["w"] + 1, 512), tensors["w_embedding"], 2e-3)


def test_embedding_is_bit_exact_where_w_is_a_whole_number() -> None:
    tensors = read_case("icd/conventions").tensors
    whole = tensors["w"] == tensors["w"].round()
    assert whole.sum() > 3
    embedding = guidance_embedding(tensors["w"][whole] + 1, 512)
    assert_close(embedding, tensors["w_embedding"][whole], 1e-6)


def test_unguided_embedding() -> None:
    embedding = guidance_embedding(torch.tensor([1.0]), 8)
    assert embedding.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


def test_dynamic_guidance() -> None:
    tensors = read_case("icd/conventions").tensors
    for scale, name, shift in (
        (20.0, "dynamic_w", 1),
        (8.0, "dynamic_scale_without_embedding", 0),
    ):
        computed = [
            [
                dynamic_guidance(scale, t, *(round(x, 6) for x in taus)) - shift
                for t in tensors["dynamic_t"].tolist()
            ]
            for taus in tensors["dynamic_tau"].tolist()
        ]
        assert_close(torch.tensor(computed), tensors[name], 1e-5)


@given(st.floats(1, 30), st.integers(0, 999), st.floats(0, 1), st.floats(0, 1))
def test_dynamic_guidance_lies_between_none_and_full(scale, t, a, b) -> None:
    value = dynamic_guidance(scale, t, min(a, b), max(a, b))
    assert 1 <= value <= scale


def test_guidance_interval_includes_its_ends() -> None:
    assert [interval_guidance(8, t, 200, 600) for t in (199, 200, 600, 601)] == [1, 8, 8, 1]


def test_classifier_free_guidance_is_per_row() -> None:
    unconditional, conditional = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    guided = classifier_free_guidance(unconditional, conditional, torch.tensor([1.0, 2.0, 7.5]))
    assert guided[:, 0, 0, 0].tolist() == [1.0, 2.0, 7.5]
