"""Noise regularisation: what it measures, and that pictures do not meet."""

from __future__ import annotations

import pytest
import torch
from golden_cases import assert_close
from torch import Tensor

from icd_bench.diffusion.regularise import (
    autocorrelation,
    draw_rolls,
    patch_divergence,
    pyramid_sides,
    regularise,
)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_pyramid_ends_at_eight() -> None:
    assert pyramid_sides(64) == [64, 32, 16, 8]
    assert pyramid_sides(16) == [16, 8]
    assert pyramid_sides(8) == [8]


def test_rolls_stay_below_half_a_side() -> None:
    rolls = draw_rolls(torch.Generator().manual_seed(0), (200, 4), 64)
    assert rolls.shape == (200, 4, 4)
    assert rolls.amin() == 0
    assert rolls.flatten(0, 1).amax(dim=0).tolist() == [31, 15, 7, 3]


def test_divergence_is_zero_from_itself_and_grows_with_the_scale() -> None:
    eps = noise(2, 4, 16, 16)
    assert_close(patch_divergence(eps, eps), torch.zeros(2), 1e-3)
    near, far = patch_divergence(1.1 * eps, eps), patch_divergence(1.5 * eps, eps)
    assert (near > 0).all()
    assert (near < far).all()


def test_divergence_of_one_patch_is_the_formula() -> None:
    first, second = noise(2, 1, 4, 4)
    v, w = first.var(), second.var()
    expected = ((w / v).log() + (v + (first.mean() - second.mean()) ** 2) / w - 1).abs()
    assert_close(patch_divergence(first[None], second[None]), expected[None], 1e-4)


def test_autocorrelation_is_that_of_rolled_copies() -> None:
    x = noise(1, 2, 8, 8)
    rolls = torch.tensor([[[3], [1]]])
    expected = sum(
        (x[0, c] * torch.roll(x[0, c], shift, axis)).mean() ** 2
        for c, shift in ((0, 3), (1, 1))
        for axis in (0, 1)
    )
    assert autocorrelation(x, rolls).item() == pytest.approx(float(expected), rel=1e-5)


def test_smooth_noise_becomes_less_correlated() -> None:
    smooth = torch.nn.functional.avg_pool2d(noise(1, 4, 18, 18), 3, stride=1) * 3
    generator = torch.Generator().manual_seed(2)
    rolls = draw_rolls(generator, (1, 4, 5, 4), 16)
    judged = draw_rolls(generator, (1, 4), 16)
    better = regularise(smooth, None, rolls, 0.0, 20.0)
    assert autocorrelation(better, judged) < autocorrelation(smooth, judged)


def test_regularising_a_batch_is_regularising_each_picture() -> None:
    eps, reference = noise(3, 4, 16, 16), noise(6, 4, 16, 16)[3:]
    rolls = torch.stack(
        [draw_rolls(torch.Generator().manual_seed(i), (2, 3, 4), 16) for i in range(3)]
    )
    together = regularise(eps, reference, rolls, 0.065, 20.0)
    for i in range(3):
        one = slice(i, i + 1)
        assert_close(
            regularise(eps[one], reference[one], rolls[one], 0.065, 20.0), together[one], 1e-5
        )
