"""Stage 1: the autoencoder, pixels (B, 3, 64, 64) <-> latents (B, 4, 16, 16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from icd_bench.training.loop import Update, shards
from icd_bench.training.networks import mixed_precision
from icd_bench.training.pictures import psnr, write_sheet

from .data import Pictures, draw_rows

KL_WEIGHT = 1e-4
EDGE_WEIGHT = 0.05


def build_autoencoder() -> AutoencoderKL:
    """A narrow Stable-Diffusion autoencoder: factor 4, 4 latent channels, 0.65 M parameters."""
    blocks = 3
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        vae.quant_conv.bias[4:] -= 4  # start with a quiet posterior: noise first slows everything
    return vae


@dataclass
class AutoencoderTask:
    """Squared error, a little absolute error for crisp edges, and a weak prior on the latents.

    The prior is just strong enough that small errors of latents stay small in the picture.
    """

    vae: AutoencoderKL
    train: Pictures
    dev: Pictures
    batch_size: int
    threads: int = 2

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The autoencoder."""
        return {"vae": self.vae}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One batch."""
        x = self.train.batch(draw_rows(len(self.train), self.batch_size, generator)) * 2 - 1
        x = x.contiguous(memory_format=torch.channels_last)
        size = (len(x), self.vae.config.latent_channels, *(side // 4 for side in x.shape[2:]))
        noise = torch.randn(size, generator=generator)

        def part(rows: slice) -> Tensor:
            with mixed_precision():
                posterior = self.vae.encode(x[rows]).latent_dist
                y = self.vae.decode(posterior.mean + posterior.std * noise[rows]).sample.float()
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
            error = y - x[rows]
            loss: Tensor = error.square().mean() + EDGE_WEIGHT * error.abs().mean() + KL_WEIGHT * kl
            return loss * (len(y) / len(x))

        parts = [partial(part, rows) for rows in shards(len(x), self.threads)]
        yield Update("loss", parts, ("vae",))

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """PSNR of reconstructions of dev pictures."""
        x = self.dev.batch(torch.arange(min(128, len(self.dev))))
        latents = encode(self.vae, x, scale=1.0)
        y = decode(self.vae, latents, scale=1.0)
        write_sheet(folder / f"reconstructions-{step:06d}.png", [x[:12], y[:12]])
        return {"psnr": float(psnr(x, y).mean()), "latent_std": float(latents.std())}


@torch.no_grad()
def encode(vae: AutoencoderKL, images: Tensor, scale: float, batch: int = 64) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] -> scaled posterior means (N, 4, H/4, W/4)."""
    means = [vae.encode(part * 2 - 1).latent_dist.mean * scale for part in images.split(batch)]
    return torch.cat(means)


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor, scale: float, batch: int = 64) -> Tensor:
    """Scaled latents (N, 4, h, w) -> pictures (N, 3, 4h, 4w) in [0, 1]."""
    parts = [vae.decode(part / scale).sample for part in latents.split(batch)]
    return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)
