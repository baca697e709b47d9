"""Inception V3 as FID uses it: the network of 2015-12-05, up to its 2048 pooled features.

Szegedy et al. 2015, "Rethinking the Inception architecture for computer vision",
arXiv:1512.00567. The published weights come from a graph that leaves padding out of its average
pools and has a maximum in the pool of the last block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-3
"""Of the batch normalisation."""
SIDE = 299

Branch = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True)
class Inception:
    """The network as a function of its weights.

    Args:
        weights: named as in torchvision: ``Mixed_5b.branch1x1.conv.weight`` ..
    """

    weights: Mapping[str, Tensor]

    def features(self, images: Tensor) -> Tensor:
        """Return (N, 2048) of (N, 3, 299, 299) in [-1, 1]."""
        from torch.nn.functional import max_pool2d

        hidden = self._unit("Conv2d_1a_3x3", images, stride=2)
        hidden = self._unit("Conv2d_2a_3x3", hidden)
        hidden = self._unit("Conv2d_2b_3x3", hidden, padding=(1, 1))
        hidden = max_pool2d(hidden, 3, stride=2)
        hidden = self._unit("Conv2d_3b_1x1", hidden)
        hidden = self._unit("Conv2d_4a_3x3", hidden)
        hidden = max_pool2d(hidden, 3, stride=2)
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            hidden = self._block_35(name, hidden)
        hidden = self._to_17("Mixed_6a", hidden)
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            hidden = self._block_17(name, hidden)
        hidden = self._to_8("Mixed_7a", hidden)
        hidden = self._block_8("Mixed_7b", hidden, _mean_pool)
        hidden = self._block_8("Mixed_7c", hidden, _max_pool)
        return hidden.mean(dim=(2, 3))

    def _block_35(self, name: str, images: Tensor) -> Tensor:
        return _beside(
            self._chain(name, images, "branch1x1"),
            self._chain(name, images, "branch5x5_1", "branch5x5_2"),
            self._chain(name, images, *_numbered("branch3x3dbl_", 3)),
            self._chain(name, _mean_pool(images), "branch_pool"),
        )

    def _to_17(self, name: str, images: Tensor) -> Tensor:
        *before, last = _numbered("branch3x3dbl_", 3)
        double = self._chain(name, images, *before)
        return _beside(
            self._unit(f"{name}.branch3x3", images, stride=2),
            self._unit(f"{name}.{last}", double, stride=2),
            _halved(images),
        )

    def _block_17(self, name: str, images: Tensor) -> Tensor:
        return _beside(
            self._chain(name, images, "branch1x1"),
            self._chain(name, images, *_numbered("branch7x7_", 3)),
            self._chain(name, images, *_numbered("branch7x7dbl_", 5)),
            self._chain(name, _mean_pool(images), "branch_pool"),
        )

    def _to_8(self, name: str, images: Tensor) -> Tensor:
        narrow = self._chain(name, images, "branch3x3_1")
        wide = self._chain(name, images, *_numbered("branch7x7x3_", 3))
        return _beside(
            self._unit(f"{name}.branch3x3_2", narrow, stride=2),
            self._unit(f"{name}.branch7x7x3_4", wide, stride=2),
            _halved(images),
        )

    def _block_8(self, name: str, images: Tensor, pool: Branch) -> Tensor:
        single = self._chain(name, images, "branch3x3_1")
        double = self._chain(name, images, *_numbered("branch3x3dbl_", 2))
        return _beside(
            self._chain(name, images, "branch1x1"),
            self._chain(name, single, "branch3x3_2a"),
            self._chain(name, single, "branch3x3_2b"),
            self._chain(name, double, "branch3x3dbl_3a"),
            self._chain(name, double, "branch3x3dbl_3b"),
            self._chain(name, pool(images), "branch_pool"),
        )

    def _chain(self, name: str, images: Tensor, *units: str) -> Tensor:
        """Return what units make one after the other, at the same size."""
        for unit in units:
            height, width = self.weights[f"{name}.{unit}.conv.weight"].shape[-2:]
            images = self._unit(f"{name}.{unit}", images, padding=(height // 2, width // 2))
        return images

    def _unit(
        self, name: str, images: Tensor, stride: int = 1, padding: tuple[int, int] = (0, 0)
    ) -> Tensor:
        """Return a convolution without bias, normalised and rectified."""
        from torch.nn.functional import batch_norm, conv2d, relu

        hidden = conv2d(images, self.weights[f"{name}.conv.weight"], None, stride, padding)
        mean, variance, weight, bias = (
            self.weights[f"{name}.bn.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return relu(batch_norm(hidden, mean, variance, weight, bias, eps=EPSILON))


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}{number}" for number in range(1, count + 1)]


def _beside(*parts: Tensor) -> Tensor:
    import torch

    return torch.cat(parts, dim=1)


def _mean_pool(images: Tensor) -> Tensor:
    from torch.nn.functional import avg_pool2d

    return avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)


def _max_pool(images: Tensor) -> Tensor:
    from torch.nn.functional import max_pool2d

    return max_pool2d(images, 3, stride=1, padding=1)


def _halved(images: Tensor) -> Tensor:
    from torch.nn.functional import max_pool2d

    return max_pool2d(images, 3, stride=2)
