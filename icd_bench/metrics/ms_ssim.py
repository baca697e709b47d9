"""Multi-scale structural similarity: 0 to 1 (equal), higher is better.

Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity for image quality assessment",
Asilomar. Five scales, halved by 2x2 means, with the paper's exponents; contrast and structure at
each scale, luminance at the coarsest. Negative means of a scale count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import MetricInfo
from icd_bench.errors import UsageError

from .comparison import Comparison, piecewise
from .ssim import RADIUS, similarity_maps

if TYPE_CHECKING:
    from torch import Tensor

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MIN_SIDE = (2 * RADIUS) * 2 ** (len(EXPONENTS) - 1) + 1
CITATION = "Wang et al. 2003, Asilomar, multi-scale SSIM"


def ms_ssim(edited: Tensor, reference: Tensor) -> Tensor:
    """Return (N,) values in [0, 1]; mean over channels.

    Args:
        edited: (N, 3, H, W) in [0, 1], H and W at least 161.
        reference: (N, 3, H, W) in [0, 1].
    """
    from torch.nn.functional import avg_pool2d

    edited, reference = edited.double(), reference.double()
    product = None
    for scale, exponent in enumerate(EXPONENTS):
        if scale:
            edited, reference = avg_pool2d(edited, 2), avg_pool2d(reference, 2)
        luminance, structure = similarity_maps(edited, reference)
        coarsest = scale == len(EXPONENTS) - 1
        similarity = luminance * structure if coarsest else structure
        # Exponents of a negative mean would not be numbers.
        factor = similarity.mean(dim=(2, 3)).clamp(min=0) ** exponent
        product = factor if product is None else product * factor
    assert product is not None, "there is a scale"
    return product.mean(dim=1)


class MSSSIM(Comparison):
    """Multi-scale structural similarity to the source picture."""

    family = "ms_ssim"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="ms_ssim",
        title="MS-SSIM",
        direction="higher",
        unit="",
        citation=CITATION,
        on_request=True,
        range=(0, 1),
    )

    def rules(self) -> dict[str, str]:
        """Return the window and the scales, for the signature."""
        return {"window": "gaussian11-1.5", "scales": "5", "border": "cropped"}

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) values; see :func:`ms_ssim`.

        Raises:
            UsageError: the pictures are too small for five scales.
        """
        height, width = edited.shape[-2:]
        if min(height, width) < MIN_SIDE:
            raise UsageError(
                f"ms_ssim: pictures of {width}x{height} are too small: five scales need {MIN_SIDE}"
            )
        return piecewise(lambda a, b, _: ms_ssim(a, b), edited, reference, None)
