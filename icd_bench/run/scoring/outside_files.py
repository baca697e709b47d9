"""Which file holds the edit of which sample, in the layouts in which other programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from icd_bench.api import Sample
from icd_bench.errors import UsageError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
NAMED_AT_MOST = 5

Claims = dict[str, list[Path]]
"""Sample id -> the files that are said to be its edit."""


@dataclass(frozen=True)
class EditFiles:
    """The files of a folder, as far as they belong to samples."""

    of_samples: dict[str, Path]
    """Sample id -> its edit."""
    extra: tuple[str, ...]
    """Pictures, or ids of a JSONL file, that belong to no sample."""
    absent: Mapping[str, Path] = field(default_factory=dict)
    """Sample id -> its edit as a JSONL file names it, where there is no such file."""


def find_edits(layout: str, place: Path, samples: Sequence[Sample]) -> EditFiles:
    """Return which file holds the edit of which sample.

    Args:
        layout: "flat" (pictures named by sample id), "piebench" (the output tree of PIE-Bench's
            scripts: each picture where the benchmark has its source) or "jsonl" (lines of
            ``{"id": .., "image": path}``, paths relative to the file).
        place: the folder; for "jsonl" the file.
        samples: of the benchmark.

    Raises:
        UsageError: there is no such folder or file, a line cannot be read, or a sample has several
            edits: which of them is meant is not for this program to guess.
    """
    return LAYOUTS[layout](place, samples)


def _flat(folder: Path, samples: Sequence[Sample]) -> EditFiles:
    files = _pictures(folder)
    of_names: dict[str, list[Path]] = {}
    for file in files:
        of_names.setdefault(file.stem, []).append(file)
    claims = {s.id: of_names[s.id] for s in samples if s.id in of_names}
    return _matched(folder, files, claims)


def _piebench(folder: Path, samples: Sequence[Sample]) -> EditFiles:
    inner = folder / "annotation_images"
    root = inner if inner.is_dir() else folder
    files = _pictures(root)
    of_names: dict[Path, list[Path]] = {}
    for file in files:
        of_names.setdefault(file.relative_to(root).with_suffix(""), []).append(file)
    names = {
        sample.id: Path(str(sample.metadata["image"])).with_suffix("")
        for sample in samples
        if "image" in sample.metadata
    }
    claims = {i: of_names[name] for i, name in names.items() if name in of_names}
    return _matched(root, files, claims)


def _jsonl(file: Path, samples: Sequence[Sample]) -> EditFiles:
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    claims: Claims = {sample.id: [] for sample in samples}
    extra = []
    for name, picture in _lines(file):
        if name not in claims:
            extra.append(name)
        elif picture not in claims[name]:
            claims[name].append(picture)
    named = _one_each(file, file.parent, {i: files for i, files in claims.items() if files})
    found = {i: picture for i, picture in named.items() if picture.is_file()}
    absent = {i: picture for i, picture in named.items() if i not in found}
    return EditFiles(found, tuple(extra), absent)


def _lines(file: Path) -> Iterator[tuple[str, Path]]:
    """Yield the id and the picture of each line of a JSONL file, with or without a BOM."""
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{file}, line {number}: not UTF-8: save the file as UTF-8") from error
        if not text.strip():
            continue
        try:
            row = json.loads(text)
            name, picture = str(row["id"]), file.parent / str(row["image"])
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f'{file}, line {number}: not an edit: write {{"id": "..", "image": "a.png"}}'
            ) from error
        yield name, picture


LAYOUTS: dict[str, Callable[[Path, Sequence[Sample]], EditFiles]] = {
    "flat": _flat,
    "piebench": _piebench,
    "jsonl": _jsonl,
}


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def _matched(root: Path, files: Sequence[Path], claims: Claims) -> EditFiles:
    found = _one_each(root, root, claims)
    used = set(found.values())
    extra = tuple(file.relative_to(root).as_posix() for file in files if file not in used)
    return EditFiles(found, extra)


def _one_each(place: Path, root: Path, claims: Claims) -> dict[str, Path]:
    """Return the one file of each sample; paths in the message are relative to ``root``."""
    several = {i: files for i, files in claims.items() if len(files) > 1}
    if several:
        shown = "; ".join(
            f"{i} ({', '.join(_short(file, root) for file in files[:NAMED_AT_MOST])})"
            for i, files in list(several.items())[:NAMED_AT_MOST]
        )
        more = "; .." if len(several) > NAMED_AT_MOST else ""
        raise UsageError(
            f"{place}: samples with several edits ({len(several)}): {shown}{more}; leave one for "
            "each, and score other methods from a folder or file of their own"
        )
    return {i: file for i, (file,) in claims.items()}


def _short(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
