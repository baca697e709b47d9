"""Stable Diffusion XL as a family of the backbone, against diffusers' own pipeline."""

from __future__ import annotations

from dataclasses import replace

import diffusers
import pytest
import torch
from golden_cases import assert_close

from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.noise import randn
from icd_bench.models import ModelSpec

PROMPTS = ["a cat on a bench", "a dog", "", "a cat on a bench"]


@pytest.fixture(scope="module")
def official(tiny_sdxl_spec: ModelSpec) -> diffusers.StableDiffusionXLPipeline:
    return diffusers.StableDiffusionXLPipeline.from_pretrained(tiny_sdxl_spec.root)


def test_sizes(tiny_sdxl: Backbone) -> None:
    assert (tiny_sdxl.family, tiny_sdxl.resolution) == ("sdxl", 32)
    assert tiny_sdxl.latent_shape == (4, 16, 16)
    assert tiny_sdxl.attention_sizes.blend == (8, 8)


def test_texts_are_those_of_both_encoders(
    tiny_sdxl: Backbone, official: diffusers.StableDiffusionXLPipeline
) -> None:
    text = tiny_sdxl.encode_prompts(PROMPTS)
    assert text.shape == (4, 77 + 1, 16)
    for row, prompt in zip(text, PROMPTS, strict=True):
        with torch.no_grad():
            states, null_states, pooled, null_pooled = official.encode_prompt(prompt or "any")
        wanted = (states, pooled) if prompt else (null_states, null_pooled)
        assert_close(row[:77], wanted[0][0], 1e-6)
        assert_close(row[77, :12], wanted[1][0], 1e-6)
    assert text[2].abs().max() == 0


def test_networks_are_told_the_pooled_text_and_the_resolution(
    tiny_sdxl_spec: ModelSpec, official: diffusers.StableDiffusionXLPipeline
) -> None:
    """Also at a resolution that is not the U-Net's own, as LCM-SDXL's."""
    backbone = Backbone.load(replace(tiny_sdxl_spec, resolution=64))
    assert backbone.latent_shape == (4, 32, 32)
    latents = randn([0, 1], backbone.latent_shape, "test")
    eps = backbone.network("base")(
        latents, 500, backbone.encode_prompts(PROMPTS[:2]), [Row(0), Row(1)]
    )
    states, _, pooled, _ = official.encode_prompt(PROMPTS[:2])
    sizes = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]] * 2)
    with torch.no_grad():
        expected = official.unet(
            latents, 500, states, added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes}
        ).sample
    assert_close(eps, expected, 1e-5)


def test_posteriors_are_sampled_from_each_pictures_own_seed(tiny_sdxl: Backbone) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pair = tiny_sdxl.encode_images(images, seeds=[7, 8])
    posterior = tiny_sdxl.vae.encode(images * 2 - 1).latent_dist
    noise = randn([7, 8], tiny_sdxl.latent_shape, "posterior")
    assert_close(pair, 0.13025 * (posterior.mean + posterior.std * noise), 1e-6)
    assert_close(pair[1:], tiny_sdxl.encode_images(images[1:], seeds=[8]), 1e-6)
    assert_close(tiny_sdxl.encode_images(images), 0.13025 * posterior.mean, 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_autoencoder_stays_in_full_precision(dtype: str, tiny_sdxl_spec: ModelSpec) -> None:
    half = Backbone.load(tiny_sdxl_spec, dtype=dtype)
    assert half.vae.dtype == torch.float32
    assert half.networks("base").dtype == getattr(torch, dtype)
    whole = Backbone.load(tiny_sdxl_spec)
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    latents = half.encode_images(images)
    assert latents.equal(whole.encode_images(images))
    assert half.decode_latents(latents).equal(whole.decode_latents(latents))
