"""Guidance distillation (Meng et al. 2023, arXiv 2210.03142) into a w-embedded U-Net."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from icd_bench.diffusion.guidance import classifier_free_guidance

from .batch import WHOLE, Batch, Draw, ExamplesOf, Share, stratified
from .loop import Update, pieces, shards
from .losses import Levels
from .prediction import ON_CPU, Predict

SCALES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0)
"""Guidance scales of the embedded model's teacher, in the public convention (1 = unguided)."""


@dataclass
class CfgDistillTask:
    """The student predicts in one row what the teacher needs two for."""

    student: UNet2DConditionModel
    teacher: UNet2DConditionModel
    examples: ExamplesOf
    null_text: Callable[[], Tensor]
    """Text (1, L, D) of the empty prompt."""
    levels: Levels
    compare: Callable[[UNet2DConditionModel, Path, int], dict[str, float]]
    """Validates the student: writes pictures into a folder after a number of steps."""
    predict: Predict = ON_CPU
    scales: Sequence[float] = SCALES
    relative: bool = True
    """Divide the error of a row by its scale: the teacher's own error grows with the scale, and
    a short training would learn scale 20 and nothing else. The paper's is not divided."""
    share: Share = WHOLE
    draw: Draw = stratified
    rows_at_once: int | None = None
    """Rows of a micro-batch; None for as many as there are."""
    threads: int = 1

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The student."""
        return {"unet": self.student}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One batch."""
        batch = Batch(self.examples(step), generator, self.share, self.draw)
        t = batch.draw(len(self.levels.alphas_cumprod))
        scale, noise = batch.scales(self.scales), batch.noise()
        null = self.null_text()

        def micro_batch(rows: slice) -> Tensor:
            x_t = self.levels.noised(batch.x0[rows], noise[rows], t[rows])
            given = x_t, t[rows], batch.text[rows], scale[rows]
            with torch.no_grad():
                target = guided(self.predict, self.teacher, *given, null)
            error = self.predict(self.student, *given) - target
            if self.relative:
                error = error / scale[rows, None, None, None]
            return error.square().flatten(1).mean(1).sum() / batch.total

        parts = [
            tuple(partial(micro_batch, piece) for piece in pieces(rows, self.rows_at_once))
            for rows in shards(len(t), self.threads)
        ]
        yield Update("loss", parts, ("unet",))

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Pictures of the student's."""
        return self.compare(self.student, folder, step)


def guided(
    predict: Predict, teacher: UNet2DConditionModel, x: Tensor, t: Tensor, text: Tensor,
    scale: Tensor, null: Tensor,
) -> Tensor:  # fmt: skip
    """Return the teacher's prediction (R, C, h, w) with classifier-free guidance.

    Args:
        scale: (R,), 1 is unguided.
        null: text (1, L, D) of the empty prompt.
    """
    texts = torch.cat([text, null.expand(len(x), -1, -1)])
    both = predict(teacher, x.repeat(2, 1, 1, 1), t.repeat(2), texts)
    conditional, unconditional = both.chunk(2)
    return classifier_free_guidance(unconditional, conditional, scale)
