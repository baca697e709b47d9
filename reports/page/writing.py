"""Puts a page on the disk: as a folder, or as a single file."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from icd_bench.errors import UsageError

from .inline_json import to_json
from .privacy import without_folders
from .render import Content, page

INDEX = "index.html"
LARGEST_SINGLE_FILE = 200 * 2**20
"""Bytes of pictures: browsers take minutes to open more than this in one file."""
MEDIA_TYPES = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}

Pictures = Iterator[Mapping[str, bytes]]
"""Files of one item after the other: name -> content."""


def write_folder(place: Path, content: Content, pictures: Pictures) -> int:
    """Write a new folder beside the old one, put it in its place, and return its bytes."""
    new = place.with_name(place.name + ".part")
    shutil.rmtree(new, ignore_errors=True)
    (new / "data").mkdir(parents=True)
    (new / "pictures").mkdir()
    size = 0
    for files in pictures:
        for name, data in files.items():
            size += (new / "pictures" / name).write_bytes(data)
    for name, part in content.parts.items():
        script = f"icdBenchReport.deliver({to_json(name)},{to_json(part)});\n"
        size += (new / "data" / f"{name}.js").write_bytes(script.encode())
    size += (new / INDEX).write_bytes(page(content).encode())
    if place.exists():
        shutil.rmtree(place)
    new.rename(place)
    return size


def write_file(place: Path, content: Content, pictures: Pictures) -> int:
    """Write one file with everything in it, and return its bytes.

    Raises:
        UsageError: the pictures are too many.
    """
    embedded: dict[str, str] = {}
    size = 0
    for files in pictures:
        for name, data in files.items():
            size += len(data)
            embedded[name] = f"data:{MEDIA_TYPES[name.rpartition('.')[2]]};base64," + (
                base64.b64encode(data).decode()
            )
        if size > LARGEST_SINGLE_FILE:
            raise UsageError(
                f"{without_folders(str(place))}: the pictures are too many for a single file; "
                "make a folder: leave --single-file out"
            )
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.write_bytes(page(content, embedded).encode())
