"""Photos of one's own: a folder with pictures and ``prompts.csv`` or ``prompts.jsonl``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import BenchmarkInfo, BlendWords, Sample
from icd_bench.errors import BadSample, UsageError
from icd_bench.pictures import decode_mask, decode_picture, picture_size
from icd_bench.registry import suggest

from .prompt_files import PROMPT_FILES, Row, read_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = (
    "image",
    "source",
    "target",
    "id",
    "blend_source",
    "blend_target",
    "blended_words",
    "mask",
    "category",
)
REQUIRED = COLUMNS[:3]


class Folder:
    """Every row of the folder's prompt file, in the file's order.

    Columns: ``image``, ``source``, ``target``; optionally ``id``, ``blend_source`` and
    ``blend_target`` (words), or ``blended_words`` ("source target" pairs as in PIE-Bench), ``mask``
    (white where the edit may change the picture) and ``category``. Other columns become metadata.
    """

    info: ClassVar[BenchmarkInfo] = BenchmarkInfo(
        name="folder",
        title="A folder of your own photos",
        licence="yours",
        source="a folder with pictures and prompts.csv or prompts.jsonl",
        size="as many pictures as it has rows",
        how_to_get='icd-bench run --bench DIR; see README.md, section "Your own pictures"',
    )

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        if location is None:
            raise UsageError(f"folder: it needs your folder: {self.info.how_to_get}")
        if split is not None:
            raise UsageError(f"folder: split {split!r}: a folder has no splits; leave it out")
        self.root = Path(location).expanduser().resolve()
        self.prompts = _find_prompts(self.root)

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield every row; pictures are decoded only when they are read."""
        rows_of_ids: dict[str, str] = {}
        for row in read_rows(self.prompts, COLUMNS, REQUIRED):
            if isinstance(row, BadSample):
                yield row
                continue
            try:
                sample = _sample(self.root, row)
                if sample.id in rows_of_ids:
                    raise BadSample(
                        row.where,
                        "id",
                        f'"{sample.id}" is taken by {rows_of_ids[sample.id]}',
                        "give every row its own id",
                    )
            except BadSample as error:
                yield error
                continue
            rows_of_ids[sample.id] = row.where
            yield sample


@dataclass(frozen=True)
class _Picture:
    """A picture file as it was when the folder was listed."""

    path: Path
    digest: str
    size: tuple[int, int]
    where: str
    column: str

    def read(self) -> bytes:
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


def _find_prompts(root: Path) -> Path:
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such folder")
    found = [root / name for name in PROMPT_FILES if (root / name).is_file()]
    if len(found) > 1:
        raise UsageError(f"{root}: has both {' and '.join(PROMPT_FILES)}; keep one of them")
    if not found:
        names = [path.name for path in root.iterdir() if path.is_file()]
        near = next((near for name in PROMPT_FILES if (near := suggest(name, names))), "")
        raise UsageError(f"{root}: has no {' or '.join(PROMPT_FILES)}.{near}")
    return found[0]


def _sample(root: Path, row: Row) -> Sample:
    source, target = _prompt(row, "source"), _prompt(row, "target")
    image = _picture(root, row, "image")
    mask = _picture(root, row, "mask") if row.text("mask") else None
    if mask and mask.size != image.size:
        raise BadSample(
            row.where,
            "mask",
            f"is {mask.size[0]}x{mask.size[1]} pixels, the picture {image.size[0]}x{image.size[1]}",
            "make both the same size",
        )
    words = _blend_words(row)
    prompts = [_without_brackets(source), _without_brackets(target)]
    content = [image.digest, *prompts, words.source, words.target, mask.digest if mask else None]
    return Sample(
        id=row.text("id") or _default_id(row.text("image"), source, target),
        source_prompt=prompts[0],
        target_prompt=prompts[1],
        digest=sha256(json.dumps(["folder", 1, *content]).encode()).hexdigest(),
        read_image=partial(_read_image, image),
        blend_words=words,
        read_mask=partial(_read_mask, mask) if mask else None,
        category=row.text("category"),
        metadata={
            "image": row.text("image"),
            "row": row.where,
            "source_bracketed": source,
            "target_bracketed": target,
            **row.others(COLUMNS),
        },
    )


def _prompt(row: Row, column: str) -> str:
    prompt = " ".join(row.text(column).split())
    if not _without_brackets(prompt):
        raise BadSample(row.where, column, "the prompt is empty", "describe the picture in words")
    return prompt


def _without_brackets(prompt: str) -> str:
    return " ".join(re.sub(r"[\[\]]", "", prompt).split())


def _default_id(image: str, source: str, target: str) -> str:
    """Name a row by its picture and its task, so that adding or moving rows renames no other."""
    task = sha256(json.dumps([image, source, target]).encode()).hexdigest()
    return f"{Path(image).stem}-{task[:8]}"


def _blend_words(row: Row) -> BlendWords:
    source, target = row.words("blend_source"), row.words("blend_target")
    pairs = row.pairs("blended_words")
    if pairs and (source or target):
        raise BadSample(
            row.where,
            "blended_words",
            "the words are given twice",
            "leave out either blended_words or blend_source and blend_target",
        )
    if pairs:
        return BlendWords(tuple(s for s, _ in pairs if s), tuple(t for _, t in pairs if t))
    return BlendWords(source, target)


def _picture(root: Path, row: Row, column: str) -> _Picture:
    name = row.text(column)
    if not name:
        raise BadSample(row.where, column, "no file is named", "write its name in the folder")
    where = f"{row.where}, {name[:80]}"
    path = _inside(root, name, where, column)
    data = _read_bytes(path, where, column)
    return _Picture(
        path, sha256(data).hexdigest(), picture_size(data, where, column), where, column
    )


def _inside(root: Path, name: str, where: str, column: str) -> Path:
    """Return the file's real path; raises BadSample if it is not below ``root``, links included."""
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


def _read_image(picture: _Picture) -> NDArray[np.uint8]:
    return decode_picture(picture.read(), picture.where, picture.column)


def _read_mask(picture: _Picture) -> NDArray[np.bool_]:
    return decode_mask(picture.read(), picture.where, picture.column)
