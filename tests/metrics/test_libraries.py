"""Agreement with the libraries that define the measures, on random pictures."""

from __future__ import annotations

import lpips
import numpy as np
import pytest
import torch
from agreement_table import agree
from metric_batches import make_scored
from safetensors.torch import load_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from icd_bench.metrics.lpips import LPIPS
from icd_bench.metrics.lpips_network import ALEX
from icd_bench.metrics.psnr import psnr
from icd_bench.metrics.ssim import ssim
from icd_bench.metrics.weights import PACKAGED

SIZES = [(64, 64), (96, 71), (31, 40)]


def random_pair(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(size))
    a = torch.rand(4, 3, *size, generator=generator)
    noise = torch.randn(4, 3, *size, generator=generator)
    strength = torch.tensor([0.001, 0.03, 0.3, 3]).view(4, 1, 1, 1)
    return a, (a + strength * noise).clamp(0, 1)


def planes(images: torch.Tensor) -> np.ndarray:
    return images.double().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", SIZES)
def test_psnr_agrees_with_scikit_image(size):
    a, b = random_pair(size)
    expected = [
        peak_signal_noise_ratio(x, y, data_range=1)
        for x, y in zip(planes(a), planes(b), strict=True)
    ]
    agree("psnr", "scikit-image", psnr(b, a), expected, 1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_ssim_agrees_with_scikit_image(size):
    a, b = random_pair(size)
    expected = [
        structural_similarity(
            x,
            y,
            data_range=1,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(planes(a), planes(b), strict=True)
    ]
    agree("ssim", "scikit-image", ssim(b, a), expected, 1e-9)


@pytest.fixture(scope="module")
def reference_lpips() -> lpips.LPIPS:
    """The lpips package with its own heads and the packaged convolutions."""
    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = load_file(ALEX.files(PACKAGED / "lpips")[0])
    for name, parameter in network.net.named_parameters():
        _, index, kind = name.split(".")
        parameter.data.copy_(weights[f"features.{index}.{kind}"])
    return network


@pytest.mark.filterwarnings("ignore:.*weight.*:UserWarning")
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_lpips_agrees_with_the_package(size, reference_lpips):
    a, b = random_pair(size)
    metric = LPIPS()
    metric.load()
    expected = reference_lpips(a, b, normalize=True).flatten()
    agree("lpips_alex", "lpips 0.1.4", metric.score(make_scored(a, b)), expected, 1e-6)
