"""Picture files of a benchmark: found and hashed when it is listed, decoded when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from os.path import isfile
from pathlib import Path
from typing import TYPE_CHECKING

from icd_bench.errors import BadSample
from icd_bench.pictures import decode_mask, decode_picture, picture_size
from icd_bench.registry import suggest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PictureFile:
    """A picture file as it was when the benchmark was listed."""

    path: Path
    digest: str
    """SHA-256 (hex) of the file."""
    size: tuple[int, int]
    """Width and height in pixels, upright."""
    where: str
    """File and row that name it, for messages."""
    column: str

    def read_bytes(self) -> bytes:
        """Return the file's bytes; raises BadSample if they are no longer the same."""
        data = _read_bytes(self.path, self.where, self.column)
        if sha256(data).hexdigest() != self.digest:
            raise BadSample(
                self.where,
                self.column,
                f'"{self.path.name}" has changed since the folder was read',
                "start the command again",
            )
        return data

    def read_image(self) -> NDArray[np.uint8]:
        """Return the picture as (H, W, 3) RGB; raises BadSample."""
        return decode_picture(self.read_bytes(), self.where, self.column)

    def read_mask(self) -> NDArray[np.bool_]:
        """Return the picture as a mask (H, W), true where it is light; raises BadSample."""
        return decode_mask(self.read_bytes(), self.where, self.column)


def find_picture_in(folders: Sequence[Path], name: str, where: str, column: str) -> PictureFile:
    """Return the picture file ``name`` of the first folder that has it; see ``find_picture``."""
    having = (folder for folder in folders if isfile(folder / name))
    return find_picture(next(having, folders[0]), name, where, column)


def find_picture(root: Path, name: str, where: str, column: str) -> PictureFile:
    """Return the picture file ``name`` below ``root``, hashed but not decoded.

    Raises:
        BadSample: there is none, it lies outside ``root``, or it is no picture.
    """
    if not name:
        raise BadSample(where, column, "no file is named", "write its name in the folder")
    where = f"{where}, {name[:80]}"
    path = _inside(root.resolve(), name, where, column)
    data = _read_bytes(path, where, column)
    size = picture_size(data, where, column)
    return PictureFile(path, sha256(data).hexdigest(), size, where, column)


def _inside(root: Path, name: str, where: str, column: str) -> Path:
    """Return the file's real path; raises BadSample if it is not below ``root``, a real path."""
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise BadSample(where, column, f"is no file name: {error}", "check its name") from error
    if path == root or not path.is_relative_to(root):
        raise BadSample(where, column, "is outside the folder", "copy the file into the folder")
    return path


def _read_bytes(path: Path, where: str, column: str) -> bytes:
    try:
        if path.is_file():
            return path.read_bytes()
        near = suggest(path.name, [other.name for other in path.parent.iterdir()])
    except FileNotFoundError:
        near = ""
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadSample(where, column, f"cannot be read: {reason}", "check the file") from error
    raise BadSample(where, column, "there is no such file", near.strip() or "check its name")
