"""Photos of one's own: a folder with pictures and ``prompts.csv`` or ``prompts.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from icd_bench.api import BenchmarkInfo, BlendWords, Sample
from icd_bench.errors import BadSample, UsageError
from icd_bench.registry import suggest

from .captions import strip_brackets
from .picture_files import find_picture
from .prompt_files import PROMPT_FILES, Row, read_rows

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
        how_to_get='icd-bench run --bench DIR; see README.md, section "Your own benchmark"',
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
    image = find_picture(root, row.text("image"), row.where, "image")
    mask = find_picture(root, row.text("mask"), row.where, "mask") if row.text("mask") else None
    if mask and mask.size != image.size:
        raise BadSample(
            row.where,
            "mask",
            f"is {mask.size[0]}x{mask.size[1]} pixels, the picture {image.size[0]}x{image.size[1]}",
            "make both the same size",
        )
    words = _blend_words(row)
    prompts = [strip_brackets(source), strip_brackets(target)]
    content = [image.digest, *prompts, words.source, words.target, mask.digest if mask else None]
    return Sample(
        id=row.text("id") or _default_id(row.text("image"), source, target),
        source_prompt=prompts[0],
        target_prompt=prompts[1],
        digest=sha256(json.dumps(["folder", 1, *content]).encode()).hexdigest(),
        read_image=image.read_image,
        blend_words=words,
        read_mask=mask.read_mask if mask else None,
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
    if not strip_brackets(prompt):
        raise BadSample(row.where, column, "the prompt is empty", "describe the picture in words")
    return prompt


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
