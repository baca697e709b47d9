"""Inversions of this user, kept from one run to the next: bounded, checked, shared by processes.

One safetensors file for each inversion, named by everything that decides its bits. Files appear
under their names in whole or not at all, so any number of processes may use one cache; what another
process has removed meanwhile is computed again, and so is a file whose hash is wrong.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from inspect import getsourcefile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import icd_bench.diffusion
from icd_bench.errors import UsageError
from icd_bench.run.caches.inversions import StoredInversion
from icd_bench.run.cells import canonical_json, content_id
from icd_bench.run.storage.files import TEMPORARY_SUFFIX

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.run.planning.plan import Group, Plan
    from icd_bench.run.planning.rows import Row

HOME_VARIABLE = "ICD_BENCH_CACHE"
DEFAULT_SIZE = 20 * 10**9
"""Bytes: the inversions of 700 pictures at 512 pixels by null-text inversion, the largest, take
about half of it."""
KEPT = 0.9
"""Share of the limit that is left when the oldest files have been removed."""
UNSEEN = 0.05
"""Share of the limit that a process writes before it looks again at what others have written."""
UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def cache_home() -> Path:
    """Return the folder of everything that can be computed again."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "icd-bench"


def inversions_home() -> Path:
    """Return the folder of the cached inversions."""
    return cache_home() / "inversions"


def parse_size(text: str) -> int:
    """Return the bytes that "20GB", "500 MB" or "0" stand for.

    Raises:
        UsageError: it is no size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?b?)", text.strip().lower(), re.ASCII)
    if found is None:
        raise UsageError(f'--cache-size "{text}": write a size such as 20GB, 500MB, or 0 for none')
    unit = found[2] if found[2].endswith("b") or not found[2] else f"{found[2]}b"
    return int(float(found[1]) * UNITS.get(unit, 1))


def show_size(size: float) -> str:
    """Return bytes as "1.5 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def inversion_key(plan: Plan, group: Group, row: Row, device: str, dtype: str) -> str:
    """Return the name of a cached inversion: of everything that decides its bits.

    Beside the inversion's identity these are the code that computes it, the number type and the
    kind of device, so that neither an edited method nor another machine finds a stale file.
    """
    return content_id(
        {
            "inversion": plan.inversion_id(group, row),
            "code": code_digest(None if group.method.info.inversion else type(group.method)),
            "torch": _torch_version(),
            "device": device.partition(":")[0],
            "dtype": dtype,
        }
    )


@cache
def code_digest(method: type[Any] | None) -> str:
    """Return the SHA-256 over a method's own file, if any, and over what methods are made from."""
    folder = Path(str(icd_bench.diffusion.__file__)).parent
    own = [] if method is None else [Path(str(getsourcefile(method)))]
    total = sha256()
    for path in (*own, *sorted(folder.rglob("*.py"))):
        total.update(path.read_bytes())
    return total.hexdigest()


@cache
def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class CacheInfo:
    """What a cache holds."""

    folder: Path
    files: int
    bytes: int
    oldest: float | None
    """Time of the least recent use, in seconds since 1970; None where it is empty."""


class InversionCache:
    """Inversions in a folder that several processes may share.

    Args:
        folder: made where it is missing.
        limit: most bytes of all files; the least recently used ones are removed above it. Zero
            keeps nothing.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_SIZE) -> None:
        self.folder = folder
        self.limit = limit
        self.problems: list[str] = []
        """What a person must be told, one line each."""
        self._size: int | None = None
        """Bytes of all files when they were last counted; None before."""
        self._written = 0
        """Bytes of this process since then."""

    def path(self, key: str) -> Path:
        """Return the file of an inversion."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self.limit > 0 and self.path(key).is_file()

    def lacking(self, keys: Iterable[str]) -> set[str]:
        """Return which inversions would be kept, once made, and are not there."""
        return {key for key in keys if key not in self} if self.limit else set()

    def load(self, key: str, device: str) -> StoredInversion | None:
        """Return an inversion on a device, None where there is none; a damaged one is removed."""
        path = self.path(key)
        if key not in self:
            return None
        try:
            found = _read(path, key)
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.problems.append(f"{path}: damaged ({error}); the inversion is computed again")
            _remove(path)
            return None
        tensors = {name: tensor.to(device) for name, tensor in found.tensors.items()}
        return StoredInversion(tensors, found.nfe, found.seconds, found.warnings)

    def save(self, inversions: Mapping[str, StoredInversion]) -> None:
        """Keep the inversions of one batch; those without tensors cost nothing and are not kept.

        All files are written before the first one gets its name. A disk that is full or refuses
        costs the cache, never the run.
        """
        if not self.limit:
            return
        files = {self.path(key): _pack(key, one) for key, one in inversions.items() if one.tensors}
        if not files:
            return
        try:
            parts = {_write_part(path, data): path for path, data in files.items()}
            for part, path in parts.items():
                os.replace(part, path)
            self._written += sum(map(len, files.values()))
            if self._must_count():
                self._size, self._written = self._remove_oldest(), 0
        except OSError as error:
            self.problems.append(f"{self.folder}: inversions are not kept: {error.strerror}")

    def info(self) -> CacheInfo:
        """Return what the cache holds."""
        entries = list(self._entries())
        return CacheInfo(
            self.folder,
            len(entries),
            sum(size for _, size, _ in entries),
            min((used for used, _, _ in entries), default=None),
        )

    def clear(self) -> int:
        """Remove everything and return the freed bytes."""
        return sum(size for _, size, path in self._entries() if _remove(path))

    def _must_count(self) -> bool:
        """Return whether the files may be too large, by what is known of other processes."""
        if self._size is None or self._written > UNSEEN * self.limit:
            return True
        return self._size + self._written > self.limit

    def _remove_oldest(self) -> int:
        """Remove the least recently used files above the limit; return the bytes that are left."""
        with open(self.folder / "lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = sorted(self._entries())
            size = sum(size for _, size, _ in entries)
            if size <= self.limit:
                return size
            for _, freed, path in entries:
                if size <= self.limit * KEPT:
                    break
                if _remove(path):
                    size -= freed
            return size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Yield time of last use, bytes and path of each file, torn ones included."""
        for path in self.folder.glob("*/*.*"):
            try:
                found = path.lstat()
            except OSError:  # another process was faster, or the folder may not be read
                continue
            if stat.S_ISREG(found.st_mode):
                yield found.st_mtime, found.st_size, path


def _remove(path: Path) -> bool:
    """Remove a file; return whether it is gone, for one that may not be removed stops nothing."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _write_part(path: Path, data: bytes) -> Path:
    """Write the file that will be renamed to ``path``; its name belongs to this process alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY_SUFFIX}")
    part.write_bytes(data)
    return part


def _pack(key: str, inversion: StoredInversion) -> bytes:
    from safetensors.torch import save

    tensors = {name: tensor.cpu().contiguous() for name, tensor in inversion.tensors.items()}
    facts = canonical_json(
        {
            "key": key,
            "nfe": inversion.nfe,
            "seconds": inversion.seconds,
            "warnings": list(inversion.warnings),
        }
    )
    return save(tensors, {"facts": facts, "sha256": _digest(facts, tensors)})


def _read(path: Path, key: str) -> StoredInversion:
    """Return an inversion as it was packed.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not what was packed under this key.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            written = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from error
    facts = written["facts"]
    if _digest(facts, tensors) != written["sha256"]:
        raise ValueError("its hash is not the stored one")
    values = json.loads(facts)
    if values["key"] != key:
        raise ValueError("it belongs under another name")
    return StoredInversion(
        tensors, int(values["nfe"]), float(values["seconds"]), tuple(values["warnings"])
    )


def _digest(facts: str, tensors: Mapping[str, Tensor]) -> str:
    import torch

    total = sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
