"""Turns picture files of any kind into plain arrays, and says clearly when one cannot be used."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from icd_bench.errors import BadSample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: 100 megapixels are 300 MB once decoded."""
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "TGA", "JPEG2000")
"""Others are refused: some of them are programs (EPS), most are untried."""

# What Pillow's decoders were seen to raise for damaged files, format by format.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def picture_size(data: bytes, where: str, field: str) -> tuple[int, int]:
    """Return (width, height) in pixels, upright, from the file's header alone.

    Raises:
        BadSample: the file is no still picture, or is larger than ``MAX_PIXELS``.
    """
    image = _open(data, where, field)
    try:
        turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _QUARTER_TURNS
    except _DAMAGE as error:
        raise _damaged(error, where, field) from error
    return (image.height, image.width) if turned else (image.width, image.height)


def decode_picture(data: bytes, where: str, field: str) -> NDArray[np.uint8]:
    """Return a still picture as RGB (H, W, 3), upright.

    EXIF rotation is applied, transparency is laid on white, palettes, grey, 16-bit and CMYK are
    converted. Colour profiles are not applied, as nowhere in the field.

    Args:
        data: the file's bytes.
        where: file and row, for the message of an error.
        field: the column that names the file, for the message of an error.

    Raises:
        BadSample: the file is no still picture, is damaged or is larger than ``MAX_PIXELS``.
    """
    import numpy as np
    from PIL import ImageOps

    image = _open(data, where, field)
    try:
        upright = ImageOps.exif_transpose(image)
        return np.array(_to_rgb(upright), dtype=np.uint8)
    except _DAMAGE as error:
        raise _damaged(error, where, field) from error


def decode_mask(data: bytes, where: str, field: str) -> NDArray[np.bool_]:
    """Return a mask picture as (H, W), true where it is lighter than middle grey.

    Raises:
        BadSample: as for :func:`decode_picture`.
    """
    light: NDArray[np.bool_] = decode_picture(data, where, field).mean(axis=2) >= 127.5
    return light


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return the picture at ``path`` as RGB (H, W, 3), upright.

    Raises:
        BadSample: the file is missing or unusable.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadSample(str(path), "image", reason, "check the path") from error
    return decode_picture(data, str(path), "image")


def through_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) as a JPEG file with chroma subsampled 4:2:0 shows it."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)


def _open(data: bytes, where: str, field: str) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise BadSample(where, field, "the file is empty", "copy it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise _too_large(where, field) from error
    except UnidentifiedImageError as error:
        raise BadSample(
            where, field, "not a picture, or one that is damaged", "save it again as PNG or JPEG"
        ) from error
    except _DAMAGE as error:
        raise _damaged(error, where, field) from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(where, field)
    if frames > 1:
        raise BadSample(
            where, field, f"the picture has {frames} frames", "save the one you mean as PNG"
        )
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _grey_to_8_bit(image).convert("RGB")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert(
            "RGB"
        )
    return image.convert("RGB")


def _grey_to_8_bit(image: Image.Image) -> Image.Image:
    import numpy as np
    from PIL import Image

    values = np.array(image, dtype=np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(
            f"grey values go from {values.min():g} to {values.max():g}, not 0 to {top:g}"
        )
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _damaged(error: Exception, where: str, field: str) -> BadSample:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return BadSample(
        where, field, f"the picture cannot be decoded: {reason}", "save it again as PNG or JPEG"
    )


def _too_large(where: str, field: str) -> BadSample:
    return BadSample(
        where, field, f"more than {MAX_PIXELS // 10**6} megapixels", "make the picture smaller"
    )
