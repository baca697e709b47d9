"""The identity anchor: returns the source picture, so that copying is visible in every table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Setting

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone


class IdentitySetting(Setting):
    """Nothing to set."""


class Identity:
    """Preserves everything and edits nothing."""

    info: ClassVar = MethodInfo(
        name="identity",
        version="1",
        title="Source picture",
        paper="none (reference line)",
        anchor=True,
    )
    Setting: ClassVar = IdentitySetting

    def invert(self, backbone: Backbone, batch: Batch, setting: IdentitySetting) -> Inversion:
        """Return nothing: there is nothing to invert."""
        return Inversion({}, (0,) * len(batch))

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[IdentitySetting],
    ) -> Edits:
        """Return the source pictures."""
        samples, count = len(batch), len(settings)
        images = batch.images.unsqueeze(1).expand(-1, count, -1, -1, -1)
        return Edits(images, (0,) * samples, ((0,) * count,) * samples)
