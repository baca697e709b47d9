"""Pictures to squares of the model's resolution."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Fit = Literal["crop", "squash"]
"""``crop`` takes the middle square, ``squash`` the whole picture; either is then scaled to the
resolution, bilinear with antialiasing."""
FITS: tuple[Fit, ...] = ("crop", "squash")


def fit_picture(picture: NDArray[np.uint8], side: int, fit: Fit) -> Tensor:
    """Return a picture (H, W, 3) as (3, side, side), both 8 bits."""
    image = Image.fromarray(picture)
    if fit == "crop":
        width, height = image.size
        short = min(width, height)
        left, top = (width - short) // 2, (height - short) // 2
        image = image.crop((left, top, left + short, top + short))
    resized = image.resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)
