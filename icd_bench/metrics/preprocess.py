"""How pictures become the input of a published vision network: its ``preprocessor_config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .resize import resize_shorter

if TYPE_CHECKING:
    from torch import Tensor

FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class Preprocess:
    """Resize the shorter side, cut out the centre, normalise."""

    shorter: int
    """In pixels, after resizing."""
    crop: int
    """Side of the square that is cut out."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path) -> Preprocess:
        """Return what a folder's ``preprocessor_config.json`` says."""
        config: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        size, crop = config["size"], config["crop_size"]
        return cls(
            shorter=size["shortest_edge"] if isinstance(size, dict) else size,
            crop=crop["height"] if isinstance(crop, dict) else crop,
            mean=tuple(config["image_mean"]),
            std=tuple(config["image_std"]),
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Return (N, 3, crop, crop) normalised from (N, 3, H, W) in [0, 1]."""
        resized = resize_shorter(images, self.shorter)
        start = (self.shorter - self.crop) // 2
        cut = resized[..., start : start + self.crop, start : start + self.crop]
        mean, std = (cut.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (cut - mean) / std
