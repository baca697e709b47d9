"""What the source branch of an edit at guidance 7.5 comes back as, on the embedded world.

Prompt-to-Prompt edits draw on this branch, so a picture that it has lost cannot be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from icd_bench.api import Batch, BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.p2p_edit import p2p_edit
from icd_bench.methods import ddim, direct_inversion, npi, nti
from icd_bench.models import find_model
from icd_bench.paper.material import scenes
from icd_bench.run.reading.prepare import to_tensor

SCENES, STEPS = 2, 12
STRONG = {"steps": STEPS, "guidance_scale": 7.5}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.load(find_model("scenes"))


@pytest.fixture(scope="module")
def batch() -> Batch:
    samples = list(scenes(SCENES))
    prompts = tuple(sample.source_prompt for sample in samples)
    return Batch(
        ids=tuple(sample.id for sample in samples),
        images=to_tensor([sample.read_image() for sample in samples]),
        source_prompts=prompts,
        target_prompts=prompts,
        blend_words=(BlendWords(),) * SCENES,
        seeds=tuple(range(SCENES)),
    )


def reconstructed(module: Any, method: Any, backbone: Backbone, batch: Batch) -> Tensor:
    """Return the latents (B, C, h, w) at which the source rows of an edit end."""
    settings: Sequence[Any] = [method.Setting(**STRONG)]
    inversion = method().invert(backbone, batch, settings[0])
    start = inversion.tensors["trajectory"]
    given: dict[Any, Any] = {ddim: start[:, -1], npi: start[:, -1], nti: inversion}
    with torch.no_grad():
        edit = p2p_edit(backbone, batch, settings, STEPS)
        steps: Iterator[Tensor] = module.guided_steps(edit, given.get(module, start), settings)
        *_, latents = steps
    return latents.unflatten(0, (SCENES, 2))[:, 0]


def psnr(backbone: Backbone, latents: Tensor, images: Tensor) -> Tensor:
    """Return decibels (B,) of what latents decode to."""
    error = (backbone.decode_latents(latents) - images).square().flatten(1).mean(1)
    return -10 * error.log10()


@pytest.fixture(scope="module")
def limit(backbone: Backbone, batch: Batch) -> Tensor:
    """Decibels (B,) of the autoencoder's round trip."""
    return psnr(backbone, backbone.encode_images(batch.images), batch.images)


@pytest.fixture(scope="module")
def plain(backbone: Backbone, batch: Batch) -> Tensor:
    """Decibels (B,) of plain DDIM."""
    return psnr(backbone, reconstructed(ddim, ddim.DDIM, backbone, batch), batch.images)


def test_plain_ddim_loses_the_picture(plain: Tensor, limit: Tensor) -> None:
    assert float((limit - plain).mean()) > 5


def test_direct_inversion_returns_to_the_very_latents(backbone: Backbone, batch: Batch) -> None:
    latents = reconstructed(direct_inversion, direct_inversion.DirectInversion, backbone, batch)
    torch.testing.assert_close(latents, backbone.encode_images(batch.images), rtol=0, atol=1e-6)


def test_null_text_inversion_brings_the_picture_back(
    backbone: Backbone, batch: Batch, plain: Tensor, limit: Tensor
) -> None:
    found = psnr(backbone, reconstructed(nti, nti.NTI, backbone, batch), batch.images)
    assert float((limit - found).max()) < 2.5
    assert float((found - plain).min()) > 3
