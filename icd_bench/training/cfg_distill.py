"""Stage 4: guidance distillation (Meng et al. 2023, arXiv 2210.03142) into a w-embedded U-Net."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from icd_bench.diffusion.guidance import guidance_embedding

from .latents import Latents, stratified
from .loop import Update, shards
from .losses import Levels
from .networks import GUIDANCE_DIM, mixed_precision
from .pictures import write_sheet

SCALES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0)
"""Guidance scales of the teacher, in the public convention (1 = unguided)."""


def draw_scales(count: int, generator: torch.Generator) -> Tensor:
    """Guidance scales (count,), uniform over ``SCALES``."""
    return torch.tensor(SCALES)[torch.randint(len(SCALES), (count,), generator=generator)]


@dataclass
class CfgDistillTask:
    """The student predicts in one row what the teacher needs two for.

    The squared error of a row is divided by its scale squared: the teacher's own error grows with
    the scale, and without it scale 20 would be all that is learnt.
    """

    student: UNet2DConditionModel
    teacher: UNet2DConditionModel
    encode: Callable[[Tensor], Tensor]
    """Token ids (R, 32) -> text states (R, 32, D)."""
    latents: Latents
    levels: Levels
    batch_size: int
    seed: int
    sample: Callable[[UNet2DConditionModel], tuple[Tensor, list[str]]]
    judge: Callable[[Tensor, list[str]], dict[str, float]]
    threads: int = 2

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The student."""
        return {"unet": self.student}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One batch."""
        rows = self.latents.epoch_rows(step, self.batch_size, self.seed)
        x0, ids = self.latents.x0[rows].float(), self.latents.ids[rows]
        t = stratified(len(rows), len(self.levels.alphas_cumprod), generator)
        scale = draw_scales(len(rows), generator)
        eps = torch.randn(x0.shape, generator=generator)
        x_t = self.levels.noised(x0, eps, t).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), mixed_precision():
            text = self.encode(torch.cat([ids, self.latents.empty[None]]))

        def part(rows: slice) -> Tensor:
            count = rows.stop - rows.start
            prompts, null = text[:-1][rows], text[-1:].expand(count, -1, -1)
            x, at, s = x_t[rows], t[rows], scale[rows, None, None, None]
            with mixed_precision():
                with torch.no_grad():
                    both = self.teacher(
                        x.repeat(2, 1, 1, 1), at.repeat(2), torch.cat([prompts, null])
                    ).sample.float()
                conditional, unconditional = both.chunk(2)
                target = unconditional + s * (conditional - unconditional)
                prediction = self.student(
                    x, at, prompts, timestep_cond=guidance_embedding(scale[rows], GUIDANCE_DIM)
                ).sample.float()
            loss: Tensor = ((prediction - target) / s).square().mean() * (count / len(t))
            return loss

        parts = [partial(part, rows) for rows in shards(len(t), self.threads)]
        yield Update("loss", parts, ("unet",))

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Pictures at guidance 4 from one row a step."""
        pictures, captions = self.sample(self.student)
        write_sheet(folder / f"samples-{step:06d}.png", [pictures[:12], pictures[12:24]])
        return self.judge(pictures, captions)
