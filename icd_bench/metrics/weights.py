"""Where metric weights lie, which ones they are, and how to get those that are not shipped.

Weights that are not part of the package lie in ``$ICD_BENCH_WEIGHTS/<name>`` (default: below the
user's cache folder) or in the cache of the hub. Only safetensors are read: a network that is
published as a pickle is converted first, see :mod:`icd_bench.metrics.convert`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path

from icd_bench.errors import MissingWeights

PACKAGED = Path(__file__).resolve().parents[1] / "weights"
"""Weights that are shipped with the package."""

HOME_VARIABLE = "ICD_BENCH_WEIGHTS"
MODEL_FILE = "model.safetensors"


def weights_home() -> Path:
    """Return the folder of the weights that are not shipped."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "icd-bench" / "weights"


@dataclass(frozen=True)
class Network:
    """A published network that metrics use and the package does not ship."""

    name: str
    """Of its folder below :func:`weights_home`; in signatures as ``net:<name>``."""
    files: tuple[str, ...]
    """Everything that decides what it computes."""
    size: str
    """Human-readable size of what is fetched."""
    repository: str = ""
    """Hub id that has the files; empty where they must be converted."""
    checkpoint: str = ""
    """URL of the pickled checkpoint, for networks that are published in no other form."""
    also: str = ""
    """Command that fetches the files that the conversion does not make."""

    @property
    def home(self) -> Path:
        """Its folder below :func:`weights_home`, whether it is there or not."""
        return weights_home() / self.name

    def folder(self) -> Path | None:
        """Return where the files lie, or None where they are not on this machine."""
        if all((self.home / file).is_file() for file in self.files):
            return self.home
        return self._hub_folder() if self.repository else None

    def require(self) -> Path:
        """Return where the files lie.

        Raises:
            MissingWeights: they are not on this machine; the message has the command.
        """
        folder = self.folder()
        if folder is None:
            raise MissingWeights(
                f"{self.name} ({self.size}) is not on this machine; get it with: {self.command()}"
            )
        return folder

    def paths(self) -> tuple[Path, ...]:
        """Return its files; they lie in :attr:`home` where they are not on this machine."""
        folder = self.folder() or self.home
        return tuple(folder / file for file in self.files)

    def fingerprint(self) -> str:
        """Return 8 hex digits of the files' contents, or "missing"."""
        return fingerprint(self.paths())

    def command(self) -> str:
        """Return what fetches it."""
        if self.repository:
            return f"hf download {self.repository} {' '.join(self.files)}"
        file = self.checkpoint.rsplit("/", 1)[-1]
        steps = (f"curl -LO {self.checkpoint}", f"icd-bench weights convert {self.name} {file}")
        return " && ".join((*steps, self.also) if self.also else steps)

    def _hub_folder(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(self.repository, file) for file in self.files]
        paths = [Path(path) for path in found if isinstance(path, str)]
        return paths[0].parent if len(paths) == len(self.files) else None


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
    return sha256(b"".join(_digest(file) for file, _, _ in files)).hexdigest()[:8]


def _digest(file: Path) -> bytes:
    blob = file.resolve()
    # The hub's cache names large files by their SHA-256.
    if blob.parent.name == "blobs" and len(blob.name) == 2 * sha256().digest_size:
        return bytes.fromhex(blob.name)
    with file.open("rb") as content:
        return file_digest(content, "sha256").digest()
