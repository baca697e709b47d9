"""The convolutional layers of SqueezeNet 1.1, as a function of its weights.

Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size", arXiv:1602.07360.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Fire modules in the weight file, slice by slice; a pool comes before each of the first three.
_SLICES = ((3, 4), (6, 7), (9,), (10,), (11,), (12,))
_POOLED_SLICES = 3


def squeezenet_features(images: Tensor, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return seven activations, with 64, 128, 256, 384, 384, 512 and 512 channels.

    Args:
        images: (N, 3, H, W), normalised as the network expects, H and W at least 17.
        weights: ``features.0.weight`` and ``.bias``, and ``features.<index>.<layer>.weight`` and
            ``.bias`` for ``squeeze``, ``expand1x1`` and ``expand3x3`` of each fire module.
    """
    from torch.nn.functional import conv2d, max_pool2d, relu

    hidden = relu(conv2d(images, weights["features.0.weight"], weights["features.0.bias"], 2))
    features = [hidden]
    for place, modules in enumerate(_SLICES):
        if place < _POOLED_SLICES:
            hidden = max_pool2d(hidden, kernel_size=3, stride=2, ceil_mode=True)
        for index in modules:
            hidden = _fire(hidden, weights, f"features.{index}")
        features.append(hidden)
    return features


def _fire(images: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    """Return what a fire module makes: fewer channels, then 1x1 and 3x3 filters side by side."""
    import torch
    from torch.nn.functional import conv2d, relu

    def convolve(values: Tensor, layer: str, padding: int = 0) -> Tensor:
        weight, bias = weights[f"{name}.{layer}.weight"], weights[f"{name}.{layer}.bias"]
        return relu(conv2d(values, weight, bias, padding=padding))

    squeezed = convolve(images, "squeeze")
    return torch.cat([convolve(squeezed, "expand1x1"), convolve(squeezed, "expand3x3", 1)], dim=1)
