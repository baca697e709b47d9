"""FID, KID and FD-DINOv2: networks and distances against their libraries, on random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from agreement_table import agree
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import mmd2
from torchvision.transforms.functional import center_crop
from torchvision.transforms.functional import resize as resize_pil

from icd_bench.cli.app import main
from icd_bench.errors import UsageError
from icd_bench.metrics.inception import Inception
from icd_bench.metrics.reference_sets import read_arrays
from icd_bench.metrics.set_distances import FID, KID
from icd_bench.metrics.weights import HOME_VARIABLE, Network
from icd_bench.stats.kernel import kernel_distance

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


@pytest.fixture
def tiny_fid(monkeypatch):
    """FID on the mean colours of quarters: no weights, and quick."""

    class Colours(Network):
        def require(self):
            return None

        def fingerprint(self):
            return "0badcafe"

    def quarters(self, images):
        self.side = images.shape[-1]
        halves = torch.nn.functional.interpolate(images, (2, 2), mode="area")
        return halves.flatten(1).double().numpy()

    monkeypatch.setattr(FID, "network", Colours("colours", (), "nothing"))
    monkeypatch.setattr(FID, "load_network", lambda self, folder: None)
    monkeypatch.setattr(FID, "features", quarters)


def album(place: Path, count: int, side: int = 32) -> Path:
    place.mkdir()
    for number in range(count):
        levels = RNG.integers(0, 256, (side, side, 3)).astype(np.uint8)
        Image.fromarray(levels).save(place / f"{number:02}.png")
    Image.open(place / "00.png").save(place / "again.png")
    (place / "broken.jpg").write_bytes(b"rubbish")
    return place


def test_statistics_of_a_folder_are_made_and_used(tiny_fid, tmp_path, monkeypatch, capsys):
    photos, file = album(tmp_path / "photos", 20), tmp_path / "photos.safetensors"
    command = ["data", "statistics", str(photos), "--metric", "fid", "--out", str(file)]
    assert main([*command, "--resolution", "16", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert "20 pictures, colours 0badcafe" in told.out
    assert f"export ICD_BENCH_FID_STATISTICS={file}" in told.out
    assert "left out: " in told.err

    sources = FID()
    edited = sources.features(torch.rand(30, 3, 16, 16))
    assert sources.made(1).resolution == 16
    monkeypatch.setenv("ICD_BENCH_FID_STATISTICS", str(file))
    found = sources.distance(edited, edited)
    low, high = sources.interval(edited, edited)
    assert 0 < low < found < high
    assert "reference:sources" not in sources.signature()

    sources.features(torch.rand(1, 3, 8, 8))
    with pytest.raises(UsageError, match="made with resolution 16, the edits' features with 8"):
        sources.distance(edited, edited)
    monkeypatch.setattr(FID, "rules", lambda self: {"size": "another"})
    with pytest.raises(UsageError, match=r"made with size .* with another; make it anew"):
        sources.distance(edited, edited)


def test_statistics_of_a_benchmark(tiny_fid, tmp_path, capsys):
    file = tmp_path / "scenes.safetensors"
    command = ["data", "statistics", "scenes:dev", "--out", str(file), "--device", "cpu"]
    assert main([*command, "--limit", "6"]) == 0
    assert "6 pictures" in capsys.readouterr().out
    with safe_open(file, "np") as content:
        made = json.loads(content.metadata()["icd_bench_reference"])
    assert (made["source"], made["resolution"], made["pictures"]) == ("scenes:dev", None, 6)


def test_statistics_need_a_set_distance_and_pictures(tiny_fid, tmp_path, capsys):
    out = str(tmp_path / "x.safetensors")
    assert main(["data", "statistics", "scenes", "--metric", "psnr", "--out", out]) == 2
    assert "psnr: compares no sets of pictures; fd_dino_v2, fid, kid do" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["data", "statistics", str(tmp_path / "empty"), "--out", out]) == 2
    assert "0 pictures; at least 2 are needed" in capsys.readouterr().err
    assert main(["data", "statistics", "scenes", "--out", "x.npz"]) == 2
    assert "its name must end in .safetensors" in capsys.readouterr().err
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"rubbish")
    with pytest.raises(UsageError, match="make them with: icd-bench data statistics"):
        read_arrays(broken, ("mu", "sigma"))


def test_large_sets_have_no_interval():
    many = RNG.normal(size=(2001, 3))
    assert np.isnan(FID().interval(many, many)).all()
    low, high = KID().interval(A, B)
    assert low < KID().distance(A, B) < high
