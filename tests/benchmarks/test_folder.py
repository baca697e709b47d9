"""A folder of photos: every kind of file, and one clear line for every mistake."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from icd_bench.api import Benchmark, BlendWords, Sample
from icd_bench.benchmarks.folder import Folder
from icd_bench.errors import BadSample, UsageError

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
SOURCE, TARGET = "a cat beside a mirror", "a dog beside a mirror"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for photo in PHOTOS.glob("*.jpg"):
        shutil.copy(photo, tmp_path)
    return tmp_path


def write_csv(folder: Path, *rows: str, header: str = "image,source,target") -> Path:
    (folder / "prompts.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def write_rows(folder: Path, *rows: dict[str, Any]) -> Path:
    lines = [json.dumps(row) for row in rows]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def row(**changes: Any) -> dict[str, Any]:
    return {"image": "cat.jpg", "source": SOURCE, "target": TARGET, **changes}


def good(folder: Path) -> list[Sample]:
    found = list(Folder(str(folder)).samples())
    samples = [sample for sample in found if isinstance(sample, Sample)]
    assert samples == found
    return samples


def bad(folder: Path) -> list[BadSample]:
    return [sample for sample in Folder(str(folder)).samples() if isinstance(sample, BadSample)]


def test_it_is_a_benchmark(album: Path) -> None:
    assert isinstance(Folder(str(write_csv(album))), Benchmark)


def test_reads_two_photos(album: Path) -> None:
    write_csv(album, f"cat.jpg,{SOURCE},{TARGET}", "horse.jpg,a horse in mud,a horse in snow")
    cat, horse = good(album)
    assert (cat.source_prompt, cat.target_prompt) == (SOURCE, TARGET)
    assert cat.read_image().shape == (288, 384, 3)
    assert horse.read_image().shape == (256, 192, 3)
    assert cat.id.startswith("cat-")
    assert cat.digest != horse.digest


def test_all_columns(album: Path) -> None:
    mask = np.zeros((288, 384), np.uint8)
    mask[50:100, 200:300] = 255
    Image.fromarray(mask).save(album / "mask.png")
    write_rows(
        album,
        row(id="one", blend_source="cat", blend_target=["dog"], mask="mask.png", category="pets"),
        row(id="two", blended_words=["cat,dog", ["mirror", "mirror"]], photographer="Ann"),
        row(id=3, blended_words="cat dog", source="a [cat] beside a mirror"),
    )
    one, two, three = good(album)
    assert one.blend_words == BlendWords(("cat",), ("dog",))
    assert one.category == "pets"
    assert one.read_mask is not None
    assert np.array_equal(one.read_mask(), mask > 0)
    assert two.blend_words == BlendWords(("cat", "mirror"), ("dog", "mirror"))
    assert two.metadata["photographer"] == "Ann"
    assert three.id == "3"
    assert three.source_prompt == SOURCE
    assert three.metadata["source_bracketed"] == "a [cat] beside a mirror"
    assert three.blend_words == BlendWords(("cat",), ("dog",))


# --------------------------------------------------------------------------- kinds of pictures


def photo() -> Image.Image:
    return Image.open(PHOTOS / "cat.jpg").convert("RGB")


def rgba(image: Image.Image) -> Image.Image:
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def grey_alpha(image: Image.Image) -> Image.Image:
    return rgba(image).convert("LA")


def palette(image: Image.Image) -> Image.Image:
    return image.quantize(256)


def grey_16(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def grey_float(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255)


def converted(mode: str) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.convert(mode)


KINDS: dict[
    str, tuple[str, Callable[[Image.Image], Image.Image], Callable[..., Image.Image], float]
] = {
    "rgb png": ("png", converted("RGB"), converted("RGB"), 0),
    "grey": ("png", converted("L"), converted("L"), 0),
    "black and white": ("png", converted("1"), converted("1"), 0),
    "palette": ("png", palette, converted("RGB"), 8),
    "gif": ("gif", palette, converted("RGB"), 8),
    "16-bit grey": ("png", grey_16, converted("L"), 0),
    "16-bit tiff": ("tiff", grey_16, converted("L"), 0),
    "float tiff": ("tiff", grey_float, converted("L"), 0),
    "cmyk jpeg": ("jpg", converted("CMYK"), converted("RGB"), 4),
    "grey jpeg": ("jpg", converted("L"), converted("L"), 4),
    "webp": ("webp", converted("RGB"), converted("RGB"), 6),
    "bmp": ("bmp", converted("RGB"), converted("RGB"), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_the_same_rgb(album: Path, kind: str) -> None:
    suffix, make, expect, tolerance = KINDS[kind]
    make(photo()).save(album / f"made.{suffix}")
    (sample,) = good(write_csv(album, f"made.{suffix},{SOURCE},{TARGET}"))
    pixels = sample.read_image()
    expected = np.asarray(expect(photo()).convert("RGB")).astype(float)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels - expected).mean() <= tolerance


@pytest.mark.parametrize("make", [rgba, grey_alpha])
def test_transparency_lies_on_white(
    album: Path, make: Callable[[Image.Image], Image.Image]
) -> None:
    image = make(photo())
    image.save(album / "clear.png")
    (sample,) = good(write_csv(album, f"clear.png,{SOURCE},{TARGET}"))
    alpha = np.asarray(image.getchannel("A")).astype(float)[..., None] / 255
    colours = np.asarray(image.convert("RGB")).astype(float)
    assert np.abs(sample.read_image() - (colours * alpha + 255 * (1 - alpha))).max() <= 2


def test_a_transparent_colour_of_a_palette_is_white(album: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(album / "icon.png", transparency=1)
    (sample,) = good(write_csv(album, f"icon.png,{SOURCE},{TARGET}"))
    assert sample.read_image().tolist() == [
        [[255, 0, 0], [255, 255, 255]],
        [[255, 255, 255], [255, 0, 0]],
    ]


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_rotation_is_applied(
    album: Path, orientation: int, undo: Image.Transpose | None
) -> None:
    upright = photo()
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(album / "turned.png", exif=exif)
    Image.new("L", upright.size, 255).save(album / "mask.png")
    write_rows(album, row(image="turned.png", mask="mask.png"))
    (sample,) = good(album)
    assert np.array_equal(sample.read_image(), np.asarray(upright))


# --------------------------------------------------------------------------- digests


def test_digest_covers_picture_prompts_words_and_mask(album: Path) -> None:
    for name, value in (("white", 255), ("black", 0)):
        Image.new("L", (384, 288), value).save(album / f"{name}.png")
    variants = [
        row(),
        row(target="a fox beside a mirror"),
        row(source="a kitten beside a mirror"),
        row(image="horse.jpg"),
        row(blend_source="cat"),
        row(blend_target="cat"),
        row(mask="white.png"),
        row(mask="black.png"),
    ]
    write_rows(album, *(row | {"id": str(i)} for i, row in enumerate(variants)))
    assert len({sample.digest for sample in good(album)}) == len(variants)


def test_digest_ignores_id_category_and_file_name(album: Path) -> None:
    shutil.copy(album / "cat.jpg", album / "copy.jpg")
    write_rows(album, row(id="a"), row(id="b", image="copy.jpg", category="pets"))
    a, b = good(album)
    assert a.digest == b.digest


def test_a_picture_that_changes_later_is_refused(album: Path) -> None:
    (sample,) = good(write_csv(album, f"cat.jpg,{SOURCE},{TARGET}"))
    shutil.copy(album / "horse.jpg", album / "cat.jpg")
    with pytest.raises(BadSample, match="has changed"):
        sample.read_image()


def test_moving_rows_renames_none(album: Path) -> None:
    rows = [row(), row(target="a fox beside a mirror"), row(image="horse.jpg")]
    forwards = {sample.id for sample in good(write_rows(album, *rows))}
    assert {sample.id for sample in good(write_rows(album, *rows[::-1]))} == forwards
    assert len(forwards) == 3


# --------------------------------------------------------------------------- mistakes


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def bomb(path: Path, side: int) -> None:
    """Write a few bytes that claim to be a picture of many megapixels."""
    Image.new("1", (8, 8)).save(path)
    data = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])


def truncated(path: Path) -> None:
    path.write_bytes((PHOTOS / "cat.jpg").read_bytes()[:9000])


def text(path: Path) -> None:
    path.write_text("<html>not a picture</html>")


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"image": ""}, "image", "no file is named"),
        ({"image": "cta.jpg"}, "image", 'no such file .*Did you mean "cat.jpg"'),
        ({"image": "../cat.jpg"}, "image", "outside the folder"),
        ({"image": "/etc/passwd"}, "image", "outside the folder"),
        ({"image": "."}, "image", "outside the folder"),
        ({"image": "a\0b"}, "image", "no file name"),
        ({"image": "x" * 5000}, "image", "cannot be read|no file name"),
        ({"image": ["cat.jpg"]}, "image", "is not text"),
        ({"source": " \n "}, "source", "prompt is empty"),
        ({"target": "[]"}, "target", "prompt is empty"),
        ({"target": None}, "target", "prompt is empty"),
        ({"mask": "none.png"}, "mask", "no such file"),
        ({"mask": "horse.jpg"}, "mask", "is 192x256 pixels, the picture 384x288"),
        ({"blended_words": "cat"}, "blended_words", '"cat" is not two words'),
        ({"blended_words": "cat dog", "blend_source": "cat"}, "blended_words", "given twice"),
        ({"blend_source": [1]}, "blend_source", "not a list of words"),
        ({"id": "good"}, "id", '"good" is taken by prompts.jsonl, line 1'),
    ],
)
def test_a_bad_row_is_one_line_and_the_others_run(
    album: Path, changes: dict[str, Any], field: str, message: str
) -> None:
    write_rows(album, row(id="good"), row(**{"id": "bad", **changes}), row(id="other"))
    first, error, last = Folder(str(album)).samples()
    assert isinstance(first, Sample)
    assert isinstance(last, Sample)
    assert isinstance(error, BadSample)
    assert error.field == field
    assert error.fix
    assert error.where.startswith("prompts.jsonl, line 2")
    assert "\n" not in str(error)
    with pytest.raises(BadSample, match=message):
        raise error


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (Path.touch, "empty.png", "file is empty"),
        (text, "text.jpg", "not a picture"),
        (animated, "moving.gif", "3 frames"),
        (partial(bomb, side=10_001), "large.png", "more than 100 megapixels"),
        (partial(bomb, side=60_000), "bomb.png", "more than 100 megapixels"),
    ],
)
def test_files_that_are_no_picture(
    album: Path, make: Callable[[Path], None], name: str, message: str
) -> None:
    make(album / name)
    write_rows(album, row(image=name), row(id="mask", mask=name), row(id="good"))
    image, mask = bad(album)
    for error in (image, mask):
        assert name in error.where
        with pytest.raises(BadSample, match=message):
            raise error


def test_a_truncated_photo_fails_when_it_is_read(album: Path) -> None:
    truncated(album / "half.jpg")
    (sample,) = good(write_rows(album, row(image="half.jpg")))
    with pytest.raises(BadSample, match=r"line 1, half.jpg: image: .*truncated"):
        sample.read_image()


def test_a_link_out_of_the_folder_is_refused(album: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.jpg"
    shutil.copy(PHOTOS / "cat.jpg", elsewhere)
    (album / "link.jpg").symlink_to(elsewhere)
    (error,) = bad(write_rows(album, row(image="link.jpg")))
    assert "outside the folder" in str(error)


# --------------------------------------------------------------------------- prompt files


def test_excel_files_are_read(album: Path) -> None:
    content = f"Image;Source;Target\r\ncat.jpg;{SOURCE};un été, à Paris\r\n\r\n"
    for encoding in ("utf-8-sig", "utf-16"):
        (album / "prompts.csv").write_bytes(content.encode(encoding))
        (sample,) = good(album)
        assert sample.target_prompt == "un été, à Paris"


def test_quoted_commas_and_newlines(album: Path) -> None:
    write_csv(album, f'cat.jpg,"a cat,\nbeside a ""mirror""",{TARGET}', f"horse.jpg,,{TARGET}")
    first, error = Folder(str(album)).samples()
    assert isinstance(first, Sample)
    assert first.source_prompt == 'a cat, beside a "mirror"'
    assert isinstance(error, BadSample)
    assert error.where == "prompts.csv, row 3"


def test_rows_of_the_wrong_length(album: Path) -> None:
    write_csv(
        album, f"cat.jpg,a cat, a mirror,{TARGET}", "cat.jpg,a cat", f"cat.jpg,{SOURCE},{TARGET}"
    )
    long, short, last = Folder(str(album)).samples()
    assert "4 values in 3 columns" in str(long)
    assert "target: the prompt is empty" in str(short)
    assert isinstance(last, Sample)


def test_a_missing_column_is_said_once(album: Path) -> None:
    write_csv(album, f"cat.jpg,{SOURCE},{TARGET}", "x,y,z", header="image,source,traget")
    (error,) = bad(album)
    assert (error.where, error.field) == ("prompts.csv, row 1", "target")
    assert error.fix == 'Did you mean "traget"?'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "row 1: header: the file is empty"),
        (b"image,source,target,image\n", "row 1: image: the column is there twice"),
        (b"image,source,target\ncat.jpg,a caf\xe9,b\n", "line 2: encoding: not utf-8"),
        (b'image,source,target\ncat.jpg,"a cat,b\n', "row 2: quotes: the file cannot be read on"),
    ],
)
def test_broken_csv_files(album: Path, content: bytes, message: str) -> None:
    (album / "prompts.csv").write_bytes(content)
    (error,) = bad(album)
    assert message in str(error)


@pytest.mark.parametrize("line", ['{"image": ', "[1, 2]", "null", "[" * 100_000, '{"image": "a"}'])
def test_broken_json_lines(album: Path, line: str) -> None:
    good_line = json.dumps(row())
    (album / "prompts.jsonl").write_text(f"{line}\n\n{good_line}\n", encoding="utf-8")
    error, sample = Folder(str(album)).samples()
    assert isinstance(error, BadSample)
    assert error.where == "prompts.jsonl, line 1"
    assert isinstance(sample, Sample)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        Folder(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"has no prompts.csv or prompts.jsonl"):
        Folder(str(tmp_path))
    (tmp_path / "prompt.csv").touch()
    with pytest.raises(UsageError, match=r'Did you mean "prompt.csv"'):
        Folder(str(tmp_path))
    (tmp_path / "prompts.csv").touch()
    (tmp_path / "prompts.jsonl").touch()
    with pytest.raises(UsageError, match="keep one of them"):
        Folder(str(tmp_path))
    with pytest.raises(UsageError, match="needs your folder"):
        Folder()
    with pytest.raises(UsageError, match="no splits"):
        Folder(str(tmp_path), split="test")
