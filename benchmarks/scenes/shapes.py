"""The silhouettes: each kind as a stack of parts, painted back to front.

Local coordinates: u to the right, v up, the thing spans about [-1, 1] and stands on v = -1.
Every part is a signed distance (negative inside) of the shape of its coordinate arrays.
Kinds with a facing are drawn facing right; the renderer mirrors u.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Colour = tuple[float, float, float]
Point = tuple[float, float]

INK: Colour = (38.0, 36.0, 44.0)
WHITE: Colour = (246.0, 246.0, 242.0)
CREAM: Colour = (238.0, 222.0, 196.0)
BARK: Colour = (118.0, 84.0, 58.0)
GLASS: Colour = (196.0, 222.0, 236.0)
LAMP: Colour = (255.0, 232.0, 150.0)
BEAK: Colour = (244.0, 160.0, 40.0)
TYRE: Colour = (48.0, 48.0, 56.0)
HUB: Colour = (190.0, 192.0, 198.0)


@dataclass(frozen=True, slots=True)
class Part:
    """One painted region.

    `paint` None means the thing's own colour and material. `bulge` is the depth, in local units,
    over which the surface rounds off towards its edge; `normal` states the surface instead, `flat`
    says that it is one plane, which polished material fills with a reflection.
    """

    distance: Field
    paint: Colour | None = None
    bulge: float = 0.5
    normal: tuple[Field | float, ...] | None = None
    flat: bool = False
    shade: float = 1.0


def circle(u: Field, v: Field, cu: float, cv: float, radius: float) -> Field:
    """Distance to a circle."""
    return np.sqrt((u - cu) ** 2 + (v - cv) ** 2) - radius


def ellipse(u: Field, v: Field, cu: float, cv: float, a: float, b: float) -> Field:
    """Distance to an ellipse, exact to first order at its edge."""
    x, y = (u - cu) / a, (v - cv) / b
    k = np.sqrt(x * x + y * y)
    slope = np.sqrt((x / a) ** 2 + (y / b) ** 2)
    return np.where(k < 0.3, (k - 1.0) * min(a, b), k * (k - 1.0) / np.maximum(slope, 1e-6))


def box(
    u: Field, v: Field, left: float, bottom: float, right: float, top: float, r: float = 0.0
) -> Field:
    """Rectangle with corners rounded by `r`."""
    x = np.abs(u - (left + right) / 2) - (right - left) / 2 + r
    y = np.abs(v - (bottom + top) / 2) - (top - bottom) / 2 + r
    outside: Field = np.sqrt(np.maximum(x, 0.0) ** 2 + np.maximum(y, 0.0) ** 2)
    return outside + np.minimum(np.maximum(x, y), 0.0) - r


def segment(u: Field, v: Field, a: Point, b: Point, r: float) -> Field:
    """A stroke from a to b with round ends."""
    du, dv = b[0] - a[0], b[1] - a[1]
    t = np.clip(((u - a[0]) * du + (v - a[1]) * dv) / (du * du + dv * dv), 0.0, 1.0)
    return np.sqrt((u - a[0] - t * du) ** 2 + (v - a[1] - t * dv) ** 2) - r


def polygon(u: Field, v: Field, points: list[Point], r: float = 0.0) -> Field:
    """Any simple polygon, grown by `r`."""
    p = np.asarray(points).reshape(-1, *([1] * u.ndim), 2)
    q = np.roll(p, 1, axis=0)
    edge = q - p
    wu, wv = u - p[..., 0], v - p[..., 1]
    t = np.clip((wu * edge[..., 0] + wv * edge[..., 1]) / (edge**2).sum(-1), 0.0, 1.0)
    squared = (wu - edge[..., 0] * t) ** 2 + (wv - edge[..., 1] * t) ** 2
    above, above_q = v >= p[..., 1], v >= q[..., 1]
    left = edge[..., 0] * wv > edge[..., 1] * wu
    crossings = (above & ~above_q & left) | (~above & above_q & ~left)
    inside = crossings.sum(0) % 2 == 1
    distance: Field = np.sqrt(squared.min(0))
    signed: Field = np.where(inside, -distance, distance)
    return signed - r


def union(*distances: Field, blend: float = 0.0) -> Field:
    """Union; `blend` rounds the crease between the shapes."""
    result = distances[0]
    for other in distances[1:]:
        if blend:
            h = np.maximum(blend - np.abs(result - other), 0.0) / blend
            result = np.minimum(result, other) - h * h * blend / 4
        else:
            result = np.minimum(result, other)
    return result


def dome_normal(u: Field, v: Field, cu: float, cv: float, radius: float) -> tuple[Field, ...]:
    """The normals of a sphere, whatever the outline that is cut out of it."""
    x, y = (u - cu) / radius, (v - cv) / radius
    shrink = 0.97 / np.maximum(np.sqrt(x * x + y * y), 0.97)
    x, y = x * shrink, y * shrink
    return x, y, np.sqrt(1.0 - x * x - y * y)


def ball(u: Field, v: Field) -> list[Part]:
    """A sphere."""
    return [Part(circle(u, v, 0.0, -0.06, 0.94), bulge=0.94)]


def car(u: Field, v: Field) -> list[Part]:
    """A hatchback with its bonnet in front."""
    cabin = polygon(u, v, [(-0.9, -0.1), (-0.74, 0.42), (0.0, 0.42), (0.36, -0.1)], 0.06)
    back = [(-0.74, -0.02), (-0.64, 0.3), (-0.36, 0.3), (-0.36, -0.02)]
    front = [(-0.2, -0.02), (-0.2, 0.3), (-0.06, 0.3), (0.16, -0.02)]
    body = box(u, v, -1.02, -0.76, 1.02, 0.02, 0.24)
    return [
        Part(union(cabin, body, blend=0.12), bulge=0.4),
        Part(polygon(u, v, back, 0.03), GLASS),
        Part(polygon(u, v, front, 0.03), GLASS),
        Part(ellipse(u, v, 0.88, -0.28, 0.14, 0.15), LAMP),
        Part(circle(u, v, -0.54, -0.72, 0.29), TYRE, bulge=0.2),
        Part(circle(u, v, -0.54, -0.72, 0.13), HUB),
        Part(circle(u, v, 0.54, -0.72, 0.29), TYRE, bulge=0.2),
        Part(circle(u, v, 0.54, -0.72, 0.13), HUB),
    ]


def cat(u: Field, v: Field) -> list[Part]:
    """A sitting cat, its tail behind it."""
    tail = union(
        segment(u, v, (-0.4, -0.86), (-0.84, -0.7), 0.13),
        segment(u, v, (-0.84, -0.7), (-0.86, -0.1), 0.12),
        blend=0.1,
    )
    hips, chest = ellipse(u, v, -0.12, -0.56, 0.5, 0.46), ellipse(u, v, 0.1, -0.2, 0.34, 0.5)
    body = union(hips, chest, blend=0.2)
    paws = segment(u, v, (0.0, -0.9), (0.42, -0.9), 0.1)
    head = union(
        ellipse(u, v, 0.3, 0.42, 0.47, 0.4),
        polygon(u, v, [(-0.1, 0.5), (-0.06, 0.98), (0.28, 0.7)], 0.02),
        polygon(u, v, [(0.34, 0.7), (0.66, 0.98), (0.7, 0.5)], 0.02),
    )
    return [
        Part(tail, bulge=0.14, shade=0.86),
        Part(union(body, paws, blend=0.1), bulge=0.4, shade=0.94),
        Part(head, bulge=0.4),
        Part(ellipse(u, v, 0.24, 0.46, 0.085, 0.11), INK),
        Part(ellipse(u, v, 0.58, 0.46, 0.075, 0.11), INK),
        Part(ellipse(u, v, 0.5, 0.25, 0.16, 0.1), WHITE),
    ]


def cube(u: Field, v: Field) -> list[Part]:
    """A cube seen from its upper right."""
    front = [(-0.86, -1.0), (0.36, -1.0), (0.36, 0.22), (-0.86, 0.22)]
    top = [(-0.86, 0.22), (0.36, 0.22), (0.88, 0.68), (-0.34, 0.68)]
    side = [(0.36, -1.0), (0.88, -0.54), (0.88, 0.68), (0.36, 0.22)]
    return [
        Part(polygon(u, v, side, 0.03), normal=(0.75, -0.15, 0.64), flat=True, shade=0.8),
        Part(polygon(u, v, top, 0.03), normal=(-0.15, 0.9, 0.4), flat=True, shade=1.12),
        Part(polygon(u, v, front, 0.03), normal=(-0.1, 0.05, 0.99), flat=True),
    ]


def duck(u: Field, v: Field) -> list[Part]:
    """A bath duck."""
    body = union(
        ellipse(u, v, -0.06, -0.5, 0.84, 0.5),
        polygon(u, v, [(-0.94, 0.08), (-0.84, -0.5), (-0.3, -0.3)], 0.04),
        blend=0.12,
    )
    beak = polygon(u, v, [(0.66, 0.46), (1.0, 0.26), (0.66, 0.16)], 0.06)
    return [
        Part(body, bulge=0.5),
        Part(beak, BEAK, bulge=0.2),
        Part(circle(u, v, 0.38, 0.42, 0.44), bulge=0.44),
        Part(ellipse(u, v, -0.2, -0.42, 0.4, 0.24), bulge=0.3, shade=0.8),
        Part(circle(u, v, 0.5, 0.54, 0.1), INK),
    ]


def fish(u: Field, v: Field) -> list[Part]:
    """A fish that floats just above the ground."""
    tail = polygon(u, v, [(-0.4, -0.2), (-0.94, 0.28), (-0.84, -0.2), (-0.94, -0.68)], 0.05)
    fin = polygon(u, v, [(-0.25, 0.1), (-0.1, 0.5), (0.3, 0.46), (0.4, 0.1)], 0.05)
    return [
        Part(union(tail, fin), bulge=0.3, shade=0.78),
        Part(ellipse(u, v, 0.16, -0.2, 0.78, 0.5), bulge=0.5),
        Part(polygon(u, v, [(-0.3, -0.2), (0.04, -0.12), (-0.18, -0.48)], 0.05), shade=0.76),
        Part(circle(u, v, 0.56, -0.08, 0.16), WHITE),
        Part(circle(u, v, 0.6, -0.08, 0.09), INK),
    ]


def heart(u: Field, v: Field) -> list[Part]:
    """A heart on its tip."""
    x, y = np.abs(u) * 0.6, (v + 1.0) * 0.56
    lobe = np.sqrt((x - 0.25) ** 2 + (y - 0.75) ** 2) - np.sqrt(2.0) / 4
    s = np.maximum(x + y, 0.0) / 2
    tip = np.minimum(x**2 + (y - 1.0) ** 2, (x - s) ** 2 + (y - s) ** 2)
    return [Part(np.where(x + y > 1.0, lobe, np.sqrt(tip) * np.sign(x - y)) / 0.58, bulge=0.6)]


def house(u: Field, v: Field) -> list[Part]:
    """A hut with a door, a lit window and a chimney."""
    roof = polygon(u, v, [(-0.94, 0.1), (0.0, 0.88), (0.94, 0.1)], 0.07)
    return [
        Part(box(u, v, 0.36, 0.3, 0.62, 0.9), BARK, bulge=0.1),
        Part(box(u, v, -0.74, -1.0, 0.74, 0.16, 0.03), normal=(-0.1, 0.05, 0.99), flat=True),
        Part(roof, normal=(0.2, 0.35, 0.9), flat=True, shade=0.66),
        Part(box(u, v, -0.52, -1.0, -0.14, -0.34, 0.05), BARK, bulge=0.1),
        Part(box(u, v, 0.14, -0.66, 0.54, -0.22, 0.04), LAMP, bulge=0.1),
    ]


def mug(u: Field, v: Field) -> list[Part]:
    """A mug of cocoa, the handle always on the right."""
    ring = np.abs(ellipse(u, v, 0.42, -0.2, 0.44, 0.4)) - 0.11
    cup = union(box(u, v, -0.8, -1.0, 0.44, 0.5, 0.16), ellipse(u, v, -0.18, 0.5, 0.62, 0.2))
    round_x = np.clip((u + 0.18) / 0.66, -0.95, 0.95)
    return [
        Part(ring, bulge=0.11, shade=0.86),
        Part(cup, normal=(round_x, 0.0, np.sqrt(1.0 - round_x**2))),
        Part(ellipse(u, v, -0.18, 0.5, 0.5, 0.125), (92.0, 62.0, 48.0), bulge=0.3),
    ]


def mushroom(u: Field, v: Field) -> list[Part]:
    """A spotted cap on a pale stem."""
    dome = np.maximum(ellipse(u, v, 0.0, -0.06, 0.96, 0.94), -(v + 0.06))
    cap = union(dome, ellipse(u, v, 0.0, -0.06, 0.96, 0.2))
    return [
        Part(box(u, v, -0.32, -1.0, 0.32, 0.1, 0.16), CREAM, bulge=0.32),
        Part(cap, normal=dome_normal(u, v, 0.0, -0.06, 1.08)),
        Part(ellipse(u, v, -0.42, 0.22, 0.2, 0.17), WHITE),
        Part(ellipse(u, v, 0.14, 0.5, 0.2, 0.16), WHITE),
        Part(ellipse(u, v, 0.54, 0.1, 0.16, 0.15), WHITE),
    ]


def star(u: Field, v: Field) -> list[Part]:
    """A star with five points."""
    turn = np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.46)
    points = list(zip(radius * np.cos(turn), radius * np.sin(turn) - 0.1, strict=True))
    return [Part(polygon(u, v, points, 0.06), bulge=0.4)]


def tree(u: Field, v: Field) -> list[Part]:
    """A leafy crown in the colour of the thing, on a brown trunk."""
    trunk = [(-0.13, 0.0), (0.13, 0.0), (0.22, -0.97), (-0.22, -0.97)]
    crown = union(
        circle(u, v, -0.48, 0.02, 0.4),
        circle(u, v, 0.48, 0.02, 0.4),
        circle(u, v, 0.0, -0.04, 0.44),
        circle(u, v, -0.26, 0.48, 0.4),
        circle(u, v, 0.26, 0.48, 0.4),
        blend=0.12,
    )
    return [
        Part(polygon(u, v, trunk, 0.03), BARK, bulge=0.2),
        Part(crown, normal=dome_normal(u, v, 0.0, 0.2, 1.02)),
    ]


SHAPES: dict[str, Callable[[Field, Field], list[Part]]] = {
    shape.__name__: shape
    for shape in (ball, car, cat, cube, duck, fish, heart, house, mug, mushroom, star, tree)
}
