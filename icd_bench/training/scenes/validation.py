"""What a stage draws and measures while it trains, on dev pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from icd_bench.diffusion.timestep_sets import START
from icd_bench.training.adapters import Adapters
from icd_bench.training.icd import (
    FORWARD,
    REVERSE,
    chain,
    generation_steps,
    inversion_steps,
    predictor,
)
from icd_bench.training.lcm import NAME as LCM
from icd_bench.training.losses import Boundaries
from icd_bench.training.networks import mixed_precision
from icd_bench.training.pictures import psnr, write_sheet
from icd_bench.training.prediction import ON_CPU
from icd_bench.training.sampling import ddim_timesteps, denoise

from . import autoencoder, clip
from .bars import BARRED
from .recipe import Recipe


@torch.no_grad()
def sample(
    recipe: Recipe, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, count: int = 64,
    scale: float = 4.0, steps: int = 20,
) -> tuple[Tensor, list[str]]:  # fmt: skip
    """Pictures of dev captions under classifier-free guidance."""
    captions = list(recipe.dev_pictures.captions[:count])
    ids = clip.tokenize(recipe.tokenizer, ["", *captions])
    with mixed_precision():
        text = text_encoder(ids).last_hidden_state
    rows = torch.cat([text[:1].expand(count, -1, -1), text[1:]])

    def predict(x: Tensor, t: Tensor) -> Tensor:
        with mixed_precision():
            both: Tensor = unet(x.repeat(2, 1, 1, 1), t.repeat(2), rows).sample
        null, conditional = both.float().chunk(2)
        return null + scale * (conditional - null)

    x = torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    x = denoise(x, predict, ddim_timesteps(steps), recipe.levels.alphas_cumprod)
    return autoencoder.decode(recipe.vae, x, recipe.vae.config.scaling_factor), captions


@torch.no_grad()
def compare_distilled(
    recipe: Recipe, unet: UNet2DConditionModel, folder: Path, step: int
) -> dict[str, float]:
    """Pictures of dev captions at guidance 4, one row a step."""
    count = 64
    text, scale = recipe.dev_text(count), torch.full((count,), 4.0)
    predict = partial(ON_CPU, unet, text=text, scale=scale)
    x = torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    x = denoise(x, predict, ddim_timesteps(20), recipe.levels.alphas_cumprod)
    pictures = recipe.decode(x)
    write_sheet(folder / f"samples-{step:06d}.png", [pictures[:12], pictures[12:24]])
    return recipe.judge(pictures, recipe.dev_pictures.captions[:count])


@torch.no_grad()
def reconstruct(
    recipe: Recipe, adapters: Adapters, boundaries: Boundaries, folder: Path, step: int
) -> dict[str, float]:
    """Unguided inversion and reconstruction of 64 dev pictures, and guided generation."""
    count = 64
    x = recipe.dev_pictures.batch(torch.arange(count))
    x0 = autoencoder.encode(recipe.vae, x, recipe.vae.config.scaling_factor)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    text, unguided = recipe.dev_text(count), torch.ones(count)
    cd, fcd = (predictor(adapters, name, text, ON_CPU) for name in (REVERSE, FORWARD))
    start = recipe.levels.noised(x0, noise, torch.full((count,), START))
    noisy = chain(start, inversion_steps(boundaries), fcd, unguided, recipe.levels)
    back = chain(noisy, generation_steps(boundaries), cd, unguided, recipe.levels)
    fresh = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
    made = chain(fresh, generation_steps(boundaries), cd, 4 * unguided, recipe.levels)
    y, z = recipe.decode(back), recipe.decode(made)
    write_sheet(folder / f"reconstructions-{step:06d}.png", [x[:12], y[:12], z[:12]])
    figures = {"psnr": float(psnr(x, y).mean()), "noise_std": float(noisy.std())}
    judged = recipe.judge(z, recipe.dev_pictures.captions)
    return figures | {f"generated_{name}": judged[name] for name in BARRED}


@torch.no_grad()
def sample_lcm(recipe: Recipe, adapters: Adapters, folder: Path, step: int) -> dict[str, float]:
    """Pictures of dev captions in four consistency steps."""
    count, timesteps = 64, (259, 519, 779, 999)
    text = recipe.dev_text(count)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 4, 16, 16, generator=generator)
    for t in reversed(timesteps):
        at = torch.full((count,), t)
        with adapters.active(LCM) as unet, mixed_precision():
            eps = unet(x, at, text).sample.float()
        x0 = recipe.levels.jump(x, eps, at, torch.zeros_like(at))
        noise = torch.randn(x.shape, generator=generator)
        x = x0 if t == timesteps[0] else recipe.levels.noised(x0, noise, at - 260)
    pictures = recipe.decode(x)
    write_sheet(folder / f"samples-{step:06d}.png", [pictures[:12], pictures[12:24]])
    return recipe.judge(pictures, recipe.dev_pictures.captions)
