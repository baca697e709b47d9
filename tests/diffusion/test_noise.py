"""Noise belongs to a sample, not to a batch."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from icd_bench.diffusion.noise import randn

SHAPE = (4, 8, 8)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6), st.randoms())
def test_order_and_batch_do_not_matter(seeds, random) -> None:
    together = randn(seeds, SHAPE, "start")
    shuffled = random.sample(seeds, len(seeds))
    for seed, noise in zip(shuffled, randn(shuffled, SHAPE, "start"), strict=True):
        assert noise.equal(together[seeds.index(seed)])


def test_seeds_and_streams_differ() -> None:
    noises = [randn([seed], SHAPE, stream) for seed in (1, 2) for stream in ("a", "b")]
    for i, noise in enumerate(noises):
        for other in noises[:i]:
            assert (noise - other).abs().mean() > 0.5


def test_noise_is_standard_normal() -> None:
    noise = randn(range(200), SHAPE, "start")
    assert abs(noise.mean().item()) < 0.02
    assert abs(noise.std().item() - 1) < 0.02


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    randn([1, 2], SHAPE, "start")
    assert torch.random.get_rng_state().equal(before)
