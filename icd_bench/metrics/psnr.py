"""Peak signal-to-noise ratio in dB: 0 (black against white) to infinity (equal), higher is better.

Equal pictures score +inf, without a cap: a cap would be an arbitrary number in a mean. The
statistics leave infinities out of means and count them (``icd_bench.stats``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import MetricInfo

from .comparison import Comparison, piecewise
from .mse import mse

if TYPE_CHECKING:
    from torch import Tensor


def psnr(edited: Tensor, reference: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return -10 log10(MSE) in dB, the peak being 1; arguments as in :func:`mse`.

    Returns:
        (N,) values in [0, inf]; NaN where nothing is kept.
    """
    return -10 * mse(edited, reference, keep).log10()


class PSNR(Comparison):
    """Peak signal-to-noise ratio against the source picture."""

    family = "psnr"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="psnr",
        title="PSNR",
        direction="higher",
        unit="dB",
        citation="definition, peak 1",
        range=(0, None),
    )

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) values in dB; see :func:`psnr`."""
        return piecewise(psnr, edited, reference, keep)


class BackgroundPSNR(PSNR):
    """Peak signal-to-noise ratio outside the edit mask."""

    region = "background"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="background_psnr",
        title="PSNR, background",
        direction="higher",
        unit="dB",
        citation="definition, peak 1",
        needs=("mask",),
        range=(0, None),
    )


class TargetPSNR(PSNR):
    """Peak signal-to-noise ratio against the true edited picture."""

    against = "target"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="target_psnr",
        title="PSNR to the true edit",
        direction="higher",
        unit="dB",
        citation="definition, peak 1",
        needs=("target",),
        group="truth",
        range=(0, None),
    )


class ZeroedPSNR(BackgroundPSNR):
    """PSNR, edited pixels set to zero, as PIE-Bench's scripts compute it."""

    zeroed = True
    info: ClassVar[MetricInfo] = MetricInfo(
        name="zeroed_psnr",
        title="PSNR, edited pixels set to zero",
        direction="higher",
        unit="dB",
        citation="Ju et al. 2023, arXiv:2310.01506",
        needs=("mask",),
        on_request=True,
        range=(0, None),
    )
