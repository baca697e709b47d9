from __future__ import annotations

import pytest
import torch
from scipy.stats import norm

from icd_bench.diffusion.latent_nll import latent_nll


def test_it_is_the_mean_negative_log_density_of_the_standard_normal() -> None:
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = [-norm.logpdf(one.numpy().astype(float)).mean() for one in latents]
    assert latent_nll(latents).tolist() == pytest.approx(expected)


def test_latents_that_are_too_large_are_less_likely_and_small_ones_more() -> None:
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    small, true, large = (float(latent_nll(scale * latents)) for scale in (0.5, 1, 1.2))
    assert small < true < large
