"""A CLIP in open_clip's folder layout, loaded once and shared by all metrics that use it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from icd_bench.api import Sample

from .features import FeatureCache, Features, LastBatch
from .weights import PACKAGED, fingerprint, require

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
TEXTS_AT_ONCE = 512


class CLIPEncoder(ABC):
    """Unit embeddings of pictures and texts, encoded once for all metrics that need them."""

    def __init__(self) -> None:
        self._texts: dict[str, Tensor] = {}
        self.forget_pictures()

    def forget_pictures(self) -> None:
        """Begin anew: names of reference pictures may mean other pictures from now on."""
        self.references = FeatureCache()
        self.last = LastBatch(self.images)

    @abstractmethod
    def images(self, images: Tensor) -> Features:
        """Return ((N, D),) unit embeddings of (N, 3, H, W) in [0, 1], resized where needed."""

    @abstractmethod
    def encode_texts(self, texts: list[str]) -> Tensor:
        """Return (N, D) unit embeddings."""

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return (N, D) unit embeddings; every text is encoded once."""
        import torch

        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(new), TEXTS_AT_ONCE):
            part = new[start : start + TEXTS_AT_ONCE]
            self._texts.update(zip(part, self.encode_texts(part), strict=True))
        return torch.stack([self._texts[text] for text in texts])


class CLIPSource(Protocol):
    """Where a CLIP comes from, and for which samples it is meant."""

    @property
    def name(self) -> str:
        """In signatures: ``net:<name>``."""

    def applies(self, sample: Sample) -> bool:
        """Return false for samples outside what the network has learned; they score NaN."""

    def fingerprint(self) -> str:
        """Return 8 hex digits of the files' contents, or "missing"."""

    def load(self, device: str = "cpu") -> CLIPEncoder:
        """Return the network, one copy for all metrics of a device; raises MissingWeights."""


@dataclass(frozen=True)
class CLIPSpec:
    """Which CLIP a metric uses, and for which samples it is meant."""

    name: str
    """In signatures: ``net:<name>``."""
    folder: Path
    """Holds the configuration, the weights and the tokenizer."""
    how_to_get: str
    meant_for: Callable[[Sample], bool] = lambda sample: True
    """False for samples outside what the network has learned; they score NaN."""

    def applies(self, sample: Sample) -> bool:
        """Return whether the network has learned what the sample shows."""
        return self.meant_for(sample)

    def files(self) -> tuple[Path, ...]:
        """Return everything that decides a score: configuration, weights, tokenizer."""
        fixed = (self.folder / CONFIG, self.folder / WEIGHTS)
        tokenizer = sorted({*self.folder.glob("*.json"), *self.folder.glob("*.txt")} - {*fixed})
        return (*fixed, *tokenizer)

    def fingerprint(self) -> str:
        """Return 8 hex digits of the files' contents, or "missing"."""
        return fingerprint(self.files())

    def load(self, device: str = "cpu") -> CLIPEncoder:
        """Return the network; see :func:`load_clip`."""
        return load_clip(self, device)


def is_scene(sample: Sample) -> bool:
    """Return whether a sample comes from the scenes world."""
    return "choices" in sample.metadata


SCENES_CLIP = CLIPSpec(
    name="scenes",
    folder=PACKAGED / "scenes" / "clip",
    how_to_get="it is part of the package: install icd-bench again",
    meant_for=is_scene,
)
"""The small CLIP that is trained on the scenes world and knows nothing else."""


class CLIPNetwork(CLIPEncoder):
    """A CLIP of open_clip.

    Args:
        model: an open_clip model in evaluation mode.
        tokenize: maps texts to token ids (N, L).
        mean: of the three channels, for normalisation.
        std: of the three channels.
        size: side of the pictures that the network takes, in pixels.
        squash: whether pictures that are not square are squeezed, and not cropped at the centre.
    """

    def __init__(
        self,
        model: Any,
        tokenize: Callable[[list[str]], Tensor],
        mean: Sequence[float],
        std: Sequence[float],
        size: int,
        squash: bool,
    ) -> None:
        self.model, self.tokenize = model, tokenize
        self.mean, self.std, self.size, self.squash = mean, std, size, squash
        super().__init__()

    def images(self, images: Tensor) -> Features:
        """Return ((N, D),) unit embeddings of (N, 3, H, W) in [0, 1], resized where needed."""
        import torch

        device = next(self.model.parameters()).device
        pictures = fit(images.float().to(device), self.size, self.squash)
        mean = pictures.new_tensor(self.mean).view(3, 1, 1)
        std = pictures.new_tensor(self.std).view(3, 1, 1)
        with torch.inference_mode():
            embeddings: Tensor = self.model.encode_image((pictures - mean) / std, normalize=True)
        return (embeddings,)

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Return (N, D) unit embeddings."""
        import torch

        device = next(self.model.parameters()).device
        with torch.inference_mode():
            encoded: Tensor = self.model.encode_text(
                self.tokenize(texts).to(device), normalize=True
            )
        return encoded


def load_clip(spec: CLIPSpec, device: str = "cpu") -> CLIPNetwork:
    """Load a CLIP in float32; metrics of the same network on the same device share one copy.

    Raises:
        MissingWeights: a file is not there.
    """
    require(spec.files(), f"CLIP {spec.name}", spec.how_to_get)
    return _load_clip(spec.folder, device, spec.fingerprint())


@lru_cache(maxsize=4)
def _load_clip(folder: Path, device: str, digest: str) -> CLIPNetwork:
    """Load anew where the device or the files (``digest``) differ."""
    import open_clip

    # Where a folder has several checkpoints, open_clip takes WEIGHTS before any pickle.
    source = f"local-dir:{folder}"
    model = open_clip.create_model(source)
    config = json.loads((folder / CONFIG).read_text())
    preprocess = config.get("preprocess_cfg", {})
    return CLIPNetwork(
        model.eval().requires_grad_(False).to(device),
        open_clip.get_tokenizer(source),
        mean=preprocess.get("mean", open_clip.OPENAI_DATASET_MEAN),
        std=preprocess.get("std", open_clip.OPENAI_DATASET_STD),
        size=config["model_cfg"]["vision_cfg"]["image_size"],
        squash=preprocess.get("resize_mode", "shortest") == "squash",
    )


def fit(images: Tensor, size: int, squash: bool) -> Tensor:
    """Return (N, 3, size, size): bicubic, antialiased, clamped to [0, 1].

    Args:
        images: (N, 3, H, W) in [0, 1].
        size: in pixels.
        squash: resize both sides, instead of the shorter one with a crop at the centre.
    """
    from torch.nn.functional import interpolate

    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    shorter = min(height, width)
    resized_to = (round(height * size / shorter), round(width * size / shorter))
    if squash:
        resized_to = (size, size)
    resized = interpolate(images, resized_to, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (resized_to[0] - size) // 2, (resized_to[1] - size) // 2
    return resized[..., top : top + size, left : left + size]
