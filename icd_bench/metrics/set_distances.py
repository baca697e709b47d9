"""Distances of a set of edits to a set of pictures: one value for all edits of a setting.

``fid`` (Heusel et al. 2017, arXiv:1706.08500): Frechet distance of Inception features, 0 (alike)
upwards, lower is better; biased upwards, the more the fewer pictures, so that only values of equal
n compare. ``fd_dino_v2``: the same on DINOv2 ViT-L/14 (Stein et al. 2023, arXiv:2306.04675).
``kid`` (Binkowski et al. 2018, arXiv:1801.01401): unbiased squared maximum mean discrepancy of
Inception features with the kernel (x.y/D + 1)^3, for few pictures; it can be below 0.

The other set is a file of statistics (``mu`` and ``sigma``) or of features, made by
``icd-bench data statistics`` or as pytorch-fid writes it, named by an environment variable; without
one the source pictures of the same edits.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from icd_bench.api import MetricInfo
from icd_bench.errors import UsageError

from .dino import load_vision_model, pooled_features
from .inception import SIDE, Inception
from .networks import DINOV2_LARGE, INCEPTION
from .preprocess import Preprocess
from .reference_sets import Made, read_arrays
from .signature import sign
from .weights import Network, fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from icd_bench.stats.frechet import Gaussian

    Features = NDArray[np.float64]

INCEPTION_SIDE = 256
RESAMPLES = 100
"""Bootstrap draws: they know the width of an interval to 7 %."""


class SetDistance(ABC):
    """A distance between the features of two sets of pictures.

    Args:
        network: which one makes the features.
    """

    info: ClassVar[MetricInfo]
    family: ClassVar[str]
    version: ClassVar[int] = 1
    variable: ClassVar[str]
    """Environment variable that names the file of the other set."""
    fewest: ClassVar[int] = 2
    """Pictures that a value needs."""
    enough: ClassVar[int] = 2
    """Pictures below which a value is doubtful."""
    most_resampled: ClassVar[int]
    """Pictures above which there is no interval: resampling them would take minutes."""
    arrays: ClassVar[tuple[str, ...]]
    """Names of what a file of the other set holds."""
    network: Network
    side: int | None = None
    """Of the pictures whose features were computed last."""

    def load(self, device: str = "cpu") -> None:
        """Bring the network to the device; raises MissingWeights."""
        self.device = device
        self.load_network(self.network.require())

    def signature(self) -> str:
        """Return how the number is made."""
        file = self.reference_file()
        return sign(
            self.family,
            self.version,
            net=self.network.name,
            weights=self.network.fingerprint(),
            **self.rules(),
            reference=fingerprint((file,)) if file else "sources",
        )

    def reference_file(self) -> Path | None:
        """Return the file of the other set; None for the source pictures."""
        chosen = os.environ.get(self.variable)
        return Path(chosen).expanduser() if chosen else None

    def made(self, pictures: int = 0) -> Made:
        """Return how features of a number of pictures are made."""
        size = self.rules()["size"]
        return Made(self.network.name, self.network.fingerprint(), size, pictures, self.side)

    def read_reference(self, file: Path) -> list[Features]:
        """Return the arrays of a file of the other set; raises UsageError if it does not fit."""
        return read_arrays(file, self.arrays, self.made())

    @abstractmethod
    def summary(self, features: Features) -> dict[str, Features]:
        """Return what a file of the other set holds of features (N, D)."""

    @abstractmethod
    def rules(self) -> dict[str, str]:
        """Return what else belongs in the signature."""

    @abstractmethod
    def load_network(self, folder: Path) -> None:
        """Load the network from its folder."""

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """Return (N, D) features of (N, 3, H, W) in [0, 1]."""

    @abstractmethod
    def distance(self, edited: Features, sources: Features) -> float:
        """Return the distance of N edits to the other set.

        Args:
            edited: (N, D).
            sources: (M, D) features of the source pictures, each once.

        Raises:
            UsageError: the file of the other set cannot be read or does not fit.
        """

    @abstractmethod
    def interval(self, edited: Features, sources: Features) -> tuple[float, float]:
        """Return the ends of the distance's 95 % bootstrap interval over the edits.

        The other set is taken as exact. NaN above ``most_resampled`` edits.
        """


class FrechetDistance(SetDistance):
    """The Frechet distance of features, each set taken for a normal distribution."""

    most_resampled = 2000
    arrays = ("mu", "sigma")

    def summary(self, features: Features) -> dict[str, Features]:
        """Return mean and covariance."""
        from icd_bench.stats.frechet import Gaussian

        fitted = Gaussian.of(features)
        return {"mu": fitted.mean, "sigma": fitted.covariance}

    def distance(self, edited: Features, sources: Features) -> float:
        """Return the Frechet distance of N edits to the other set."""
        from icd_bench.stats.frechet import Gaussian, frechet_distance

        return frechet_distance(Gaussian.of(edited), self._reference(edited, sources))

    def interval(self, edited: Features, sources: Features) -> tuple[float, float]:
        """Return the ends of the interval."""
        from icd_bench.stats.frechet import frechet_interval

        if len(edited) > self.most_resampled:
            return math.nan, math.nan
        reference = self._reference(edited, sources)
        found = frechet_interval(edited, reference, resamples=RESAMPLES)
        return float(found.low), float(found.high)

    def _reference(self, edited: Features, sources: Features) -> Gaussian:
        from icd_bench.stats.frechet import Gaussian

        file = self.reference_file()
        reference = Gaussian(*self.read_reference(file)) if file else Gaussian.of(sources)
        if len(reference.mean) != edited.shape[1]:
            raise UsageError(
                f"{file}: statistics of {len(reference.mean)} features, not {edited.shape[1]}"
            )
        return reference


class InceptionDistance(SetDistance):
    """Inception features, made as iCD's scripts make them.

    The shorter side to 256 with Pillow's Lanczos filter, the centre, then bilinear to 299 as in
    pytorch-fid.
    """

    network = INCEPTION
    variable = "ICD_BENCH_FID_STATISTICS"

    def rules(self) -> dict[str, str]:
        """Return the sizes, for the signature."""
        return {"size": "256-lanczos-299-bilinear"}

    def load_network(self, folder: Path) -> None:
        """Load the network from its folder."""
        self.inception = _load_inception(self.network.paths()[0], self.device)

    def features(self, images: Tensor) -> Features:
        """Return (N, 2048) features of (N, 3, H, W) in [0, 1]."""
        import torch

        self.side = images.shape[-1] if images.shape[-1] == images.shape[-2] else None
        from torch.nn.functional import interpolate

        small = _lanczos(images, INCEPTION_SIDE).to(self.device)
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            pixels = interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False)
            found: Features = self.inception.features(2 * pixels - 1).double().cpu().numpy()
        return found


class FID(FrechetDistance, InceptionDistance):
    """Frechet Inception distance."""

    family = "fid"
    enough = 2048
    info: ClassVar[MetricInfo] = MetricInfo(
        name="fid",
        title="FID",
        direction="lower",
        unit="",
        citation="Heusel et al. 2017, arXiv:1706.08500",
        group="quality",
        on_request=True,
        range=(0, None),
    )


class KID(InceptionDistance):
    """Kernel Inception distance."""

    most_resampled = 5000
    arrays = ("features",)

    family = "kid"
    variable = "ICD_BENCH_KID_FEATURES"
    enough = 50
    info: ClassVar[MetricInfo] = MetricInfo(
        name="kid",
        title="KID",
        direction="lower",
        unit="",
        citation="Binkowski et al. 2018, arXiv:1801.01401",
        group="quality",
        on_request=True,
        range=(None, None),
    )

    def distance(self, edited: Features, sources: Features) -> float:
        """Return the unbiased estimate over all pairs of pictures."""
        from icd_bench.stats.kernel import kernel_distance

        return kernel_distance(edited, self._reference(sources))

    def interval(self, edited: Features, sources: Features) -> tuple[float, float]:
        """Return the ends of the interval."""
        from icd_bench.stats.kernel import kernel_interval

        if len(edited) > self.most_resampled:
            return math.nan, math.nan
        found = kernel_interval(edited, self._reference(sources), resamples=RESAMPLES)
        return float(found.low), float(found.high)

    def summary(self, features: Features) -> dict[str, Features]:
        """Return the features themselves."""
        return {"features": features}

    def _reference(self, sources: Features) -> Features:
        file = self.reference_file()
        return self.read_reference(file)[0] if file else sources


class FDDINOv2(FrechetDistance):
    """Frechet distance of DINOv2 features."""

    family = "fd_dino_v2"
    network = DINOV2_LARGE
    variable = "ICD_BENCH_FD_DINOV2_STATISTICS"
    enough = 1024
    info: ClassVar[MetricInfo] = MetricInfo(
        name="fd_dino_v2",
        title="FD-DINOv2",
        direction="lower",
        unit="",
        citation="Stein et al. 2023, arXiv:2306.04675",
        group="quality",
        on_request=True,
        range=(0, None),
    )

    def rules(self) -> dict[str, str]:
        """Return the sizes, for the signature."""
        return {"size": "network"}

    def load_network(self, folder: Path) -> None:
        """Load the network from its folder."""
        self.model = load_vision_model(folder, self.device, self.network.fingerprint())
        self.preprocess = Preprocess.read(folder)

    def features(self, images: Tensor) -> Features:
        """Return (N, D) pooled features of (N, 3, H, W) in [0, 1]."""
        self.side = images.shape[-1] if images.shape[-1] == images.shape[-2] else None
        pooled = pooled_features(self.model, self.preprocess, images)
        found: Features = pooled.double().cpu().numpy()
        return found


@lru_cache(maxsize=2)
def _load_inception(file: Path, device: str) -> Inception:
    from safetensors.torch import load_file

    return Inception({name: value.float() for name, value in load_file(file, device).items()})


def _lanczos(images: Tensor, side: int) -> Tensor:
    """Return (N, 3, side, side): the shorter side resized by Pillow, then the centre."""
    import torch
    from PIL import Image

    height, width = images.shape[-2:]
    shorter = min(height, width)
    size = (int(side * width / shorter), int(side * height / shorter))
    levels = images.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    left, top = ((length - side) // 2 for length in size)
    cut = [
        np.asarray(
            Image.fromarray(picture)
            .resize(size, Image.Resampling.LANCZOS)
            .crop((left, top, left + side, top + side))
        )
        for picture in levels
    ]
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255
