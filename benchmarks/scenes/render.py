"""From a scene to its picture.

Light falls from the upper left. All arithmetic is float64 and rounded once, at the end, so that
the last bits in which platforms differ do not reach the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from .backdrops import BACKDROPS, HORIZON, below, glow, paint
from .shapes import SHAPES, Part
from .world import IMAGE_SIZE, POSITIONS, Scene, Thing

Field = NDArray[np.float64]

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (214, 32, 38),
    "orange": (246, 128, 18),
    "yellow": (250, 214, 36),
    "green": (44, 158, 60),
    "cyan": (34, 200, 210),
    "blue": (38, 76, 220),
    "purple": (132, 48, 190),
    "pink": (250, 126, 186),
}
RADII = {"small": 10.0, "large": 14.5}
CENTRES = {"left": 17.0, "centre": 32.0, "right": 47.0}
GROUND = 53.0
LIGHT = (-0.5, 0.62, 0.6)
HALFWAY = (-0.32, 0.42, 0.85)
EDGE = 1.3
# A little over a half: flat areas at exactly n + 1/2 round up on every machine.
ROUNDING = 0.5 + 2.0**-20
MARGIN = {"photo": 2, "sketch": 3, "neon": 8}


@dataclass(frozen=True, slots=True)
class Variation:
    """What the caption does not say, each in [-1, 1]; `dx` and `dy` are per position."""

    horizon: float
    drift: float
    brightness: float
    scale: float
    dx: tuple[float, ...]
    dy: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """The window of a thing: pixel slices, local coordinates, radius and foot in pixels."""

    rows: slice
    columns: slice
    u: Field
    v: Field
    radius: float
    foot: tuple[float, float]


def render(scene: Scene) -> NDArray[np.uint8]:
    """The picture of a scene, (64, 64, 3) uint8 RGB."""
    variation = vary(scene.variation)
    image = _background(scene, variation)
    placed = [place(thing, variation, MARGIN[scene.style]) for thing in scene.things]
    for thing, window in zip(scene.things, placed, strict=True):
        image = _cast_shadow(image, thing, window, scene.style)
    for thing, window in zip(scene.things, placed, strict=True):
        _draw(image, thing, window, scene.style)
    return np.clip(np.floor(image + ROUNDING), 0, 255).astype(np.uint8)


def mask_of(scene: Scene, index: int) -> Field:
    """How much of each pixel thing `index` covers and no other hides: (64, 64) in [0, 1]."""
    variation = vary(scene.variation)
    visible = np.zeros((IMAGE_SIZE, IMAGE_SIZE))
    for position, thing in enumerate(scene.things):
        if position < index:
            continue
        window = place(thing, variation, MARGIN["photo"])
        cover = coverage(silhouette(thing, window), window.radius)
        region = visible[window.rows, window.columns]
        if position == index:
            region[:] = cover
        else:
            region *= 1.0 - cover
    return visible


@lru_cache(maxsize=4096)
def vary(number: int) -> Variation:
    """The shifts behind a variation number; all zero for 0."""
    if number == 0:
        return Variation(0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    digest = blake2b(f"variation {number}".encode(), digest_size=20).digest()
    x = [int.from_bytes(digest[i : i + 2], "little") / 32767.5 - 1.0 for i in range(0, 20, 2)]
    return Variation(x[0], x[1], x[2], x[3], tuple(x[4:7]), tuple(x[7:10]))


def place(thing: Thing, variation: Variation, margin: int) -> Placed:
    """Where a thing stands and the local coordinates (h, w) of the pixels within `margin` of it."""
    slot = POSITIONS.index(thing.position)
    radius = RADII[thing.size] * (1.0 + 0.05 * variation.scale)
    x = CENTRES[thing.position] + 1.2 * variation.dx[slot]
    ground = GROUND + 2.0 * variation.dy[slot]
    y = ground - radius
    reach = int(1.05 * radius) + margin
    rows = slice(max(0, int(y) - reach), min(IMAGE_SIZE, int(y) + reach + 1))
    columns = slice(max(0, int(x) - reach), min(IMAGE_SIZE, int(x) + reach + 1))
    u = (np.arange(columns.start, columns.stop) - x) / radius
    v = (y - np.arange(rows.start, rows.stop)) / radius
    grid_u, grid_v = np.meshgrid(-u if thing.facing == "left" else u, v)
    return Placed(rows, columns, grid_u, grid_v, radius, (x, ground))


def silhouette(thing: Thing, window: Placed) -> Field:
    """Signed distance (h, w) to the whole outline, in local units."""
    return _outline(SHAPES[thing.kind](window.u, window.v))


def coverage(distance: Field, radius: float) -> Field:
    """Share of each pixel inside a signed distance given in local units."""
    t = np.clip(0.5 - distance * radius / EDGE, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _background(scene: Scene, variation: Variation) -> Field:
    horizon = HORIZON + 1.5 * variation.horizon
    image = BACKDROPS[scene.background](horizon, variation.drift)
    image = image * (1.0 + 0.04 * variation.brightness)
    if scene.style == "sketch":
        grey = _dot(image, (0.3, 0.59, 0.11))
        washed = grey[..., None] + 0.65 * (image - grey[..., None])
        paper: Field = 96.0 + 0.62 * washed + np.array([2.0, 0.0, -8.0])
        return paper
    if scene.style == "neon":
        tint, floor = np.array([0.9, 0.85, 1.1]), np.array([14.0, 0.0, 30.0])
        image = 110.0 * (image / 255.0) ** 1.5 * tint + floor
        line = np.maximum(below(horizon - 1.5, 3) - below(horizon + 1.5, 3), 0.0)
        return paint(image, 0.6 * line, (226, 70, 214))
    return image


def _cast_shadow(image: Field, thing: Thing, window: Placed, style: str) -> Field:
    x, y = window.foot
    r = window.radius
    depth = {"photo": 0.42, "sketch": 0.3, "neon": 0.0}[style]
    shadow = _ended(glow(x + 0.12 * r, y - 0.02 * r, 0.95 * r, 0.26 * r))
    if style == "neon":
        return paint(image, 0.45 * shadow, PALETTE[thing.colour])
    return paint(image, depth * shadow, (30, 30, 50))


def _draw(image: Field, thing: Thing, window: Placed, style: str) -> None:
    region = image[window.rows, window.columns]
    colour = np.array(PALETTE[thing.colour])
    bright = 0.72 * colour + 0.28 * 255.0
    parts = SHAPES[thing.kind](window.u, window.v)
    if style == "neon":
        halo = _ended(np.exp(-((np.maximum(_outline(parts), 0.0) * window.radius / 3.5) ** 2)))
        region += 0.55 * halo[..., None] * (colour - region)
    for part in parts:
        body = _surface(part, thing, window, colour)
        if style == "sketch":
            body = 0.76 * body + 0.24 * np.array([250.0, 246.0, 234.0])
        elif style == "neon":
            body = 0.85 * body + np.array([4.0, 0.0, 14.0])
        region += coverage(part.distance, window.radius)[..., None] * (body - region)
        if style == "sketch":
            ink = 0.7 if part.paint is None else 0.25
            line = ink * np.exp(-((part.distance * window.radius / 0.85) ** 2))[..., None]
            region += line * (np.array([58.0, 54.0, 60.0]) - region)
        elif style == "neon" and part.paint is None:
            line = 0.85 * np.exp(-((part.distance * window.radius / 0.85) ** 2))[..., None]
            region += line * (bright - region)


def _dot(field: Field, vector: tuple[float, float, float]) -> Field:
    """(h, w, 3) with a vector: (h, w). Not BLAS, whose last bits depend on the machine."""
    a, b, c = vector
    product: Field = field[..., 0] * a + field[..., 1] * b + field[..., 2] * c
    return product


def _outline(parts: list[Part]) -> Field:
    outline: Field = np.minimum.reduce([part.distance for part in parts])
    return outline


def _ended(falloff: Field) -> Field:
    """A glow without its endless tail, so that what it touches has a clean outline."""
    return np.maximum(falloff - 0.04, 0.0) / 0.96


def _surface(part: Part, thing: Thing, window: Placed, colour: Field) -> Field:
    """Shaded colours (h, w, 3) of one part, 0 to 255."""
    normal = _normals(part)
    lambert = np.maximum(_dot(normal, LIGHT), 0.0)
    if part.paint is not None:
        painted: Field = np.array(part.paint) * (0.72 + 0.3 * lambert)[..., None]
        return painted
    across = np.abs(window.u) if thing.facing is None else window.u
    if thing.material == "metal":
        sweep = 1.1 * window.v - 0.7 * window.u + 0.25 if part.flat else 0.35 * window.v
        body = _metal(normal, sweep, colour)
    elif thing.material == "wooden":
        body = _wood(lambert, across, window, colour)
    else:
        body = colour * (0.68 + 0.4 * lambert)[..., None]
    return body * part.shade


def _normals(part: Part) -> Field:
    """Unit surface normals (h, w, 3): a flat face, or an edge rounded over `bulge`."""
    if part.normal is not None:
        return np.stack([np.broadcast_to(n, part.distance.shape) for n in part.normal], axis=-1)
    rim = 1.0 - np.clip(-part.distance / part.bulge, 0.0, 1.0)
    down, right = np.empty_like(rim), np.empty_like(rim)
    down[1:-1] = part.distance[2:] - part.distance[:-2]
    right[:, 1:-1] = part.distance[:, 2:] - part.distance[:, :-2]
    down[[0, -1]], right[:, [0, -1]] = down[[1, -2]], right[:, [1, -2]]
    length = np.maximum(np.sqrt(down**2 + right**2), 1e-9)
    tilt = 0.95 * rim / length
    facing = np.sqrt(1.0 - (0.95 * rim) ** 2)
    return np.stack([right * tilt, -down * tilt, facing], axis=-1)


def _metal(normal: Field, sweep: Field, colour: Field) -> Field:
    """A polished surface: bright sky above, a dark horizon, light from the ground, a highlight."""
    height = 0.75 * normal[..., 1] + sweep - 0.35 * normal[..., 0]
    sky = np.clip(0.5 + height * 2.2, 0.0, 1.0)
    ground = np.exp(-(((height + 0.75) / 0.3) ** 2))
    tone = 0.4 + 0.62 * sky * sky * (3.0 - 2.0 * sky) + 0.35 * ground
    shine = np.maximum(_dot(normal, HALFWAY), 0.0) ** 14 + 0.35 * np.exp(
        -(((height - 0.5) / 0.16) ** 2)
    )
    body: Field = colour * tone[..., None]
    return body + np.minimum(0.8 * shine, 0.9)[..., None] * (255.0 - body)


def _wood(lambert: Field, across: Field, window: Placed, colour: Field) -> Field:
    """Wavy grain about 5 pixels apart, stained with the colour."""
    y = window.v * window.radius
    phase = y + 1.6 * np.sin(across * 2.6 + 0.6) + 0.5 * np.sin(across * 5.0 + y * 0.3)
    grain = 0.5 + 0.5 * np.sin(phase * (2.0 * np.pi / 5.2))
    stained = 0.8 * colour + 0.2 * np.array([150.0, 104.0, 62.0])
    dark = 0.42 * stained + 0.14 * np.array([96.0, 58.0, 30.0])
    body = stained + (0.8 * grain)[..., None] * (dark - stained)
    return body * (0.72 + 0.4 * lambert)[..., None]
