"""Protocols: how pictures are prepared, kept and scored, so that numbers mean what papers mean.

A run stores its protocol, and every score that a protocol other than ``native`` changes carries
its name in the signature: scores of different protocols never share a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from icd_bench.errors import UnknownName
from icd_bench.registry import suggest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIGN: Final = "|protocol:"

Fit = Literal["centre-square", "squash"]
Resampling = Literal["lanczos", "bicubic"]


@dataclass(frozen=True)
class Protocol:
    """One way to prepare, keep and score pictures."""

    name: str
    title: str
    fit: Fit = "centre-square"
    """How a picture that is not square becomes square: its centre is cut out, or it is squeezed."""
    resampling: Resampling = "lanczos"
    """Antialiased filter of pictures; masks take the nearest pixel."""
    jpeg_quality: int | None = None
    """Edits are scored after a JPEG file of this quality (4:2:0); None: as they are."""
    mask_border: int = 0
    """Pixels along the frame that count as edited whatever the mask says."""
    scored_at: int | None = None
    """Side to which larger edits, and what they are compared with, are shrunk to be scored;
    smaller ones are never enlarged. None: edits are scored at their own size."""
    metrics: tuple[str, ...] = ()
    """Computed when the user names none; empty: the benchmark's own."""
    units: Mapping[str, float] = field(default_factory=dict)
    """Metric -> factor by which the papers multiply it, and so do tables, curves and reports."""

    def sign(self, signature: str) -> str:
        """Return a metric's signature under this protocol."""
        return signature if self == NATIVE else f"{signature}{_SIGN}{self.name}"

    def edit_as_scored(self, edited: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an edited picture (R, R, 3) as metrics see it."""
        from icd_bench.pictures import through_jpeg

        return edited if self.jpeg_quality is None else through_jpeg(edited, self.jpeg_quality)

    def side_as_scored(self, side: int) -> int:
        """Return the side that a square picture has when metrics see it."""
        return side if self.scored_at is None else min(side, self.scored_at)

    def mask_as_scored(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask (R, R) as metrics see it."""
        if not self.mask_border:
            return mask
        inner = slice(self.mask_border, -self.mask_border)
        bordered = mask.copy()
        bordered[:] = True
        bordered[inner, inner] = mask[inner, inner]
        return bordered


NATIVE: Final = Protocol("native", "PNG files, centre squares, masks as they are")

_KNOWN: Final = (
    NATIVE,
    Protocol(
        "icd-2024",
        "Starodubcev et al. 2024 (arXiv:2406.14539): pictures squeezed to the model's square, PNG, "
        "scored at 512 pixels where they are larger",
        fit="squash",
        resampling="bicubic",
        scored_at=512,
        metrics=(
            "clip_text_l14",
            "clip_image_l14",
            "dino_v2",
            "lpips_vgg_224",
            "psnr",
            "image_reward",
        ),
    ),
    Protocol(
        "pie-bench-2023",
        "Ju et al. 2023 (arXiv:2310.01506): JPEG 75 before scoring, masks with a border, "
        "edited pixels set to zero",
        resampling="bicubic",
        jpeg_quality=75,
        mask_border=1,
        metrics=(
            "structure_distance_255",
            "zeroed_psnr",
            "zeroed_lpips_squeeze",
            "zeroed_mse",
            "zeroed_ssim",
            "clip_score_l14_source",
            "clip_score_l14",
            "clip_score_l14_edited",
        ),
        units={
            "structure_distance_255": 1e3,
            "zeroed_lpips_squeeze": 1e3,
            "zeroed_mse": 1e4,
            "zeroed_ssim": 1e2,
        },
    ),
)


def protocols() -> dict[str, Protocol]:
    """Return the known protocols by name."""
    return {protocol.name: protocol for protocol in _KNOWN}


def unit_factor(metric: str, signature: str) -> float:
    """Return by how much the papers of a score's protocol multiply it.

    Args:
        metric: its name.
        signature: of :meth:`Protocol.sign`.
    """
    protocol = protocols().get(signature.rpartition(_SIGN)[2], NATIVE)
    return protocol.units.get(metric, 1.0)


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises:
        UnknownName: there is none; the message suggests the nearest name.
    """
    known = protocols()
    if name not in known:
        raise UnknownName(
            f'unknown protocol "{name}".{suggest(name, known)} Known: {", ".join(known)}.'
        )
    return known[name]
