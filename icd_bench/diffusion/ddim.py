"""DDIM inversion (Song et al. 2020, arXiv 2010.02502), on which many editing methods build."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from icd_bench.api import Batch, Inversion

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone


def ddim_inversion(
    backbone: Backbone, latents: Tensor, text: Tensor, steps: int
) -> Iterator[Tensor]:
    """Yield the N latents (B, C, h, w) of ever more noise, the last of which is x_T.

    Unguided. Each step goes to a noisier t with the prediction at t on the less noisy latents: the
    approximation that DDIM inversion makes.

    Args:
        backbone: predicts with its network ``base``.
        latents: clean latents x0 (B, C, h, w).
        text: (B, L, D) of the source prompts.
        steps: N.
    """
    from icd_bench.diffusion.attention import Row

    network, schedule = backbone.network("base"), backbone.schedule
    rows = [Row(sample) for sample in range(len(latents))]
    for t, s in reversed(schedule.ddim_jumps(steps)):
        latents = schedule.jump(latents, network(latents, t, text, rows), s, t)
        yield latents


DDIM_INVERSION = "ddim"
"""Of the methods whose inversion is :func:`trace_by_ddim` and nothing else."""


def trace_by_ddim(backbone: Backbone, batch: Batch, steps: int) -> Inversion:
    """Return the whole way of DDIM inversion with the source prompts, from x_0 to x_T.

    Tensor ``trajectory``, (B, N + 1, C, h, w): entry k is the k-th least noisy.
    """
    import torch

    latents = backbone.encode_images(batch.images)
    text = backbone.encode_prompts(batch.source_prompts)
    with backbone.counting("inversion", len(batch)) as count:
        trajectory = [latents, *ddim_inversion(backbone, latents, text, steps)]
    warnings = tuple(map(backbone.prompt_warnings, batch.source_prompts))
    return Inversion({"trajectory": torch.stack(trajectory, 1)}, tuple(count.shared), warnings)
