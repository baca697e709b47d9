"""A run as one file, and back.

Archives are zip files: entries are listed without reading them, and pictures are stored as they
are. The same run gives the same bytes.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from icd_bench.errors import CorruptRun, UsageError
from icd_bench.run.storage.files import TEMPORARY_SUFFIX
from icd_bench.run.storage.store import MANIFEST, RESULTS, RunFolder

FOLDERS = ("events", "images", "samples")
MOST_BYTES = 200 * 2**30
"""Larger archives are refused once unpacked."""
MOST_RATIO = 200
"""Largest ratio of unpacked to packed size: text of events compresses 20-fold, bombs 1000-fold."""
WITHOUT_TIME = (1980, 1, 1, 0, 0, 0)


def export_run(run: Path, archive: Path) -> int:
    """Write everything that reports need of a run into one zip file; return its entries.

    Args:
        run: the run folder.
        archive: the file to write; it is whole or not there.

    Raises:
        UsageError: it is not a run folder, or the archive exists.
    """
    folder = RunFolder.open(run)
    if archive.exists():
        raise UsageError(f"{archive}: is there already; choose another --out")
    folder.manifest()
    folder.records()
    names = sorted(_files(folder.path, FOLDERS))
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(archive.name + TEMPORARY_SUFFIX)
    try:
        with zipfile.ZipFile(part, "w") as file:
            for name in names:
                _add(file, folder.path / name, f"{folder.path.resolve().name}/{name}")
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
    return len(names)


def import_run(archive: Path, root: Path) -> Path:
    """Unpack an exported run below a folder, and return the run folder.

    Nothing is written outside of it: entries with absolute paths, with ``..``, links and devices
    are refused, and so is an archive that would unpack to much more than it is.

    Raises:
        UsageError: it is no archive of a run, is unsafe, or the run folder exists.
        CorruptRun: an entry is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            name = _check(entries, archive)
            run = root / name
            if run.exists():
                raise UsageError(f"{run}: is there already; choose another --out")
            for entry in entries:
                path = root.joinpath(*PurePosixPath(entry.filename).parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read(entry))
    except FileNotFoundError as error:
        raise UsageError(f"{archive}: there is no such file") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise CorruptRun(f"{archive}: damaged, or not a zip file: {error}") from error
    return run


def _files(run: Path, folders: tuple[str, ...]) -> Iterator[str]:
    for name in (MANIFEST, RESULTS):
        if (run / name).is_file():
            yield name
    for folder in folders:
        for path in (run / folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix != TEMPORARY_SUFFIX:
                yield path.relative_to(run).as_posix()


def _add(file: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, date_time=WITHOUT_TIME)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    packed = path.suffix in (".png", ".parquet")
    entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    file.writestr(entry, path.read_bytes())


def _check(entries: list[zipfile.ZipInfo], archive: Path) -> str:
    """Return the run's name, the one folder that everything lies in."""
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        kind = stat.S_IFMT(entry.external_attr >> 16)
        unsafe = (
            entry.filename.startswith("/")
            or "\\" in entry.filename
            or ":" in parts[0]
            or ".." in parts
            or kind not in (0, stat.S_IFREG)
        )
        if unsafe:
            raise UsageError(
                f"{archive}: entry {entry.filename[:80]!r} would leave the folder, or is no plain "
                "file; nothing was unpacked"
            )
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(1, archive.stat().st_size)
    if unpacked > MOST_BYTES or unpacked > packed * MOST_RATIO:
        raise UsageError(f"{archive}: {packed} bytes would become {unpacked}; nothing was unpacked")
    tops = {PurePosixPath(entry.filename).parts[0] for entry in entries}
    name = tops.pop() if len(tops) == 1 else ""
    if not name or f"{name}/{MANIFEST}" not in {entry.filename for entry in entries}:
        raise UsageError(f"{archive}: not an exported run: it has no folder with {MANIFEST}")
    return name
