"""What a ``--data`` location is."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Final

from icd_bench.errors import UsageError

from .folder import METADATA, from_captions, from_csv, from_metadata
from .rows import PICTURE_FILES, Columns, Source
from .tables import from_arrow, from_hub, from_parquet
from .tars import Tars

KINDS: Final = (
    "a folder with metadata.jsonl, or of pictures with .txt captions beside them; a .csv or .jsonl "
    "file; webdataset shards (a folder of .tar files, a pattern like 'shards/*.tar' or "
    "'shards/{000..127}.tar'); a folder or pattern of .parquet or .arrow files; hub:owner/name of "
    "a dataset on the hub"
)
_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")


def open_source(
    location: str, columns: Columns, split: str = "train", stream: bool = False
) -> Source:
    """Open captioned pictures.

    Args:
        location: one of ``KINDS``.
        columns: of picture and caption.
        split: of a hub dataset.
        stream: read a hub dataset as it comes, without keeping it.

    Raises:
        UsageError: there is nothing, or nothing that is known.
    """
    if location.startswith("hub:"):
        return from_hub(location.removeprefix("hub:"), split, stream, columns)
    place = Path(location).expanduser()
    if (place / METADATA).is_file():
        return from_metadata(place / METADATA, columns)
    if place.is_dir():
        return _folder(place, columns)
    files = [place] if place.is_file() else _matches(str(place))
    if not files:
        raise UsageError(f'data "{location}": nothing is there. Give {KINDS}.')
    return _files(files, location, columns)


def _folder(folder: Path, columns: Columns) -> Source:
    for suffix in (".tar", ".parquet", ".arrow"):
        if files := sorted(folder.glob(f"*{suffix}")):
            return _files(files, str(folder), columns)
    if any(path.suffix.lower() in PICTURE_FILES for path in folder.rglob("*")):
        return from_captions(folder)
    raise UsageError(f'data "{folder}": holds no pictures. Give {KINDS}.')


def _files(files: list[Path], location: str, columns: Columns) -> Source:
    match files[0].suffix.lower():
        case ".tar":
            return Tars(files, columns)
        case ".parquet":
            return from_parquet(files, columns)
        case ".arrow":
            return from_arrow(files, columns)
        case ".csv" if len(files) == 1:
            return from_csv(files[0], columns)
        case ".jsonl" if len(files) == 1:
            return from_metadata(files[0], columns)
    raise UsageError(f'data "{location}": of no known kind. Give {KINDS}.')


def _matches(pattern: str) -> list[Path]:
    """Return the files of a pattern with ``*``, ``?`` and one range ``{000..127}``."""
    found = _RANGE.search(pattern)
    if found is None:
        return sorted(Path(path) for path in glob.glob(pattern))
    first, last = found.groups()
    numbers = (str(i).zfill(len(first)) for i in range(int(first), int(last) + 1))
    named = [Path(pattern[: found.start()] + n + pattern[found.end() :]) for n in numbers]
    absent = [str(path) for path in named if not path.is_file()]
    if absent:
        raise UsageError(f'data "{pattern}": {len(absent)} files are missing, first {absent[0]}')
    return named
