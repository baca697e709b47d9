"""A small copy inside a stored picture: pages show it without decoding the picture.

Decoding a PNG of 512 x 512 pixels takes about 9 ms, reading the JPEG inside it next to nothing;
making the JPEG where the pixels are at hand takes about 2 ms. It is a private ancillary chunk:
every reader skips it, and no program that changes the picture keeps it.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, PngImagePlugin

CHUNK = b"prVW"
"""Ancillary, private, not safe to copy into a changed picture (PNG, section 5.4)."""
LARGEST_WITHOUT = 128
"""Pixels of the longer side up to which a picture is its own preview."""
QUALITY = 90


def preview_chunk(picture: Image.Image) -> PngImagePlugin.PngInfo | None:
    """Return what ``Image.save`` puts into the PNG of an RGB picture; None for a small one."""
    if max(picture.size) <= LARGEST_WITHOUT or picture.mode != "RGB":
        return None
    chunk = PngImagePlugin.PngInfo()
    chunk.add(CHUNK, to_jpeg(picture))
    return chunk


def preview_in(file: Path) -> bytes | None:
    """Return the JPEG of full size inside a stored PNG, None where it has none.

    Raises:
        OSError: there is no such file, or it is no picture.
    """
    with Image.open(file) as picture:
        chunks = getattr(picture, "private_chunks", ())
    return next((data for name, data, *_ in chunks if name == CHUNK), None)


def to_jpeg(picture: Image.Image) -> bytes:
    """Return a picture as JPEG, colours at full resolution, nothing else in it."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()
