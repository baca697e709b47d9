"""Which latents a picture has: the autoencoder gives a distribution of them.

Methods differ in whether they take its mean or draw from it. Importing this module loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from icd_bench.api import Batch, inversion_field

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone

Posterior = Literal["mean", "sample"]


def posterior_field() -> Any:
    """Declare the setting's field that decides it."""
    return inversion_field(
        "mean", "latents of the picture: the mean of the autoencoder's posterior, or a sample of it"
    )


def encode(backbone: Backbone, batch: Batch, posterior: Posterior) -> Tensor:
    """Return latents (B, C, h, w) of the batch's pictures; samples are drawn from their seeds."""
    return backbone.encode_images(batch.images, batch.seeds if posterior == "sample" else None)
