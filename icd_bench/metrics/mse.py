"""Mean squared error: 0 (equal) to 1 (black against white), lower is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import MetricInfo

from .comparison import Comparison, piecewise

if TYPE_CHECKING:
    from torch import Tensor


def mse(edited: Tensor, reference: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return the mean over kept pixels and channels of (edited - reference)^2, in float64.

    Args:
        edited: (N, 3, H, W) in [0, 1].
        reference: (N, 3, H, W) in [0, 1].
        keep: (N, 1, H, W) in {0, 1}; None keeps every pixel.

    Returns:
        (N,) values in [0, 1]; NaN where nothing is kept.
    """
    error = (edited.double() - reference.double()).square()
    if keep is None:
        return error.mean(dim=(1, 2, 3))
    kept = keep.double().expand_as(error)
    return (kept * error).sum(dim=(1, 2, 3)) / kept.sum(dim=(1, 2, 3))


class MSE(Comparison):
    """Mean squared error against the source picture."""

    family = "mse"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="mse",
        title="Mean squared error",
        direction="lower",
        unit="",
        citation="definition",
        range=(0, 1),
    )

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) values; see :func:`mse`."""
        return piecewise(mse, edited, reference, keep)


class BackgroundMSE(MSE):
    """Mean squared error outside the edit mask."""

    region = "background"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="background_mse",
        title="Mean squared error, background",
        direction="lower",
        unit="",
        citation="definition",
        needs=("mask",),
        range=(0, 1),
    )


class ZeroedMSE(BackgroundMSE):
    """Mean squared error, edited pixels set to zero, as PIE-Bench's scripts compute it."""

    zeroed = True
    info: ClassVar[MetricInfo] = MetricInfo(
        name="zeroed_mse",
        title="Mean squared error, edited pixels set to zero",
        direction="lower",
        unit="",
        citation="Ju et al. 2023, arXiv:2310.01506",
        needs=("mask",),
        on_request=True,
        range=(0, 1),
    )
