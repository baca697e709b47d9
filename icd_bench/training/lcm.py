"""A latent consistency LoRA on the plain U-Net (Luo et al. 2023, arXiv 2311.05556).

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

from .adapters import Adapters
from .batch import Batch, ExamplesOf
from .loop import Update, shards
from .losses import GRID, Boundaries, Levels, reverse_loss
from .prediction import ON_CPU, Predict

NAME = "lcm"
SCALE = 3.0
"""Guidance scale of the teacher."""


@dataclass
class LcmTask:
    """One adapter; the teacher is the guidance-distilled U-Net."""

    replicas: Sequence[Adapters]
    """One for each thread, all of the same weights."""
    teacher: UNet2DConditionModel
    examples: ExamplesOf
    levels: Levels
    sample: Callable[[Path, int], dict[str, float]]
    predict: Predict = ON_CPU

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The adapter."""
        return {NAME: self.replicas[0].module(NAME)}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One batch."""
        batch = Batch(self.examples(step), generator)
        index, noise = batch.draw(GRID), batch.noise()
        scale = torch.full((batch.total,), SCALE)

        def part(rows: slice, adapters: Adapters) -> Tensor:
            text = batch.text[rows]

            def student(x: Tensor, t: Tensor, _: Tensor) -> Tensor:
                with adapters.active(NAME) as unet:
                    return self.predict(unet, x, t, text)

            def teacher(x: Tensor, t: Tensor, scale: Tensor) -> Tensor:
                return self.predict(self.teacher, x, t, text, scale)

            loss = reverse_loss(
                index[rows], batch.x0[rows], noise[rows], scale[rows], student, teacher,
                self.levels, Boundaries(()),
            )  # fmt: skip
            return loss.per_sample.sum() / batch.total

        pairs = zip(shards(batch.total, len(self.replicas)), self.replicas, strict=True)
        parts = [partial(part, rows, adapters) for rows, adapters in pairs]
        yield Update("loss", parts, (NAME,))

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Pictures in four steps."""
        return self.sample(folder, step)
