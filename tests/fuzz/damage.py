"""Files that are damaged on purpose.

Bad input of every kind ends in a clear message: never in a traceback, never in a wrong number.
More of it: ``ICD_BENCH_FUZZ=20 pytest tests/fuzz`` tries twenty times as much.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

TIMES = int(os.environ.get("ICD_BENCH_FUZZ", "1"))
Tried = Callable[[str], None]
"""Counts an input of a kind."""


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with one to eight kinds of damage."""
    for _ in range(draw.randint(1, 8)):
        if not data:
            break
        at, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        match draw.randrange(6):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + draw.randbytes(draw.randint(1, 8)) + data[at:]
            case 2:
                data = data[:at] + data[end:]
            case 3:
                data = data[:at] + data[at:end] * 2 + data[end:]
            case 4:
                data = data[:at] + draw.randbytes(min(4, len(data) - at)) + data[at + 4 :]
            case 5:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    return data


def pictures() -> Iterator[tuple[str, bytes]]:
    """Yield pictures of many kinds."""
    colours = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    plain = Image.fromarray(colours)
    kinds: dict[str, tuple[Image.Image, str]] = {
        "png": (plain, "PNG"),
        "jpeg": (plain, "JPEG"),
        "webp": (plain, "WEBP"),
        "gif": (plain.convert("P"), "GIF"),
        "tiff": (plain, "TIFF"),
        "bmp": (plain, "BMP"),
        "cmyk": (plain.convert("CMYK"), "JPEG"),
        "16 bit": (Image.fromarray(colours[..., 0].astype(np.uint16) * 257), "PNG"),
        "float": (Image.fromarray(colours[..., 0].astype(np.float32) / 255), "TIFF"),
        "transparent": (plain.convert("RGBA"), "PNG"),
        "one bit": (plain.convert("1"), "PNG"),
    }
    for name, (image, form) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, format=form)
        yield name, buffer.getvalue()
    buffer = io.BytesIO()
    plain.save(buffer, format="GIF", save_all=True, append_images=[plain.rotate(90)])
    yield "animated", buffer.getvalue()
