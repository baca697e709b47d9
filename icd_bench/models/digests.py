"""What identifies weights: SHA-256 sums, computed once for each version of a file."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    blob = path.resolve()
    # The hub's cache names large files by their SHA-256.
    if blob.parent.name == "blobs" and len(blob.name) == hashlib.sha256().digest_size * 2:
        return blob.name
    stat = path.stat()
    return _hash_file(path, stat.st_size, stat.st_mtime_ns)


@cache
def _hash_file(path: Path, size: int, modified: int) -> str:
    """Hash a file once for each of its versions (size and time in ns)."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
