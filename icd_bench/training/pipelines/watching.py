"""Pictures and figures of a run while it trains, always of the same pictures and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.timestep_sets import START
from icd_bench.training.adapters import Adapters
from icd_bench.training.batch import Examples
from icd_bench.training.cfg_distill import guided
from icd_bench.training.icd import (
    FORWARD,
    REVERSE,
    chain,
    generation_steps,
    inversion_steps,
    predictor,
)
from icd_bench.training.losses import Boundaries, Levels
from icd_bench.training.pictures import psnr, write_sheet
from icd_bench.training.prediction import Predict
from icd_bench.training.sampling import ddim_timesteps, denoise

GUIDANCE = 8.0
"""Scale of guided pictures."""
DDIM_STEPS = 25


@dataclass(frozen=True)
class Watched:
    """Pictures (N, 3, H, W) in [0, 1] that are watched, encoded."""

    pictures: Tensor
    examples: Examples

    def noise(self, seed: int) -> Tensor:
        """Return noise like the latents, the same in every run."""
        x0 = self.examples.x0
        return torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed)).to(x0)

    def scale(self, value: float) -> Tensor:
        """Return a guidance scale for every picture."""
        return torch.full((len(self.pictures),), value, device=self.examples.x0.device)


@torch.no_grad()
def reconstruct(
    adapters: Adapters, boundaries: Boundaries, watched: Watched, backbone: Backbone,
    levels: Levels, predict: Predict, file: Path,
) -> dict[str, float]:  # fmt: skip
    """Invert, and decode again unguided and guided; draw pictures of the captions.

    The sheet's rows are the pictures, what the autoencoder makes of them, both reconstructions,
    and pictures from fresh noise.
    """
    x0, text = watched.examples.x0, watched.examples.text
    cd, fcd = (predictor(adapters, name, text, predict) for name in (REVERSE, FORWARD))
    unguided, scale = watched.scale(1.0), watched.scale(GUIDANCE)
    start = levels.noised(x0, watched.noise(1)[:1], torch.full_like(unguided, START).long())
    noisy = chain(start, inversion_steps(boundaries), fcd, unguided, levels)
    steps = generation_steps(boundaries)
    latents = {
        "autoencoder": x0,
        "unguided": chain(noisy, steps, cd, unguided, levels),
        "guided": chain(noisy, steps, cd, scale, levels),
        "generated": chain(watched.noise(2), steps, cd, scale, levels),
    }
    rows = {name: backbone.decode_latents(x).cpu() for name, x in latents.items()}
    write_sheet(file, [watched.pictures, *rows.values()], scale=1)
    figures = {
        f"psnr_{name}": float(psnr(watched.pictures, rows[name]).mean())
        for name in ("autoencoder", "unguided", "guided")
    }
    return figures | {"noise_std": float(noisy.std())}


@torch.no_grad()
def agree(
    student: UNet2DConditionModel, teacher: UNet2DConditionModel, null: Tensor, watched: Watched,
    backbone: Backbone, levels: Levels, predict: Predict, file: Path,
) -> dict[str, float]:  # fmt: skip
    """Draw the captions with the student and with the guided teacher, from the same noise.

    The sheet's rows are the student's pictures and the teacher's.
    """
    text, scale = watched.examples.text, watched.scale(GUIDANCE)
    one: Callable[[Tensor, Tensor], Tensor] = partial(predict, student, text=text, scale=scale)
    two = partial(guided, predict, teacher, text=text, scale=scale, null=null)
    drawn = [
        denoise(watched.noise(2), network, ddim_timesteps(DDIM_STEPS), levels.alphas_cumprod)
        for network in (one, two)
    ]
    pictures = [backbone.decode_latents(x).cpu() for x in drawn]
    write_sheet(file, pictures, scale=1)
    return {"psnr_to_teacher": float(psnr(*pictures).mean())}
