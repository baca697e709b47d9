"""Side by side: what became of the samples that lost most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icd_bench.errors import BadSample
from icd_bench.file_names import file_name
from icd_bench.gate.compare import Change
from icd_bench.gate.measure import DIGEST_LENGTH
from icd_bench.pictures import read_picture
from icd_bench.run.reading.prepare import to_png
from icd_bench.run.storage.files import write_file
from icd_bench.run.storage.store import RunFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP = 4
"""White pixels between two pictures."""
SMALLEST = 128
"""Smaller pictures are enlarged to at least this height, pixel by pixel."""


def save_worst(
    changes: Sequence[Change], run: Path, folder: Path, count: int, before: Path | None = None
) -> list[Path]:
    """Write a strip for each of the worst samples: source, true edit, edit before, edit now.

    Parts that are not there are left out: the true edit where the benchmark has none, the edit
    before where no run folder holds it.

    Args:
        changes: the worst first.
        run: folder of the run that was checked.
        folder: where to write.
        count: largest number of strips.
        before: folder of the run that the baseline was made from.

    Returns:
        The files, in the order of ``changes``.
    """
    edits = (_edits(before) if before else {}) | _edits(run)
    sources = _sources(run)
    written = []
    for place, change in enumerate(changes[:count], start=1):
        names = dict.fromkeys((change.picture_before, change.picture_now))
        paths = [*sources.get(change.sample_id, []), *(edits[n] for n in names if n in edits)]
        strip = [picture for path in paths if (picture := _read(path)) is not None]
        if not strip:
            continue
        path = folder / f"{place:02d}-{file_name(f'{change.arm}-{change.sample_id}')}.png"
        write_file(path, to_png(side_by_side(strip)))
        written.append(path)
    return written


def side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return pictures (H, W, 3) of one height in a row, white between them."""
    height = max(picture.shape[0] for picture in pictures)
    scale = -(-SMALLEST // height)
    parts: list[NDArray[np.uint8]] = []
    for picture in pictures:
        lacking = height - picture.shape[0]
        padded = np.pad(picture, ((0, lacking), (0, 0), (0, 0)), constant_values=255)
        large = padded.repeat(scale, axis=0).repeat(scale, axis=1)
        parts += [large, np.full((height * scale, GAP, 3), 255, np.uint8)]
    return np.concatenate(parts[:-1], axis=1)


def _edits(run: Path) -> dict[str, Path]:
    """Return digest of a picture, as baselines have it -> its file."""
    folder = RunFolder.open(run)
    return {
        cell.image_sha256[:DIGEST_LENGTH]: folder.path / cell.image
        for cell in folder.records().cells.values()
        if cell.image
    }


def _sources(run: Path) -> dict[str, list[Path]]:
    folder = RunFolder.open(run)
    return {
        record.id: [
            folder.path / folder.sample_path(record.digest, record.resolution, kind)
            for kind in ("source", "target")
            if kind in record.files
        ]
        for record in folder.records().samples.values()
    }


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        return read_picture(path)
    except BadSample:
        return None
