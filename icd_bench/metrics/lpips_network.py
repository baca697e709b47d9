"""LPIPS as a network: a trunk's activations and a linear head for each of them.

Zhang et al. 2018, arXiv:1801.03924, eq. 1, version 0.1 of the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from icd_bench.errors import UsageError

from .alexnet import FILE as ALEXNET_FILE
from .alexnet import alexnet_features
from .features import Features
from .networks import SQUEEZENET, VGG16
from .squeezenet import squeezenet_features
from .vgg16 import vgg16_features
from .weights import Network, fingerprint, require

if TYPE_CHECKING:
    from torch import Tensor

HOW_TO_GET = "it is part of the package: install icd-bench again"


@dataclass(frozen=True)
class Trunk:
    """A network whose activations LPIPS compares."""

    name: str
    features: Callable[[Tensor, Mapping[str, Tensor]], list[Tensor]]
    min_side: int
    """The network leaves nothing of a smaller picture."""
    network: Network | None = None
    """Where its weights come from; None: shipped, beside the heads."""

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Return the weight files: the network's and the heads', which lie in ``folder``."""
        (weights,) = self.network.paths() if self.network else (folder / ALEXNET_FILE,)
        return weights, folder / f"{self.name}_heads.safetensors"

    def require(self, folder: Path) -> None:
        """Raise MissingWeights where a file is not there; the message has the command."""
        if self.network:
            self.network.require()
        require(self.files(folder), "lpips", HOW_TO_GET)


ALEX = Trunk("alex", alexnet_features, min_side=31)
VGG = Trunk("vgg", vgg16_features, min_side=16, network=VGG16)
SQUEEZE = Trunk("squeeze", squeezenet_features, min_side=17, network=SQUEEZENET)


class LPIPSNetwork:
    """A trunk and the linear heads.

    Args:
        trunk: whose activations are compared.
        weights: the trunk's tensors.
        heads: non-negative channel weights, (C,) for each activation.
    """

    def __init__(self, trunk: Trunk, weights: dict[str, Tensor], heads: Sequence[Tensor]) -> None:
        self.trunk, self.weights, self.heads = trunk, weights, heads

    def features(self, images: Tensor) -> Features:
        """Return unit-normalised activations (N, C, h, w) of (N, 3, H, W) in [0, 1]."""
        import torch

        if min(images.shape[-2:]) < self.trunk.min_side:
            height, width = images.shape[-2:]
            raise UsageError(
                f"lpips: pictures of {width}x{height}: it needs {self.trunk.min_side} pixels"
            )
        # The constants that LPIPS was trained with, for inputs in [-1, 1].
        shift = images.new_tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
        scale = images.new_tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
        # TF32 would cost three digits on an accelerator.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            activations = self.trunk.features((2 * images - 1 - shift) / scale, self.weights)
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


def load_network(trunk: Trunk, folder: Path, device: str = "cpu") -> LPIPSNetwork:
    """Load a network in float32; LPIPS metrics on the same device share one copy.

    Args:
        trunk: which one.
        folder: where the heads lie.
        device: as in torch.

    Raises:
        MissingWeights: a file is not there.
    """
    trunk.require(folder)
    return _load_network(trunk, folder, device, fingerprint(trunk.files(folder)))


@lru_cache(maxsize=4)
def _load_network(trunk: Trunk, folder: Path, device: str, digest: str) -> LPIPSNetwork:
    """Load anew where the device or the weights (``digest``) differ."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    network_file, heads_file = trunk.files(folder)
    heads = load_file(heads_file, device=device)
    with safe_open(network_file, "pt", device=device) as content:
        # Only the convolutions: a classifier behind them can be ten times as large.
        names = [name for name in content.keys() if name.startswith("features.")]  # noqa: SIM118
        weights = {name: content.get_tensor(name).float() for name in names}
    return LPIPSNetwork(
        trunk, weights, [heads[f"lin{index}.weight"].float() for index in range(len(heads))]
    )
