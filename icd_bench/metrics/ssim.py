"""Structural similarity: -1 to 1 (equal), higher is better.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity",
IEEE TIP 13(4). Gaussian window 11x11 with sigma 1.5, population covariance, K1 = 0.01,
K2 = 0.03, data range 1, mean over channels and over the pixels whose window lies inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import MetricInfo
from icd_bench.errors import UsageError

from .comparison import Comparison, piecewise

if TYPE_CHECKING:
    from torch import Tensor

RADIUS = 5
SIGMA = 1.5
WEIGHTS = [exp(-(offset**2) / (2 * SIGMA**2)) for offset in range(-RADIUS, RADIUS + 1)]
WINDOW = [weight / sum(WEIGHTS) for weight in WEIGHTS]
C1 = 0.01**2
C2 = 0.03**2
CITATION = "Wang et al. 2004, IEEE TIP 13(4)"


def ssim(edited: Tensor, reference: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return the mean of the SSIM map over kept pixels, in float64.

    With ``keep``, the Gaussian means and covariances of each window are taken over its kept
    pixels alone (weights renormalised), so that what happens elsewhere has no influence at all.

    Args:
        edited: (N, 3, H, W) in [0, 1], H and W at least 11.
        reference: (N, 3, H, W) in [0, 1].
        keep: (N, 1, H, W) in {0, 1}; None keeps every pixel.

    Returns:
        (N,) values in [-1, 1]; NaN where nothing is kept 5 or more pixels from the border.

    Raises:
        UsageError: the pictures are smaller than the window.
    """
    height, width = edited.shape[-2:]
    if min(height, width) < 2 * RADIUS + 1:
        raise UsageError(f"ssim: pictures of {width}x{height} are smaller than its 11x11 window")
    if keep is None:
        return _ssim_map(edited, reference, None).mean(dim=(1, 2, 3))
    kept = keep[..., RADIUS:-RADIUS, RADIUS:-RADIUS].double()
    similarity = _ssim_map(edited, reference, keep).mean(dim=1, keepdim=True)
    return (kept * similarity).sum(dim=(1, 2, 3)) / kept.sum(dim=(1, 2, 3))


def _ssim_map(edited: Tensor, reference: Tensor, keep: Tensor | None) -> Tensor:
    """Return (N, 3, H - 10, W - 10): eq. 13 of the paper around every inner pixel."""
    x, y = edited.double(), reference.double()
    if keep is None:
        local_mean = _blur
    else:
        kept = keep.double()
        weight = _blur(kept).clamp(min=1e-12)

        def local_mean(values: Tensor) -> Tensor:
            return _blur(kept * values) / weight

    luminance, structure = _maps(x, y, local_mean)
    return luminance * structure


def similarity_maps(edited: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two factors of eq. 13 around every inner pixel, (N, C, H - 10, W - 10) each.

    The first compares luminance, the second contrast and structure.

    Args:
        edited: (N, C, H, W) in [0, 1], float64.
        reference: (N, C, H, W) in [0, 1], float64.
    """
    return _maps(edited, reference, _blur)


def _maps(x: Tensor, y: Tensor, local_mean: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x = local_mean(x * x) - mean_x.square()
    var_y = local_mean(y * y) - mean_y.square()
    cov = local_mean(x * y) - mean_x * mean_y

    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    structure = (2 * cov + C2) / (var_x + var_y + C2)
    return luminance, structure


def _blur(values: Tensor) -> Tensor:
    """Return the Gaussian means (N, C, H - 10, W - 10) of (N, C, H, W).

    Shifted sums, because convolutions in float64 are many times slower on a CPU.
    """
    for dim in (-1, -2):
        length = values.shape[dim] - 2 * RADIUS
        blurred = values.narrow(dim, 0, length) * WINDOW[0]
        for offset, weight in enumerate(WINDOW[1:], start=1):
            blurred.add_(values.narrow(dim, offset, length), alpha=weight)
        values = blurred
    return values


class SSIM(Comparison):
    """Structural similarity to the source picture."""

    family = "ssim"
    mask_rule = "kept-windows"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="ssim",
        title="SSIM",
        direction="higher",
        unit="",
        citation=CITATION,
        range=(-1, 1),
    )

    def rules(self) -> dict[str, str]:
        """Return the window, for the signature."""
        return {"window": "gaussian11-1.5", "cov": "population", "border": "cropped"}

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) values; see :func:`ssim`."""
        return piecewise(ssim, edited, reference, keep)


class BackgroundSSIM(SSIM):
    """Structural similarity outside the edit mask."""

    region = "background"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="background_ssim",
        title="SSIM, background",
        direction="higher",
        unit="",
        citation=CITATION,
        needs=("mask",),
        range=(-1, 1),
    )


class TargetSSIM(SSIM):
    """Structural similarity to the true edited picture."""

    against = "target"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="target_ssim",
        title="SSIM to the true edit",
        direction="higher",
        unit="",
        citation=CITATION,
        needs=("target",),
        group="truth",
        range=(-1, 1),
    )


class ZeroedSSIM(BackgroundSSIM):
    """SSIM, edited pixels set to zero, as PIE-Bench's scripts compute it.

    Their library (torchmetrics) mirrors the pictures at the border and counts every pixel.
    """

    zeroed = True
    info: ClassVar[MetricInfo] = MetricInfo(
        name="zeroed_ssim",
        title="SSIM, edited pixels set to zero",
        direction="higher",
        unit="",
        citation="Ju et al. 2023, arXiv:2310.01506",
        needs=("mask",),
        on_request=True,
        range=(-1, 1),
    )

    def rules(self) -> dict[str, str]:
        """Return the window and what it sees beyond the border, for the signature."""
        return {**super().rules(), "border": "mirrored"}

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) values over the whole frame."""
        return piecewise(_mirrored_ssim, edited, reference, None)


def _mirrored_ssim(edited: Tensor, reference: Tensor, keep: Tensor | None) -> Tensor:
    from torch.nn.functional import pad

    border = (RADIUS,) * 4
    mirrored = [pad(pictures, border, mode="reflect") for pictures in (edited, reference)]
    return _ssim_map(mirrored[0], mirrored[1], None).mean(dim=(1, 2, 3))
