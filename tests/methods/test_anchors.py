"""The reference lines: what copying, saving and encoding cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from icd_bench.api import Batch, BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.methods.jpeg import JPEG, JPEGSetting
from icd_bench.methods.vae_roundtrip import VAERoundtrip, VAERoundtripSetting
from icd_bench.pictures import read_picture, through_jpeg
from icd_bench.run.reading.prepare import fit_picture, to_tensor

PHOTOS = [Path(__file__).parents[1] / "data/photos" / name for name in ("cat.jpg", "horse.jpg")]


@pytest.fixture(scope="module")
def levels() -> list[np.ndarray]:
    return [fit_picture(read_picture(photo), 128) for photo in PHOTOS]


@pytest.fixture
def batch(levels: list[np.ndarray]) -> Batch:
    return Batch(
        ids=("a", "b"),
        images=to_tensor(levels),
        source_prompts=("", ""),
        target_prompts=("", ""),
        blend_words=(BlendWords(),) * 2,
        seeds=(1, 2),
    )


def test_jpeg_gives_what_the_file_shows(
    small: Backbone, batch: Batch, levels: list[np.ndarray]
) -> None:
    method, settings = JPEG(), [JPEGSetting(), JPEGSetting(quality=30)]
    edits = method.edit(small, batch, method.invert(small, batch, settings[0]), settings)
    assert edits.images.shape == (2, 2, 3, 128, 128)
    for row, picture in enumerate(levels):
        for column, quality in enumerate((75, 30)):
            expected = to_tensor([through_jpeg(picture, quality)])[0]
            assert torch.equal(edits.images[row, column], expected)
    errors = (edits.images - batch.images[:, None]).square().mean(dim=(2, 3, 4))
    assert (errors[:, 0] < errors[:, 1]).all()
    assert (errors[:, 0] > 0).all()
    assert edits.nfe == ((0, 0), (0, 0))


def test_vae_roundtrip_decodes_the_encoded_picture(small: Backbone, batch: Batch) -> None:
    method, setting = VAERoundtrip(), VAERoundtripSetting()
    inversion = method.invert(small, batch, setting)
    edits = method.edit(small, batch, inversion, [setting, setting])
    expected = small.decode_latents(small.encode_images(batch.images))
    assert torch.equal(edits.images[:, 0], expected)
    assert torch.equal(edits.images[:, 1], expected)
    assert inversion.nfe == (0, 0)
    assert edits.nfe_shared == (0, 0)
