"""The six backgrounds: smooth pictures without fine grain, muted so that things stand out.

Rows Y (64, 1) and columns X (1, 64) are kept apart as long as nothing mixes them. Each backdrop
is a function of two shifts in [-1, 1] that come from the variation of
the scene: the height of the horizon and a sideways drift.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .world import IMAGE_SIZE

Image = NDArray[np.float64]
Field = NDArray[np.float64]
Colour = tuple[float, float, float]

HORIZON = 37.0

_AXIS = np.arange(IMAGE_SIZE, dtype=np.float64)
X = _AXIS[None, :]
Y = _AXIS[:, None]


def paint(image: Image, cover: Field, colour: Colour | Image) -> Image:
    """Lay a colour over an image where `cover` in [0, 1] says; the shapes broadcast."""
    return image + cover[..., None] * (np.asarray(colour) - image)


def ramp(low: float, high: float, first: Colour, last: Colour) -> Image:
    """A vertical gradient (64, 1, 3) from `first` at row `low` to `last` at row `high`."""
    t = np.clip((Y - low) / (high - low), 0.0, 1.0)[..., None]
    return np.asarray(first) * (1.0 - t) + np.asarray(last) * t


def below(edge: Field | float, soft: float = 1.6) -> Field:
    """1 under a line y = edge (pixels from the top), 0 above, `soft` pixels between."""
    t = np.clip((Y - edge) / soft + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def glow(x: float, y: float, a: float, b: float) -> Field:
    """A soft elliptic spot, 1 at (x, y): (64, 64)."""
    return np.exp(-(((X - x) / a) ** 2)) * np.exp(-(((Y - y) / b) ** 2))


def disc(x: float, y: float, radius: float) -> Field:
    """A round spot with a soft edge: (64, 64)."""
    return np.clip((radius - np.sqrt((X - x) ** 2 + (Y - y) ** 2)) / 1.8 + 0.5, 0.0, 1.0)


def beach(horizon: float, drift: float) -> Image:
    """Clouds over sea and sand."""
    image = ramp(0, horizon - 8, (142, 198, 236), (214, 236, 246))
    image = paint(image, 0.75 * glow(16 + 8 * drift, 10, 10, 3.2), (252, 253, 255))
    image = paint(image, 0.65 * glow(47 + 6 * drift, 16, 12, 2.8), (252, 253, 255))
    sea = ramp(horizon - 7, horizon + 4, (74, 150, 186), (128, 202, 208))
    image = paint(image, below(horizon - 7), sea)
    shore = horizon + 3 + 1.5 * np.sin(X / 9.0 + 2.0 * drift)
    image = paint(image, below(shore - 1.5, 2.4), (238, 246, 244))
    sand = ramp(horizon, 63, (240, 222, 180), (214, 188, 138))
    return paint(image, below(shore + 1.5, 2.6), sand)


def forest(horizon: float, drift: float) -> Image:
    """Trunks in the haze under leaves."""
    image = ramp(0, horizon, (112, 150, 118), (190, 208, 172))
    trunks = np.zeros_like(X)
    for place, width in ((4, 2.6), (17, 2.0), (29, 2.3), (43, 2.0), (57, 2.8)):
        trunks = np.maximum(trunks, np.exp(-(((X - place - 3 * drift) / width) ** 2)))
    image = paint(image, 0.72 * trunks, (92, 88, 74))
    leaves = 9 + 3.0 * np.sin(X / 6.5 + 3 * drift) + 1.5 * np.sin(X / 3.7 + 1.0)
    image = paint(image, 0.9 * (1 - below(leaves, 4.0)), (66, 102, 74))
    moss = ramp(horizon, 63, (122, 138, 84), (84, 98, 58))
    return paint(image, below(horizon + 0.8 * np.sin(X / 7 + drift), 3), moss)


def desert(horizon: float, drift: float) -> Image:
    """Dunes under a low sun."""
    image = ramp(0, horizon, (238, 178, 132), (254, 230, 190))
    image = paint(image, 0.9 * disc(50 + 5 * drift, 12, 6), (255, 246, 214))
    far = horizon - 5 + 4.5 * np.sin(X / 13.0 + 1.0 + 1.5 * drift)
    image = paint(image, below(far, 2), (206, 142, 98))
    near = horizon + 2 + 2.5 * np.sin(X / 17.0 + 3.6 - drift)
    return paint(image, below(near, 2), ramp(horizon, 63, (232, 182, 128), (200, 148, 98)))


def city(horizon: float, drift: float) -> Image:
    """Grey blocks along a street."""
    image = ramp(0, horizon, (166, 180, 206), (226, 222, 224))
    blocks = (
        (-3, 9, 15, (142, 150, 170)), (30, 41, 10, (142, 150, 170)), (51, 60, 17, (142, 150, 170)),
        (7, 17, 8, (112, 120, 142)), (20, 31, 20, (118, 126, 148)), (41, 52, 14, (108, 116, 138)),
        (59, 70, 9, (112, 120, 142)),
    )  # fmt: skip
    for left, right, top, colour in blocks:
        across = (right - left) / 2 - np.abs(X - (left + right) / 2 - 2 * drift)
        image = paint(image, np.clip(across / 1.6 + 0.5, 0, 1) * below(float(top)), colour)
    image = paint(image, below(horizon), (192, 190, 188))
    return paint(image, below(horizon + 4), ramp(horizon + 4, 63, (128, 130, 138), (96, 98, 108)))


def snow(horizon: float, drift: float) -> Image:
    """Mountains behind a white plain."""
    image = ramp(0, horizon, (168, 194, 224), (226, 234, 244))
    peaks = 20 + 0.55 * np.abs(((X + 9 + 4 * drift) % 36) - 18)
    image = paint(image, below(peaks), ramp(18, horizon, (226, 234, 246), (150, 170, 204)))
    hill = horizon - 2 + 2.0 * np.sin(X / 11.0 + 2 * drift)
    image = paint(image, below(hill, 2), (226, 234, 246))
    plain = ramp(horizon, 63, (248, 250, 253), (214, 226, 242))
    return paint(image, below(horizon + 4 - 1.5 * np.sin(X / 14.0), 4), plain)


def night(horizon: float, drift: float) -> Image:
    """Moon and stars over dark hills."""
    image = ramp(0, horizon, (14, 18, 52), (58, 56, 106))
    image = paint(image, 0.35 * glow(49 + 5 * drift, 12, 13, 13), (150, 160, 210))
    image = paint(image, disc(49 + 5 * drift, 12, 5.5), (242, 240, 216))
    for x, y in ((6, 8), (17, 17), (25, 6), (34, 14)):
        image = paint(image, 0.8 * glow(x + 3 * drift, y, 1.3, 1.3), (236, 238, 255))
    hill = horizon - 3 + 3.0 * np.sin(X / 12.0 + 0.5 + 1.5 * drift)
    image = paint(image, below(hill, 2), (28, 32, 60))
    return paint(image, below(horizon + 3, 3), ramp(horizon, 63, (48, 54, 82), (34, 38, 60)))


BACKDROPS: dict[str, Callable[[float, float], Image]] = {
    backdrop.__name__: backdrop for backdrop in (beach, forest, desert, city, snow, night)
}
