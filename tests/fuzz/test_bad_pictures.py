"""Pictures: a sound one, or an error that names file and field."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from damage import TIMES, Tried, mutated, pictures
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from icd_bench.errors import BadSample
from icd_bench.pictures import decode_mask, decode_picture, picture_size

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
"""Pillow's own remarks about damaged files."""


def check_picture(data: bytes) -> None:
    """Decode a picture: a sound one, or an error that names file and field."""
    for read in (decode_picture, decode_mask, picture_size):
        try:
            found = read(data, "row 3, x.png", "image")
        except BadSample as error:
            assert str(error).startswith("row 3, x.png: image: ")
            assert "\n" not in str(error)
        else:
            assert not isinstance(found, np.ndarray) or found.dtype in (np.uint8, np.bool_)
            assert not isinstance(found, np.ndarray) or found.size


@pytest.mark.parametrize(("kind", "data"), list(pictures()), ids=lambda value: str(value)[:12])
def test_damaged_pictures(kind: str, data: bytes, tried: Tried) -> None:
    draw = random.Random(kind)
    check_picture(data)
    for _ in range(25 * TIMES):
        check_picture(mutated(data, draw))
        tried("pictures")


@pytest.mark.parametrize("size", [(0, 5), (100_000, 100_000), (2**31 - 1, 1), (65_536, 65_536)])
def test_pictures_that_claim_a_wrong_size(size: tuple[int, int], tried: Tried) -> None:
    """A PNG header with another width and height: a decompression bomb, or nothing at all."""
    import struct
    import zlib

    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, format="PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(BadSample):
        decode_picture(bytes(data), "x.png", "image")
    tried("pictures")


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def refused_pictures() -> dict[str, tuple[bytes, str]]:
    """Return kind -> file, and what its error must say."""
    small, other = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    moving: dict[str, Any] = {"save_all": True, "append_images": [other]}
    bomb = PngInfo()
    bomb.add_text("comment", " " * 2**26, zip=True)
    return {
        "animated PNG": (saved(small, "PNG", **moving), "2 frames"),
        "animated WebP": (saved(small, "WEBP", **moving), "2 frames"),
        "TIFF of two pages": (saved(small, "TIFF", **moving), "2 frames"),
        "108 megapixels": (saved(Image.new("1", (12_000, 9_000)), "PNG"), "megapixels"),
        "64 MB in a comment": (saved(small, "PNG", pnginfo=bomb), "decoded"),
        "EPS, a program": (saved(small, "EPS"), "not a picture"),
        "PDF": (saved(small, "PDF"), "not a picture"),
        "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
        "text": (b"a cat", "not a picture"),
        "nothing": (b"", "empty"),
        "half a JPEG": (saved(Image.effect_noise((64, 64), 90), "JPEG")[:900], "decoded"),
        "values below 0": (saved(Image.new("F", (4, 4), -1), "TIFF"), "grey values"),
    }


@pytest.mark.parametrize("kind", refused_pictures())
def test_pictures_that_are_refused(kind: str, tried: Tried) -> None:
    data, said = refused_pictures()[kind]
    with pytest.raises(BadSample, match=said):
        decode_picture(data, "x.png", "image")
    tried("pictures")
