"""Damaged picture files give one clear error, whatever is damaged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icd_bench.errors import BadSample
from icd_bench.pictures import decode_mask, decode_picture, picture_size, read_picture

PHOTO = Path(__file__).parent / "data" / "photos" / "cat.jpg"
FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM")


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if form in ("PNG", "JPEG", "WEBP") else {}
    Image.open(PHOTO).resize((32, 24)).save(buffer, form, **options)
    return buffer.getvalue()


FILES = {form: encoded(form) for form in FORMATS}


def problem_with(data: bytes) -> str:
    """Return what is said of a file, or an empty string where it is a proper picture."""
    try:
        width, height = picture_size(data, "row 1", "image")
        assert decode_picture(data, "row 1", "image").shape == (height, width, 3)
    except BadSample as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    keep=st.floats(0, 1),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
)
def test_a_damaged_file_decodes_or_is_one_clear_line(
    form: str, keep: float, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(FILES[form])
    for place, value in changes:
        data[place % len(data)] = value
    problem = problem_with(bytes(data[: max(1, round(keep * len(data)))]))
    assert not problem or problem.startswith("row 1: image: ")
    assert "\n" not in problem


@pytest.mark.parametrize("form", FORMATS)
def test_size_is_the_size_of_the_decoded_picture(form: str) -> None:
    width, height = picture_size(FILES[form], "", "")
    assert decode_picture(FILES[form], "", "").shape == (height, width, 3)
    turned = form in ("PNG", "JPEG", "WEBP")
    assert (width, height) == ((24, 32) if turned else (32, 24))


def test_grey_values_out_of_range_are_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 300.0, np.float32)).save(buffer, "TIFF")
    with pytest.raises(BadSample, match="grey values go from 300 to 300, not 0 to 1"):
        decode_picture(buffer.getvalue(), "row 1", "image")


def test_masks_of_any_mode() -> None:
    expected = np.arange(16).reshape(4, 4) % 3 == 0
    grey = Image.fromarray(expected.astype(np.uint8) * 255)
    for mode in ("1", "L", "RGB", "RGBA", "P"):
        buffer = io.BytesIO()
        grey.convert(mode).save(buffer, "PNG")
        assert np.array_equal(decode_mask(buffer.getvalue(), "", ""), expected)


def test_read_picture_names_the_path(tmp_path: Path) -> None:
    assert read_picture(PHOTO).shape == (288, 384, 3)
    with pytest.raises(BadSample, match=r"none\.png: image: No such file"):
        read_picture(tmp_path / "none.png")
