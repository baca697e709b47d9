"""The autoencoder anchor: the source picture, encoded and decoded; no latent method is closer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Setting

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone


class VAERoundtripSetting(Setting):
    """Nothing to set."""


class VAERoundtrip:
    """What the model's autoencoder loses."""

    info: ClassVar = MethodInfo(
        name="vae-roundtrip",
        version="1",
        title="Source picture through the autoencoder",
        paper="none (reference line)",
        anchor=True,
    )
    Setting: ClassVar = VAERoundtripSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: VAERoundtripSetting) -> Inversion:
        """Encode the pictures: latents (B, C, h, w)."""
        return Inversion({"latents": backbone.encode_images(batch.images)}, (0,) * len(batch))

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[VAERoundtripSetting],
    ) -> Edits:
        """Decode the latents."""
        samples, count = len(batch), len(settings)
        decoded = backbone.decode_latents(inversion.tensors["latents"].to(backbone.device))
        images = decoded.unsqueeze(1).expand(-1, count, -1, -1, -1)
        return Edits(images, (0,) * samples, ((0,) * count,) * samples)
