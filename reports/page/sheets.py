"""Pictures of a page: for each item one sheet with its source, its true edit and its edits.

A line of the grid loads one file. Pictures up to ``SMALL`` pixels are on their sheet as they
are, without loss; larger ones are thumbnails there, and have a file each for the comparison: the
preview that the run stored with them, so that 42,000 of them need not be decoded.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from icd_bench.errors import CorruptRun
from icd_bench.run.reading.previews import preview_in, to_jpeg

from .items import WITHOUT, Item, Layout
from .states import WITH_PICTURE

SMALL = 128
"""Pixels up to which a picture is its own thumbnail."""
THUMBNAIL = 128
TILES_A_LINE = 8
MASK_COLOUR = (255, 0, 110, 120)
AT_ONCE = 64
"""Items whose files are in memory together."""
SHEET_QUALITY = 82


@dataclass(frozen=True)
class Strip:
    """The pictures of one item, in the order of its sheet."""

    name: str
    tile: int
    """Side of a tile in pixels."""
    large: bool
    """Whether its pictures are larger than a tile, and have files of their own."""
    paths: tuple[Path, ...]
    mask: Path | None


def strips(layout: Layout, states: Sequence[str]) -> list[Strip]:
    """Return what is on each item's sheet: source, true edit, then the edits row by row."""
    ids = layout.cells["cell_id"].to_numpy()
    found = []
    for number, item in enumerate(layout.items):
        edits = [
            layout.images[ids[places[number]]]
            for places, letters in zip(layout.places, states, strict=True)
            if places[number] != WITHOUT and letters[number] in WITH_PICTURE
        ]
        stems = [item.pictures[kind] for kind in ("source", "target") if kind in item.pictures]
        found.append(strip_of(f"{number}", item, (*stems, *edits)))
    return found


def strip_of(name: str, item: Item, paths: Sequence[Path]) -> Strip:
    """Return the sheet of some pictures of an item."""
    large = item.resolution > SMALL
    tile = THUMBNAIL if large else item.resolution
    return Strip(name, tile, large, tuple(paths), item.pictures.get("mask"))


def draw(strip: Strip) -> dict[str, bytes]:
    """Return the files of one item: name -> content.

    Raises:
        CorruptRun: a picture of the run is damaged.
    """
    if not strip.paths:
        return {}
    lines = -(-len(strip.paths) // TILES_A_LINE)
    size = (min(len(strip.paths), TILES_A_LINE) * strip.tile, lines * strip.tile)
    sheet = Image.new("RGB", size)
    files: dict[str, bytes] = {}
    for place, path in enumerate(strip.paths):
        if strip.large:
            full, picture = _full_and_thumbnail(path, strip.tile)
            files[f"{strip.name}-{place}.jpg"] = full
        else:
            picture = _read(path, "RGB")
        line, column = divmod(place, TILES_A_LINE)
        sheet.paste(picture, (column * strip.tile, line * strip.tile))
    if strip.large:
        files[f"{strip.name}.jpg"] = _encoded(
            sheet, format="JPEG", quality=SHEET_QUALITY, subsampling=0
        )
    else:
        files[f"{strip.name}.webp"] = _webp(sheet)
    if strip.mask:
        files[f"{strip.name}-mask.png"] = _overlay(strip.mask)
    return files


def draw_all(items: Sequence[Strip]) -> Iterator[Mapping[str, bytes]]:
    """Yield the files of each item in order; drawn in parallel: Pillow lets threads run."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), AT_ONCE):
            yield from pool.map(draw, items[start : start + AT_ONCE])


def _full_and_thumbnail(path: Path, side: int) -> tuple[bytes, Image.Image]:
    """Return a picture as JPEG, and small."""
    with _readable(path):
        full = preview_in(path)
        if full is None:
            picture = _read(path, "RGB")
            full = to_jpeg(picture)
        else:
            # A JPEG is decoded at a quarter of its size in a fraction of the time.
            picture = Image.open(io.BytesIO(full))
            picture.draft("RGB", (side, side))
        picture.thumbnail((side, side), reducing_gap=2.0)
    return full, picture


def _read(path: Path, mode: str) -> Image.Image:
    with _readable(path), Image.open(path) as picture:
        return picture.convert(mode)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SyntaxError, ValueError) as error:
        raise CorruptRun(
            f"{path}: the picture is damaged ({error}); run the same command again, it is made anew"
        ) from error


def _overlay(path: Path) -> bytes:
    """Return a mask as a picture that can be laid over others: colour inside, nothing outside."""
    mask = _read(path, "1")
    *colour, strength = MASK_COLOUR
    overlay = mask.convert("P")
    overlay.putpalette([0, 0, 0] * 255 + colour)
    return _encoded(overlay, format="PNG", transparency=bytes([0] * 255 + [strength]))


def _webp(picture: Image.Image) -> bytes:
    return _encoded(picture, format="WEBP", lossless=True, quality=0, method=0)


def _encoded(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()
