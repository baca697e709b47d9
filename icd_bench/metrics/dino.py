"""DINO features: is the source's content, or its layout, still there?

``dino_v2``: cosine of DINOv2's pooled features (Oquab et al. 2023, arXiv:2304.07193), -1 to 1,
higher is better. ``structure_distance``: mean squared difference of the self-similarity of DINO's
keys (Caron et al. 2021, arXiv:2104.14294; Tumanyan et al. 2022, arXiv:2201.00424), 0 (equal)
upwards, lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from icd_bench.api import MetricInfo

from .comparison import Comparison
from .features import FeatureCache, Features
from .networks import DINO_B8, DINOV2_BASE
from .preprocess import Preprocess
from .weights import Network

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DINOv2(Comparison):
    """Cosine of DINOv2's pooled features of the edited and the source picture.

    Args:
        network: which one (default: ViT-B/14).
    """

    family = "dino_v2"
    size = "network"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="dino_v2",
        title="DINOv2 similarity to the source",
        direction="higher",
        unit="cosine",
        citation="Oquab et al. 2023, arXiv:2304.07193",
        on_request=True,
        range=(-1, 1),
    )

    def __init__(self, network: Network = DINOV2_BASE) -> None:
        self.network = network

    def load(self, device: str = "cpu") -> None:
        """Bring the network to the device; raises MissingWeights."""
        super().load(device)
        folder = self.network.require()
        self.model = load_vision_model(folder, device, self.network.fingerprint())
        self.preprocess = Preprocess.read(folder)
        self.references = FeatureCache()

    def rules(self) -> dict[str, str]:
        """Return network and weights, for the signature."""
        return {"net": self.network.name, "weights": self.network.fingerprint()}

    def features(self, images: Tensor) -> Features:
        """Return ((N, D),) unit vectors of (N, 3, H, W) in [0, 1]."""
        pooled = pooled_features(self.model, self.preprocess, images)
        return (pooled / pooled.norm(dim=-1, keepdim=True),)

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) cosines."""
        (known,) = self.references.features(keys, reference, self.features)
        (found,) = self.features(edited)
        return (found * known).sum(dim=1)


class StructureDistance(Comparison):
    """Mean squared difference of the self-similarities of DINO's keys.

    Pictures at 224x224 (bilinear, as the scripts' torchvision does it), keys of the last block
    over all heads with the class token, cosine similarity of each with each.

    Args:
        network: which one (default: ViT-B/8).
    """

    family = "structure_distance"
    size = "224-bilinear"
    levels: ClassVar[str] = "0-1"
    """Which values are normalised with ImageNet's mean and deviation, for the signature."""
    info: ClassVar[MetricInfo] = MetricInfo(
        name="structure_distance",
        title="Structure distance (DINO ViT-B/8)",
        direction="lower",
        unit="",
        citation="Tumanyan et al. 2022, arXiv:2201.00424",
        on_request=True,
        range=(0, 4),
    )

    def __init__(self, network: Network = DINO_B8) -> None:
        self.network = network

    def load(self, device: str = "cpu") -> None:
        """Bring the network to the device; raises MissingWeights."""
        super().load(device)
        self.model = load_vision_model(self.network.require(), device, self.network.fingerprint())
        self.references = FeatureCache()

    def rules(self) -> dict[str, str]:
        """Return network, weights and levels, for the signature."""
        return {
            "net": self.network.name,
            "weights": self.network.fingerprint(),
            "levels": self.levels,
        }

    def features(self, images: Tensor) -> Features:
        """Return ((N, T, T),) cosines of the keys of (N, 3, H, W) in [0, 1] with each other."""
        import torch
        from torch.nn.functional import interpolate

        scale = 255 if self.levels == "0-255" else 1
        mean = images.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
        std = images.new_tensor(IMAGENET_STD).view(3, 1, 1)
        side = int(self.model.config.image_size)
        small = interpolate(images, (side, side), mode="bilinear", align_corners=False)
        with torch.inference_mode():
            keys = last_keys(self.model, (scale * small - mean) / std)
            keys = keys / keys.norm(dim=-1, keepdim=True).clamp(min=1e-8)
            return (keys @ keys.transpose(1, 2),)

    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Return (N,) distances."""
        (known,) = self.references.features(keys, reference, self.features)
        (found,) = self.features(edited)
        return (found - known).square().mean(dim=(1, 2))


class StructureDistance255(StructureDistance):
    """The same as PIE-Bench's scripts compute it: they normalise levels of 0 to 255.

    The network sees numbers far outside what it was trained on; the values are comparable with
    those of the scripts, and with nothing else.
    """

    levels = "0-255"
    info: ClassVar[MetricInfo] = MetricInfo(
        name="structure_distance_255",
        title="Structure distance (DINO ViT-B/8) of unscaled levels",
        direction="lower",
        unit="",
        citation="Ju et al. 2023, arXiv:2310.01506",
        on_request=True,
        range=(0, 4),
    )


@lru_cache(maxsize=4)
def load_vision_model(folder: Path, device: str, digest: str) -> Any:
    """Return a vision transformer of transformers in float32.

    Args:
        folder: holds ``config.json`` and ``model.safetensors``.
        device: as in torch.
        digest: of the files; another one loads them anew.
    """
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    return model.float().eval().requires_grad_(False).to(device)


def pooled_features(model: Any, preprocess: Preprocess, images: Tensor) -> Tensor:
    """Return (N, D) pooled features of (N, 3, H, W) in [0, 1]."""
    import torch

    with torch.inference_mode():
        pooled: Tensor = model(pixel_values=preprocess(images).to(model.device)).pooler_output
    return pooled


def last_keys(model: Any, pixels: Tensor) -> Tensor:
    """Return (N, T, D): the keys of a ViT's last block, all heads side by side.

    Args:
        model: a ``ViTModel`` of transformers.
        pixels: (N, 3, H, W), normalised.
    """
    found: list[Tensor] = []
    *_, last = (module for name, module in model.named_modules() if name.endswith(KEY_LAYERS))
    hook = last.register_forward_hook(lambda module, inputs, output: found.append(output))
    try:
        model(pixel_values=pixels)
    finally:
        hook.remove()
    return found[0]


KEY_LAYERS = ("attention.k_proj", "attention.attention.key")
"""Names of the layer that makes keys, in transformers 5 and 4."""
