"""Learned perceptual distance (LPIPS): 0 (equal) upwards, about 1 at most, lower is better.

Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric",
arXiv:1801.03924, eq. 1, version 0.1 of the linear heads. At the picture's own resolution, but for
``lpips_vgg_224``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import MetricInfo

from .comparison import Comparison
from .features import FeatureCache
from .lpips_network import ALEX, SQUEEZE, VGG, Trunk, load_network
from .resize import resize
from .weights import PACKAGED, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

CITATION = "Zhang et al. 2018, arXiv:1801.03924"


class LPIPS(Comparison):
    """LPIPS to the source picture.

    Args:
        folder: where the heads lie, and AlexNet (default: in the package).
    """

    family = "lpips"
    trunk: ClassVar[Trunk] = ALEX
    mask_rule = "area-composite"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="lpips_alex",
        title="LPIPS (AlexNet)",
        direction="lower",
        unit="",
        citation=CITATION,
        range=(0, None),
    )

    def __init__(self, folder: Path = PACKAGED / "lpips") -> None:
        self.folder = folder
        self.references = FeatureCache()

    def load(self, device: str = "cpu") -> None:
        """Bring the network to the device; raises MissingWeights."""
        super().load(device)
        self.network = load_network(self.trunk, self.folder, device)
        self.references = FeatureCache()

    def rules(self) -> dict[str, str]:
        """Return network and weights, for the signature."""
        weights = fingerprint(self.trunk.files(self.folder))
        return {"net": self.trunk.name, "weights": weights}

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) distances.

        Features see further than their cell. So on the background (signature
        ``mask:area-composite``) the edited region of the edited picture is first filled from the
        reference, which leaves only what changed outside it; then each layer's distances are
        averaged over the kept area: the mask is resized to the layer by the mean of each cell.
        """
        if keep is not None:
            edited = keep * edited + (1 - keep) * reference
        known = self.references.features(keys, reference, self.network.features)
        return self.network.distance(self.network.features(edited), known, keep)


class BackgroundLPIPS(LPIPS):
    """LPIPS outside the edit mask."""

    region = "background"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="background_lpips",
        title="LPIPS (AlexNet), background",
        direction="lower",
        unit="",
        citation=CITATION,
        needs=("mask",),
        range=(0, None),
    )


class TargetLPIPS(LPIPS):
    """LPIPS to the true edited picture."""

    against = "target"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="target_lpips",
        title="LPIPS (AlexNet) to the true edit",
        direction="lower",
        unit="",
        citation=CITATION,
        needs=("target",),
        group="truth",
        range=(0, None),
    )


class ZeroedLPIPS(BackgroundLPIPS):
    """LPIPS (AlexNet), edited pixels set to zero, as PIE-Bench's scripts compute it."""

    zeroed = True
    info: ClassVar[MetricInfo] = MetricInfo(
        name="zeroed_lpips_alex",
        title="LPIPS (AlexNet), edited pixels set to zero",
        direction="lower",
        unit="",
        citation="Ju et al. 2023, arXiv:2310.01506",
        needs=("mask",),
        on_request=True,
        range=(0, None),
    )


class VGGLPIPS(LPIPS):
    """LPIPS with VGG16 to the source picture."""

    trunk = VGG
    info: ClassVar[MetricInfo] = MetricInfo(
        name="lpips_vgg",
        title="LPIPS (VGG16)",
        direction="lower",
        unit="",
        citation=CITATION,
        on_request=True,
        range=(0, None),
    )


class VGG224LPIPS(VGGLPIPS):
    """LPIPS with VGG16 on 224x224, as iCD's scripts compute it with the package piq.

    piq normalises inputs in [0, 1] with ImageNet's mean and deviation, which are LPIPS' own
    constants for inputs in [-1, 1]. Both pictures are brought to size in 8 bits before.
    """

    side: ClassVar[int] = 224
    size = "224-bicubic"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="lpips_vgg_224",
        title="LPIPS (VGG16) on 224x224",
        direction="lower",
        unit="",
        citation=f"{CITATION}; as in Starodubcev et al. 2024, arXiv:2406.14539",
        on_request=True,
        range=(0, None),
    )

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) distances of the pictures at 224x224."""
        small = [resize(pictures, (self.side, self.side)) for pictures in (edited, reference)]
        return super().measure(small[0], small[1], keep, keys)


class SqueezeLPIPS(LPIPS):
    """LPIPS with SqueezeNet to the source picture."""

    trunk = SQUEEZE
    info: ClassVar[MetricInfo] = MetricInfo(
        name="lpips_squeeze",
        title="LPIPS (SqueezeNet)",
        direction="lower",
        unit="",
        citation=CITATION,
        on_request=True,
        range=(0, None),
    )


class ZeroedSqueezeLPIPS(ZeroedLPIPS):
    """LPIPS (SqueezeNet), edited pixels set to zero, as PIE-Bench's scripts compute it."""

    trunk = SQUEEZE
    info: ClassVar[MetricInfo] = MetricInfo(
        name="zeroed_lpips_squeeze",
        title="LPIPS (SqueezeNet), edited pixels set to zero",
        direction="lower",
        unit="",
        citation="Ju et al. 2023, arXiv:2310.01506",
        needs=("mask",),
        on_request=True,
        range=(0, None),
    )
