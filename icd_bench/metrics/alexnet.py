"""The convolutional layers of AlexNet, as a function of its weights.

Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks",
arXiv:1404.5997.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FILE = "alexnet_features.safetensors"

# Index of the convolution in the weight file -> (stride, padding, whether a pool comes before it).
_CONVOLUTIONS = {
    0: (4, 2, False),
    3: (1, 2, True),
    6: (1, 1, True),
    8: (1, 1, False),
    10: (1, 1, False),
}


def alexnet_features(images: Tensor, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the five activations after ReLU, with 64, 192, 384, 256 and 256 channels.

    Args:
        images: (N, 3, H, W), normalised as the network expects, H and W at least 31.
        weights: ``features.<index>.weight`` and ``.bias``.
    """
    from torch.nn.functional import conv2d, max_pool2d, relu

    features: list[Tensor] = []
    hidden = images
    for index, (stride, padding, pool) in _CONVOLUTIONS.items():
        weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
        if pool:
            hidden = max_pool2d(hidden, kernel_size=3, stride=2)
        hidden = relu(conv2d(hidden, weight, bias, stride=stride, padding=padding))
        features.append(hidden)
    return features
