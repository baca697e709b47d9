"""Files that are either whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from pathlib import Path

TEMPORARY_SUFFIX = ".part"
WRITERS = 8


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files atomically: each is on the disk in whole, under its name, when this returns.

    In parallel, because a disk is asked to keep many files as quickly as one.
    """
    folders = {path.parent for path in contents}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        list(pool.map(_write, contents.keys(), contents.values()))
        list(pool.map(sync_folder, folders))


def write_file(path: Path, data: bytes) -> None:
    """Write one file atomically."""
    write_files({path: data})


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove what an interrupted ``write_files`` left below a folder."""
    for part in folder.rglob(f"*{TEMPORARY_SUFFIX}"):
        part.unlink(missing_ok=True)


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 (hex) of a file, None where there is no such file."""
    try:
        with open(path, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def digests_of(paths: Iterable[Path]) -> list[str | None]:
    """Return the SHA-256 of many files, read in parallel."""
    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        return list(pool.map(digest_of, paths))


def _write(path: Path, data: bytes) -> None:
    # Processes share the files of the cache: each writes under a name of its own.
    part = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
