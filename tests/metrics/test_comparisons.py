"""What all comparisons promise: batch invariance, masks, NaN, identical pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from metric_batches import make_sample, make_scored, row_of

from icd_bench import registry
from icd_bench.errors import UsageError
from icd_bench.metrics.comparison import Comparison
from icd_bench.metrics.lpips import LPIPS, BackgroundLPIPS
from icd_bench.metrics.mse import mse
from icd_bench.metrics.psnr import psnr
from icd_bench.metrics.ssim import ssim

WHOLE = ["psnr", "mse", "ssim", "lpips_alex"]
BACKGROUND = ["background_psnr", "background_mse", "background_ssim", "background_lpips"]
TARGET = ["target_psnr", "target_ssim", "target_lpips"]
BEST = {"psnr": math.inf, "mse": 0, "ssim": 1, "lpips": 0}


def loaded(name: str) -> Comparison:
    metric = registry.metrics.load(name)()
    metric.load()
    return metric


def best_of(name: str) -> float:
    return next(value for family, value in BEST.items() if family in name)


@pytest.mark.parametrize("name", WHOLE + BACKGROUND + TARGET)
def test_many_together_score_as_one_by_one(name, scored):
    together = loaded(name).score(scored)
    apart = [loaded(name).score(row_of(scored, row))[0] for row in range(6)]
    assert np.isfinite(together).all()
    assert len(set(together)) == 6
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("name", WHOLE + BACKGROUND)
def test_equal_pictures_score_best(name, scored):
    batch = make_scored(scored.source, scored.source, mask=scored.mask)
    np.testing.assert_allclose(loaded(name).score(batch), best_of(name), atol=1e-12)


@pytest.mark.parametrize("name", TARGET)
def test_true_edit_scores_best(name, scored):
    batch = make_scored(scored.source, scored.target, target=scored.target)
    np.testing.assert_allclose(loaded(name).score(batch), best_of(name), atol=1e-12)


@pytest.mark.parametrize("name", WHOLE + BACKGROUND + TARGET)
def test_scores_lie_in_the_stated_range(name, scored):
    metric = loaded(name)
    low, high = metric.info.range
    values = metric.score(scored)
    assert (values >= low).all()
    assert high is None or (values <= high).all()


@pytest.mark.parametrize("name", WHOLE + BACKGROUND + TARGET)
def test_more_noise_scores_worse(name, scored):
    metric = loaded(name)
    noise = torch.randn(scored.source.shape, generator=torch.Generator().manual_seed(1))
    means = []
    for strength in (0.02, 0.1, 0.4):
        edited = (scored.target + strength * noise).clamp(0, 1)
        batch = make_scored(scored.source, edited, scored.target, scored.mask)
        means.append(metric.score(batch).mean())
    worse_is_lower = metric.info.direction == "higher"
    assert means == sorted(means, reverse=worse_is_lower)


@pytest.mark.parametrize("name", BACKGROUND)
def test_background_ignores_what_happens_inside_the_mask(name, scored):
    rubbish = torch.rand(scored.edited.shape, generator=torch.Generator().manual_seed(3))
    changed = torch.where(scored.mask.bool(), rubbish, scored.edited)
    metric = loaded(name)
    before = metric.score(scored)
    after = metric.score(make_scored(scored.source, changed, mask=scored.mask))
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("name", BACKGROUND)
def test_background_sees_what_happens_outside_the_mask(name, scored):
    shifted = torch.where(scored.mask.bool(), scored.edited, 1 - scored.edited)
    metric = loaded(name)
    before = metric.score(scored)
    after = metric.score(make_scored(scored.source, shifted, mask=scored.mask))
    worse = after < before if metric.info.direction == "higher" else after > before
    assert worse.all()


@pytest.mark.parametrize(("background", "whole"), [*zip(BACKGROUND, WHOLE, strict=True)])
def test_empty_mask_keeps_the_whole_picture(background, whole, scored):
    nothing = torch.zeros_like(scored.mask)
    batch = make_scored(scored.source, scored.edited, mask=nothing)
    expected = loaded(whole).score(batch)
    np.testing.assert_allclose(loaded(background).score(batch), expected, rtol=1e-5)


@pytest.mark.parametrize("name", BACKGROUND)
def test_full_mask_is_not_a_number_and_spares_its_neighbours(name, scored):
    expected = loaded(name).score(scored)
    scored.mask[2] = 1
    values = loaded(name).score(scored)
    assert np.isnan(values[2])
    others = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(values[others], expected[others], atol=1e-6)


@pytest.mark.parametrize("name", BACKGROUND + TARGET)
def test_without_mask_or_true_edit_is_not_a_number(name, scored):
    values = loaded(name).score(make_scored(scored.source, scored.edited))
    assert values.shape == (6,)
    assert np.isnan(values).all()


@pytest.mark.parametrize("name", BACKGROUND + TARGET)
def test_sample_without_mask_or_true_edit_is_not_a_number(name, scored):
    samples = [make_sample(f"s{row}", row != 1, row != 1) for row in range(6)]
    batch = make_scored(scored.source, scored.edited, scored.target, scored.mask, samples)
    values = loaded(name).score(batch)
    assert np.isnan(values).tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize("kept_columns", [1, 16, 63])
def test_background_error_is_per_kept_area(kept_columns):
    """An error of 0.2 in every kept pixel and 0.9 elsewhere: 0.04 whatever the area."""
    source = torch.zeros(1, 3, 64, 64)
    keep = torch.zeros(1, 1, 64, 64)
    keep[..., :kept_columns] = 1
    edited = (0.9 - 0.7 * keep).expand_as(source)
    assert mse(edited, source, keep).item() == pytest.approx(0.04, abs=1e-7)
    assert psnr(edited, source, keep).item() == pytest.approx(-10 * math.log10(0.04), abs=1e-5)


@pytest.mark.parametrize("kept_columns", [12, 32, 52])
def test_background_ssim_of_flat_pictures_is_its_luminance_term(kept_columns):
    """Flat kept areas of 0.3 and 0.6 have no contrast: (2xy + C1) / (x^2 + y^2 + C1)."""
    keep = torch.zeros(1, 1, 64, 64)
    keep[..., :kept_columns] = 1
    noise = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    a, b = (torch.where(keep.bool(), value, noise[i]) for i, value in enumerate([0.3, 0.6]))
    expected = (2 * 0.3 * 0.6 + 1e-4) / (0.3**2 + 0.6**2 + 1e-4)
    assert ssim(a, b, keep).item() == pytest.approx(expected, abs=1e-6)


def test_background_lpips_counts_cells_by_their_kept_area():
    """With a distance of 1 in the left half of every layer and 0 in the right half."""
    metric = BackgroundLPIPS()
    metric.load()
    network = metric.network
    one = tuple(torch.zeros(1, len(head), 4, 8) for head in network.heads)
    other = tuple(torch.zeros(1, len(head), 4, 8) for head in network.heads)
    for layer, head in zip(one, network.heads, strict=True):
        layer[0, :, :, :4] = (head.sum() ** -0.5).expand(len(head))[:, None, None]
    left, right, quarter = torch.zeros(3, 1, 1, 64, 64)
    left[..., :32] = 1
    right[..., 32:] = 1
    quarter[..., 24:48] = 1
    assert network.distance(one, other).item() == pytest.approx(5 * 0.5)
    assert network.distance(one, other, left).item() == pytest.approx(5)
    assert network.distance(one, other, right).item() == 0
    assert network.distance(one, other, quarter).item() == pytest.approx(5 / 3)


def test_ssim_names_the_size_that_is_too_small():
    small = torch.zeros(1, 3, 10, 40)
    with pytest.raises(UsageError, match="40x10"):
        ssim(small, small)


def test_lpips_names_the_size_that_is_too_small():
    metric = LPIPS()
    metric.load()
    small = torch.zeros(1, 3, 30, 64)
    with pytest.raises(UsageError, match="64x30"):
        metric.score(make_scored(small, small))


def test_source_features_are_encoded_once_per_sample(scored, monkeypatch):
    metric = loaded("lpips_alex")
    encoded = []
    features = metric.network.features
    monkeypatch.setattr(metric.network, "features", lambda x: encoded.append(len(x)) or features(x))
    first = metric.score(scored)
    assert encoded == [6, 6]
    half = [0, 0, 3]
    again = make_scored(
        scored.source[half], scored.edited[half], samples=[scored.samples[row] for row in half]
    )
    np.testing.assert_allclose(metric.score(again), first[half], atol=1e-6)
    assert encoded == [6, 6, 3]
