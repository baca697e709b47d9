"""The JPEG anchor: the source picture, saved and read again, as papers' pictures often are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Setting, edit_field

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone


class JPEGSetting(Setting):
    """How the picture is saved."""

    quality: int = edit_field(75, "JPEG quality; chroma is subsampled 4:2:0", ge=1, le=100)


class JPEG:
    """What saving a picture costs: no method is better than the way its pictures are kept."""

    info: ClassVar = MethodInfo(
        name="jpeg",
        version="1",
        title="Source picture saved as JPEG",
        paper="none (reference line)",
        anchor=True,
    )
    Setting: ClassVar = JPEGSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: JPEGSetting) -> Inversion:
        """Return nothing: there is nothing to invert."""
        return Inversion({}, (0,) * len(batch))

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[JPEGSetting],
    ) -> Edits:
        """Return the source pictures as the JPEG files show them."""
        from icd_bench.pictures import through_jpeg
        from icd_bench.run.reading.prepare import to_levels, to_tensor

        samples, count = len(batch), len(settings)
        levels = to_levels(batch.images)
        saved = [through_jpeg(picture, s.quality) for picture in levels for s in settings]
        images = to_tensor(saved, str(batch.images.device))
        images = images.unflatten(0, (samples, count))
        return Edits(images, (0,) * samples, ((0,) * count,) * samples)
