"""Which file holds the edit of which sample, in the layouts in which other programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from icd_bench.api import Sample
from icd_bench.errors import UsageError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class EditFiles:
    """The files of a folder, as far as they belong to samples."""

    of_samples: dict[str, Path]
    """Sample id -> its edit."""
    extra: tuple[str, ...]
    """Pictures, or ids of a JSONL file, that belong to no sample."""


def find_edits(layout: str, place: Path, samples: Sequence[Sample]) -> EditFiles:
    """Return which file holds the edit of which sample.

    Args:
        layout: "flat" (pictures named by sample id), "piebench" (the output tree of PIE-Bench's
            scripts: each picture where the benchmark has its source) or "jsonl" (lines of
            ``{"id": .., "image": path}``, paths relative to the file).
        place: the folder; for "jsonl" the file.
        samples: of the benchmark.

    Raises:
        UsageError: there is no such folder or file, or a line cannot be read.
    """
    return LAYOUTS[layout](place, samples)


def _flat(folder: Path, samples: Sequence[Sample]) -> EditFiles:
    files = _pictures(folder)
    of_names: dict[str, Path] = {}
    for file in files:
        of_names.setdefault(file.stem, file)
    return _matched(folder, files, {s.id: of_names[s.id] for s in samples if s.id in of_names})


def _piebench(folder: Path, samples: Sequence[Sample]) -> EditFiles:
    inner = folder / "annotation_images"
    root = inner if inner.is_dir() else folder
    files = _pictures(root)
    of_names: dict[Path, Path] = {}
    for file in files:
        of_names.setdefault(file.relative_to(root).with_suffix(""), file)
    names = {
        sample.id: Path(str(sample.metadata["image"])).with_suffix("")
        for sample in samples
        if "image" in sample.metadata
    }
    found = {i: of_names[name] for i, name in names.items() if name in of_names}
    return _matched(root, files, found)


def _jsonl(file: Path, samples: Sequence[Sample]) -> EditFiles:
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    known = {sample.id for sample in samples}
    found: dict[str, Path] = {}
    extra = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, image = str(row["id"]), Path(str(row["image"]))
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f'{file}, line {number}: not an edit: write {{"id": "..", "image": "a.png"}}'
            ) from error
        if name not in known or name in found:
            extra.append(name)
        else:
            found[name] = file.parent / image
    return EditFiles(found, tuple(extra))


LAYOUTS: dict[str, Callable[[Path, Sequence[Sample]], EditFiles]] = {
    "flat": _flat,
    "piebench": _piebench,
    "jsonl": _jsonl,
}


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def _matched(root: Path, files: Sequence[Path], found: dict[str, Path]) -> EditFiles:
    used = set(found.values())
    extra = tuple(file.relative_to(root).as_posix() for file in files if file not in used)
    return EditFiles(found, extra)
