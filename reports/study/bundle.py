"""The blind bundle: all that assessors get, and all that servers and exports know.

::

    tasks.json           questions, prompts, opaque names, each rater's list
    images/<name>.png    pictures, encoded anew, of one size, without metadata
    sheets/<rater>.html  the same for one rater, in one file

It says nothing about methods, settings, samples or checks; that is in the study's key.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from icd_bench.errors import UsageError

TASKS: Final = "tasks.json"
IMAGES: Final = "images"
TILES: Final = 4
"""A damaged picture is cut into so many rows and columns of tiles, which change places."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Frozen):
    """What is asked about each pair."""

    id: str
    text: str


class Task(_Frozen):
    """One screen. Pictures are named as in ``images``, without the ending."""

    id: str
    source_prompt: str
    target_prompt: str
    source: str
    left: str
    right: str

    @property
    def pictures(self) -> tuple[str, str, str]:
        """Names of the three pictures."""
        return self.source, self.left, self.right


class Bundle(_Frozen):
    """The content of ``tasks.json``."""

    study: str
    title: str
    questions: tuple[Question, ...]
    tasks: dict[str, Task]
    lists: dict[str, tuple[str, ...]]
    """Rater -> tasks in order."""
    crowd: tuple[str, ...]
    """Tasks for platforms where whoever comes judges."""
    votes_per_pair: int
    """Judgements wanted for each task of ``crowd``."""


def read_bundle(folder: Path) -> Bundle:
    """Read the bundle in a folder.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    path = folder / TASKS
    try:
        return Bundle.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the bundle cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "bundle"
        raise UsageError(f"{path}: {field}: {first['msg']}") from error


def write_bundle(bundle: Bundle, pictures: Mapping[str, bytes], folder: Path) -> None:
    """Write ``tasks.json`` and the pictures (name -> PNG)."""
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        picture_path(folder, name).write_bytes(png)
    text = json.dumps(bundle.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / TASKS).write_text(text + "\n", encoding="utf-8")


def picture_path(folder: Path, name: str) -> Path:
    """Return the file of a picture.

    Raises:
        ValueError: the name is none that a bundle gives.
    """
    if not re.fullmatch("[0-9a-f]{20}", name):
        raise ValueError(f"{name!r} is not the name of a picture")
    return folder / IMAGES / f"{name}.png"


def encode_picture(pixels: NDArray[np.uint8], side: int) -> bytes:
    """Return a PNG of ``side`` x ``side`` pixels that holds nothing but the pixels."""
    image = Image.fromarray(pixels)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def damage(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Return a picture that nobody who looks can prefer: tiles out of place under strong noise."""
    generator = np.random.default_rng(seed)
    height, width = (length // TILES * TILES for length in pixels.shape[:2])
    tiles = (
        pixels[:height, :width]
        .reshape(TILES, height // TILES, TILES, width // TILES, 3)
        .swapaxes(1, 2)
    )
    shuffled = generator.permutation(tiles.reshape(TILES**2, *tiles.shape[2:]))
    whole = shuffled.reshape(tiles.shape).swapaxes(1, 2)
    noisy = whole.reshape(height, width, 3) + generator.normal(0, 60, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)
