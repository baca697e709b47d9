"""FID, KID and FD-DINOv2: networks and distances against their libraries, on random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreement_table import agree
from PIL import Image
from safetensors.torch import save_file
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import mmd2
from torchvision.transforms.functional import center_crop
from torchvision.transforms.functional import resize as resize_pil

from icd_bench.errors import UsageError
from icd_bench.metrics.inception import Inception
from icd_bench.metrics.set_distances import FID, KID, kernel_distance
from icd_bench.metrics.weights import HOME_VARIABLE

RNG = np.random.default_rng(0)
A = RNG.normal(size=(40, 6))
B = RNG.normal(size=(55, 6)) * [1, 2, 1, 1, 0.5, 1] + [0, 0, 1, 0, 0, 0]


@pytest.fixture(scope="module")
def network() -> FeatureExtractorInceptionV3:
    """torch-fidelity's network with random weights that do not vanish on the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *_, **__: 0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        return FeatureExtractorInceptionV3("random", ["2048"])


@torch.no_grad()
def test_inception_agrees_with_torch_fidelity(network):
    levels = torch.randint(0, 256, (1, 3, 299, 299), generator=torch.Generator().manual_seed(0))
    (expected,) = network(levels.to(torch.uint8))
    found = Inception(network.state_dict()).features((levels.float() - 128) / 128)
    assert expected.std() > 0
    scale = float(expected.max())
    agree("Inception features", "torch-fidelity 0.4", found / scale, expected / scale, 1e-4)


def test_frechet_distance_agrees_with_torch_fidelity():
    statistics = [{"mu": x.mean(axis=0), "sigma": np.cov(x, rowvar=False)} for x in (A, B)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)
    found = FID().distance(A, B)
    agree("fid", "torch-fidelity 0.4", found, expected["frechet_inception_distance"], 1e-6)


def test_kernel_distance_agrees_with_torch_fidelity():
    b = B[:40]
    kernels = [(x @ y.T / 6 + 1) ** 3 for x, y in ((A, A), (A, b), (b, b))]
    agree("kid", "torch-fidelity 0.4", kernel_distance(A, b), mmd2(*kernels), 1e-9)
    halves = RNG.normal(size=(2, 400, 6))
    assert abs(kernel_distance(*halves)) < 0.02


def test_the_other_set_may_be_a_file(tmp_path, monkeypatch):
    statistics = tmp_path / "coco.npz"
    np.savez(statistics, mu=B.mean(axis=0), sigma=np.cov(B, rowvar=False))
    against_sources = FID().signature(), FID().distance(A, B)
    monkeypatch.setenv("ICD_BENCH_FID_STATISTICS", str(statistics))
    assert FID().distance(A, A) == pytest.approx(against_sources[1])
    assert "reference:sources" in against_sources[0]
    assert FID().signature() != against_sources[0]
    np.savez(statistics, mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(UsageError, match="statistics of 4 features, not 6"):
        FID().distance(A, B)
    statistics.write_bytes(b"rubbish")
    with pytest.raises(UsageError, match=r"no \.npz file with mu and sigma"):
        FID().distance(A, B)


def test_kid_takes_features_from_a_file(tmp_path, monkeypatch):
    np.savez(tmp_path / "features.npz", features=B)
    monkeypatch.setenv("ICD_BENCH_KID_FEATURES", str(tmp_path / "features.npz"))
    assert KID().distance(A, A) == pytest.approx(kernel_distance(A, B))


@torch.no_grad()
def test_pictures_are_brought_to_size_as_icd_does(network, tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    (tmp_path / "inception-2015-12-05").mkdir()
    save_file(network.state_dict(), tmp_path / "inception-2015-12-05" / "model.safetensors")
    metric = FID()
    metric.load()
    picture = RNG.integers(0, 256, (40, 30, 3)).astype(np.uint8)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    small = center_crop(resize_pil(Image.fromarray(picture), 256, Image.Resampling.LANCZOS), 256)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255
    pixels = torch.nn.functional.interpolate(pixels, (299, 299), mode="bilinear")
    expected = Inception(network.state_dict()).features(2 * pixels - 1)
    np.testing.assert_allclose(metric.features(images), expected, rtol=1e-4, atol=1e-6)
