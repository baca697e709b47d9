"""The convolutional layers of VGG16, as a function of its weights.

Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Indices of the 3x3 convolutions in the weight file, block by block; a pool parts the blocks.
_BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def vgg16_features(images: Tensor, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the last activation of each block, with 64, 128, 256, 512 and 512 channels.

    Args:
        images: (N, 3, H, W), normalised as the network expects, H and W at least 16.
        weights: ``features.<index>.weight`` and ``.bias``.
    """
    from torch.nn.functional import conv2d, max_pool2d, relu

    features: list[Tensor] = []
    hidden = images
    for block in _BLOCKS:
        if features:
            hidden = max_pool2d(hidden, kernel_size=2)
        for index in block:
            weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
            hidden = relu(conv2d(hidden, weight, bias, padding=1))
        features.append(hidden)
    return features
