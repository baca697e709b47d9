"""Makes the page: a folder that opens from the disk, or a single file."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icd_bench.errors import StorageFailed, UsageError
from icd_bench.reports.joined_runs import join_runs
from icd_bench.reports.table import table_of

from .inline_json import to_json
from .items import Layout, Source, lay_out
from .privacy import without_folders
from .render import GENERATOR, Inlined, page
from .sheets import Strip, draw_all, has_pictures, strips
from .states import cell_states, troubles
from .summary import samples, scores, summary

INDEX = "index.html"
LARGEST_SINGLE_FILE = 200 * 2**20
"""Bytes of pictures: browsers take minutes to open more than this in one file."""
MEDIA_TYPES = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    page: Path
    """The file to open."""
    cells: int
    bytes: int
    """Of all its files."""


def build_report(
    runs: Sequence[Path],
    out: Path | None = None,
    single_file: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the report of some runs.

    Args:
        runs: run folders.
        out: folder, or file if ``single_file``; None: ``report`` or ``report.html`` in the first
            run's folder.
        single_file: put everything into one HTML file.
        progress: told after each sample how many are done, and of how many.

    Raises:
        UsageError: a path is not a run folder, no run has a finished cell, ``out`` holds something
            else, or the pictures are too many for a single file.
        CorruptRun: a run cannot be read.
        StorageFailed: the report cannot be written.
    """
    paths = list(dict.fromkeys(Path(run).resolve() for run in runs))
    place = out or paths[0] / ("report.html" if single_file else "report")
    _check_free(place, single_file)
    sources = [Source.open(path) for path in paths]
    joined = join_runs(paths)
    table = table_of(joined)
    layout = lay_out(joined, table.rows, sources)
    states = cell_states(layout)
    sheets = strips(layout, states)
    title = " + ".join(dict.fromkeys(path.name for path in paths))
    first = summary(table, layout, states, sources, title)
    parts: dict[str, Any] = {
        "samples": samples(layout, states, [_files(layout, i, s) for i, s in enumerate(sheets)]),
        "troubles": troubles(layout, states),
    }
    parts |= {
        f"scores-{number}": scores(column, layout) for number, column in enumerate(table.columns)
    }
    pictures = _drawn(sheets, progress)
    try:
        if single_file:
            size = _write_file(place, first, parts, pictures)
        else:
            size = _write_folder(place, first, parts, pictures)
    except OSError as error:
        raise StorageFailed(
            f"{place}: the report cannot be written: {error.strerror or error}; make room or "
            "choose another place with --out"
        ) from error
    return Report(place if single_file else place / INDEX, len(layout.cells), size)


def _check_free(place: Path, single_file: bool) -> None:
    """Refuse to replace what no report of ours made."""
    if single_file:
        if place.is_dir():
            raise UsageError(f"{place}: is a folder; name a file with --out")
        old = place
    else:
        if place.is_file():
            raise UsageError(f"{place}: is a file; name a folder with --out")
        if place.is_dir() and not any(place.iterdir()):
            return
        old = place / INDEX
    if (old if single_file else place).exists() and not _is_report(old):
        raise UsageError(f"{place}: holds something else than a report; choose another --out")


def _is_report(file: Path) -> bool:
    if not file.is_file():
        return False
    with open(file, "rb") as page:
        return GENERATOR.encode() in page.read(4096)


def _files(layout: Layout, number: int, strip: Strip) -> dict[str, Any]:
    """Return what the page must know to find an item's pictures."""
    item = layout.items[number]
    return {
        "stems": sum(kind in item.pictures for kind in ("source", "target")),
        "mask": strip.mask is not None,
        "tile": strip.tile,
        "size": item.resolution,
        "large": has_pictures(item),
    }


def _drawn(sheets: Sequence[Strip], progress: Progress | None) -> Iterator[Mapping[str, bytes]]:
    for done, files in enumerate(draw_all(sheets), start=1):
        yield files
        if progress:
            progress(done, len(sheets))


def _write_folder(
    place: Path,
    first: Mapping[str, Any],
    parts: Mapping[str, Any],
    pictures: Iterator[Mapping[str, bytes]],
) -> int:
    """Write a new folder beside the old one, then put it in its place."""
    new = place.with_name(place.name + ".part")
    shutil.rmtree(new, ignore_errors=True)
    (new / "data").mkdir(parents=True)
    (new / "pictures").mkdir()
    size = 0
    for files in pictures:
        for name, data in files.items():
            size += (new / "pictures" / name).write_bytes(data)
    for name, part in parts.items():
        script = f"icdBenchReport.deliver({to_json(name)},{to_json(part)});\n"
        size += (new / "data" / f"{name}.js").write_bytes(script.encode())
    size += (new / INDEX).write_bytes(page(first, Inlined()).encode())
    if place.exists():
        shutil.rmtree(place)
    new.rename(place)
    return size


def _write_file(
    place: Path,
    first: Mapping[str, Any],
    parts: Mapping[str, Any],
    pictures: Iterator[Mapping[str, bytes]],
) -> int:
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
    return place.write_bytes(page(first, Inlined(parts, embedded)).encode())
