"""How training asks a U-Net for its prediction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from diffusers import UNet2DConditionModel
from torch import Tensor

from icd_bench.diffusion.guidance import guidance_embedding
from icd_bench.diffusion.text_conditions import unpack_text

from .networks import channels_last, mixed_precision


@dataclass(frozen=True)
class Predict:
    """Noise prediction of any U-Net of a family.

    Args:
        precision: context in which networks run.
        resolution: side of the pictures in pixels, which some U-Nets are told.
    """

    precision: Callable[[], AbstractContextManager[object]] = mixed_precision
    resolution: int = 0

    def __call__(
        self, unet: UNet2DConditionModel, x: Tensor, t: Tensor, text: Tensor,
        scale: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return eps (R, C, h, w), float32.

        Args:
            unet: asked with the switches that it has now.
            x: (R, C, h, w) at timesteps t (R,).
            t: (R,).
            text: (R, L, D).
            scale: (R,) guidance scales for the U-Net's embedding, 1 is unguided; None gives none.
        """
        words, added = unpack_text(unet.config, text, self.resolution)
        guidance = (
            None if scale is None else guidance_embedding(scale, unet.config.time_cond_proj_dim)
        )
        with self.precision():
            eps: Tensor = unet(
                channels_last(x), t, words, timestep_cond=guidance, added_cond_kwargs=added
            ).sample
        return eps.float()


ON_CPU: Final = Predict()
"""As the embedded model is trained."""
