"""Where metric weights lie, and which ones they are."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from icd_bench.errors import MissingWeights

PACKAGED = Path(__file__).resolve().parents[1] / "weights"
"""Weights that are shipped with the package."""


def require(files: tuple[Path, ...], what: str, how_to_get: str) -> None:
    """Check that the weight files are there.

    Raises:
        MissingWeights: names the first file that is not, and the way to get it.
    """
    for file in files:
        if not file.is_file():
            raise MissingWeights(f"{what}: there is no file {file} ({how_to_get})")


def fingerprint(files: tuple[Path, ...]) -> str:
    """Return 8 hex digits of SHA-256 over the files' contents, or "missing"."""
    if not all(file.is_file() for file in files):
        return "missing"
    states = [(file, file.stat()) for file in files]
    return _fingerprint(tuple((file, s.st_size, s.st_mtime_ns) for file, s in states))


@lru_cache(maxsize=64)
def _fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash file by file, so that moving bytes from one file to the next changes the result."""
    digests = [sha256(file.read_bytes()).digest() for file, _, _ in files]
    return sha256(b"".join(digests)).hexdigest()[:8]
