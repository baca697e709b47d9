"""Learned perceptual distance (LPIPS): 0 (equal) upwards, about 1 at most, lower is better.

Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric",
arXiv:1801.03924, eq. 1, version 0.1 of the linear heads, at the picture's own resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import MetricInfo
from icd_bench.errors import UsageError

from . import alexnet
from .comparison import Comparison
from .features import FeatureCache, Features
from .weights import PACKAGED, fingerprint, require

if TYPE_CHECKING:
    from torch import Tensor

CITATION = "Zhang et al. 2018, arXiv:1801.03924"
MIN_SIDE = 31
"""AlexNet leaves nothing of a smaller picture."""


class LPIPSNetwork:
    """AlexNet and the linear heads.

    Args:
        weights: AlexNet's tensors, see :func:`icd_bench.metrics.alexnet.alexnet_features`.
        heads: five non-negative channel weights, (C,) each.
    """

    def __init__(self, weights: dict[str, Tensor], heads: Sequence[Tensor]) -> None:
        self.weights, self.heads = weights, heads

    def features(self, images: Tensor) -> Features:
        """Return five unit-normalised activations (N, C, h, w) of (N, 3, H, W) in [0, 1]."""
        import torch

        if min(images.shape[-2:]) < MIN_SIDE:
            height, width = images.shape[-2:]
            raise UsageError(f"lpips: pictures of {width}x{height}: it needs {MIN_SIDE} pixels")
        # The constants that LPIPS was trained with, for inputs in [-1, 1].
        shift = images.new_tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
        scale = images.new_tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
        # TF32 would cost three digits on an accelerator.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            activations = alexnet.alexnet_features((2 * images - 1 - shift) / scale, self.weights)
            return tuple(a / (a.norm(dim=1, keepdim=True) + 1e-10) for a in activations)

    def distance(self, a: Features, b: Features, keep: Tensor | None = None) -> Tensor:
        """Return (N,) distances between two sets of features.

        Args:
            a: from :meth:`features`.
            b: from :meth:`features`.
            keep: (N, 1, H, W) weights of the pixels; each layer's map is averaged with the
                weights' means over its cells.
        """
        from torch.nn.functional import adaptive_avg_pool2d

        total = a[0].new_zeros(len(a[0]))
        for layer_a, layer_b, head in zip(a, b, self.heads, strict=True):
            distances = ((layer_a - layer_b).square() * head.view(-1, 1, 1)).sum(dim=1)
            if keep is None:
                total += distances.mean(dim=(1, 2))
            else:
                height, width = distances.shape[1:]
                area = adaptive_avg_pool2d(keep.to(distances), (height, width))[:, 0]
                total += (area * distances).sum(dim=(1, 2)) / area.sum(dim=(1, 2))
        return total


def files(folder: Path) -> tuple[Path, Path]:
    """Return the weight files: the network and the linear heads."""
    return folder / alexnet.FILE, folder / "alex_heads.safetensors"


def load_network(folder: Path, device: str = "cpu") -> LPIPSNetwork:
    """Load the network in float32; LPIPS metrics on the same device share one copy.

    Raises:
        MissingWeights: a file is not there.
    """
    require(files(folder), "lpips", "it is part of the package: install icd-bench again")
    return _load_network(folder, device, fingerprint(files(folder)))


@lru_cache(maxsize=4)
def _load_network(folder: Path, device: str, digest: str) -> LPIPSNetwork:
    """Load anew where the device or the weights (``digest``) differ."""
    from safetensors.torch import load_file

    network, heads = (load_file(file, device=device) for file in files(folder))
    return LPIPSNetwork(
        {name: tensor.float() for name, tensor in network.items()},
        [heads[f"lin{index}.weight"].float() for index in range(len(heads))],
    )


class LPIPS(Comparison):
    """LPIPS to the source picture.

    Args:
        folder: where the weights lie (default: in the package).
    """

    family = "lpips"
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
        self.network = load_network(self.folder, device)
        self.references = FeatureCache()

    def rules(self) -> dict[str, str]:
        """Return network and weights, for the signature."""
        return {"net": "alex", "weights": fingerprint(files(self.folder))}

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
