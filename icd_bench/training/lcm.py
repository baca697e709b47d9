"""Stage 6: a latent consistency LoRA on the plain U-Net (Luo et al. 2023, arXiv 2311.05556).

The loss is multi-boundary consistency distillation with a single boundary, 0: from any timestep
the student lands on the clean latent. Guidance is baked in; there are no c_skip and c_out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from icd_bench.diffusion.guidance import guidance_embedding

from .adapters import Adapters
from .latents import Latents, stratified
from .loop import Update, shards
from .losses import GRID, Boundaries, Levels, reverse_loss
from .networks import GUIDANCE_DIM, channels_last, mixed_precision

NAME = "lcm"
SCALE = 3.0
"""Guidance scale of the teacher."""


@dataclass
class LcmTask:
    """One adapter; the teacher is the guidance-distilled U-Net."""

    replicas: Sequence[Adapters]
    """One for each thread, all of the same weights."""
    teacher: UNet2DConditionModel
    encode: Callable[[Tensor], Tensor]
    latents: Latents
    levels: Levels
    batch_size: int
    seed: int
    sample: Callable[[Path, int], dict[str, float]]

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The adapter."""
        return {NAME: self.replicas[0].module(NAME)}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One batch."""
        rows = self.latents.epoch_rows(step, self.batch_size, self.seed)
        x0 = self.latents.x0[rows].float()
        with torch.no_grad(), mixed_precision():
            text = self.encode(self.latents.ids[rows])
        index = stratified(len(rows), GRID, generator)
        noise = torch.randn(x0.shape, generator=generator)

        def part(rows: slice, adapters: Adapters) -> Tensor:
            count = rows.stop - rows.start
            guidance = guidance_embedding(torch.full((count,), SCALE), GUIDANCE_DIM)

            def student(x: Tensor, t: Tensor, _: Tensor) -> Tensor:
                with adapters.active(NAME) as unet, mixed_precision():
                    eps: Tensor = unet(channels_last(x), t, text[rows]).sample
                return eps.float()

            def teacher(x: Tensor, t: Tensor, _: Tensor) -> Tensor:
                with mixed_precision():
                    eps: Tensor = self.teacher(
                        channels_last(x), t, text[rows], timestep_cond=guidance
                    ).sample
                return eps.float()

            loss = reverse_loss(
                index[rows], x0[rows], noise[rows], torch.full((count,), SCALE), student, teacher,
                self.levels, Boundaries(()),
            )  # fmt: skip
            return loss.per_sample.sum() / len(x0)

        parts = [
            partial(part, rows, adapters)
            for rows, adapters in zip(
                shards(len(rows), len(self.replicas)), self.replicas, strict=True
            )
        ]
        yield Update("loss", parts, (NAME,))

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Pictures in four steps."""
        return self.sample(folder, step)
