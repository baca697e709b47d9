"""Text encoder and U-Net together, by noise prediction with prompt dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from .batch import stratified
from .latents import Latents
from .loop import Update, shards
from .losses import Levels
from .networks import mixed_precision
from .pictures import write_sheet

PROMPT_DROPOUT = 0.1
SNR_LIMIT = 5.0

Judge = Callable[[Tensor, Sequence[str]], dict[str, float]]
"""(N, 3, H, W) pictures and their captions -> figures."""


def denoising_losses(prediction: Tensor, eps: Tensor, t: Tensor, levels: Levels) -> Tensor:
    """Squared errors (R,) weighted by min(SNR, 5) / SNR (Hang et al. 2023, arXiv 2303.09556)."""
    abar = levels.alphas_cumprod[t]
    snr = abar / (1 - abar)
    weight = snr.clamp(max=SNR_LIMIT) / snr
    return weight * (prediction - eps).square().flatten(1).mean(1)


@dataclass
class DenoiserTask:
    """Prediction of the noise in latents of captioned pictures."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    latents: Latents
    levels: Levels
    batch_size: int
    seed: int
    sample: Callable[[UNet2DConditionModel, CLIPTextModel], tuple[Tensor, list[str]]]
    """Draws validation pictures (N, 3, H, W) for captions."""
    judge: Judge
    threads: int = 2

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """U-Net and text encoder."""
        return {"unet": self.unet, "text_encoder": self.text_encoder}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One batch."""
        rows = self.latents.epoch_rows(step, self.batch_size, self.seed)
        x0, ids = self.latents.x0[rows].float(), self.latents.ids[rows]
        dropped = torch.rand(len(rows), generator=generator) < PROMPT_DROPOUT
        ids = torch.where(dropped[:, None], self.latents.empty, ids)
        t = stratified(len(rows), len(self.levels.alphas_cumprod), generator)
        eps = torch.randn(x0.shape, generator=generator)
        x_t = self.levels.noised(x0, eps, t).contiguous(memory_format=torch.channels_last)

        def part(rows: slice) -> Tensor:
            with mixed_precision():
                text = self.text_encoder(ids[rows]).last_hidden_state
                prediction = self.unet(x_t[rows], t[rows], text).sample
            losses = denoising_losses(prediction.float(), eps[rows], t[rows], self.levels)
            return losses.sum() / len(t)

        parts = [partial(part, rows) for rows in shards(len(t), self.threads)]
        yield Update("loss", parts, ("unet", "text_encoder"))

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Pictures at guidance 4, and how many pass the world's CLIP."""
        pictures, captions = self.sample(self.unet, self.text_encoder)
        write_sheet(folder / f"samples-{step:06d}.png", [pictures[:12], pictures[12:24]])
        return self.judge(pictures, captions)
