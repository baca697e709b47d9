"""Pictures at the size that a network takes, as Pillow makes them.

Networks were trained and published with Pillow's antialiased filters on 8-bit levels. torch has the
same fixed-point arithmetic for 8-bit pictures on a processor, so it is done there, whatever the
device, on whole batches: the levels are Pillow's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (N, C, *size) in [0, 1]: bicubic, antialiased, in 8-bit levels.

    Args:
        images: (N, C, H, W) in [0, 1].
        size: height and width in pixels; pictures that have it are not touched.
    """
    import torch
    from torch.nn.functional import interpolate

    if tuple(images.shape[-2:]) == size:
        return images.float()
    levels = images.mul(255).round().clamp(0, 255).to("cpu", torch.uint8)
    resized = interpolate(levels, size, mode="bicubic", antialias=True)
    return resized.to(images.device).float().div_(255)


def resize_shorter(images: Tensor, side: int) -> Tensor:
    """Return (N, C, side, side): the shorter side resized, then the centre cut out."""
    height, width = images.shape[-2:]
    shorter = min(height, width)
    resized = resize(images, (int(side * height / shorter), int(side * width / shorter)))
    top, left = ((length - side) // 2 for length in resized.shape[-2:])
    return resized[..., top : top + side, left : left + side]
