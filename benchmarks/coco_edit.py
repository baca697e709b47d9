"""iCD's replacement edits of COCO photos, and new sets of the same kind (``coco_swaps.py``).

Starodubcev et al. 2024, arXiv:2406.14539, section 5. One noun of a caption is replaced. There are
no masks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from icd_bench.api import BenchmarkInfo, Sample
from icd_bench.data.card import Card
from icd_bench.errors import BadSample

from .caption_rows import caption, caption_rows, find_instructions
from .captions import read_blend_words
from .card_files import card_of
from .coco_swaps import build
from .picture_files import find_picture
from .prompt_files import Row

INSTRUCTIONS = "editing_coco.csv"
PHOTOS = "train2014"
REQUIRED = ("file_name", "old_caption", "edited_caption", "blended_words")


class COCOEdit:
    """The rows of ``editing_coco.csv`` with the photos in ``train2014/``."""

    card: ClassVar[Card] = card_of("coco-edit")
    info: ClassVar[BenchmarkInfo] = card.info

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        self.instructions = find_instructions(self.card, location, split, INSTRUCTIONS)

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the rows in the file's order; a photo is decoded only when it is read."""
        for row in caption_rows(self.instructions, REQUIRED):
            try:
                yield row if isinstance(row, BadSample) else _sample(self.instructions.parent, row)
            except BadSample as error:
                yield error

    @staticmethod
    def build(captions: Path, out: Path, count: int, seed: int) -> int:
        """Write a new set of edits from captions; see ``coco_swaps.py``."""
        return build(captions, out, count, seed)

    def picture_names(self) -> Iterator[str]:
        """Yield the names of the photos that ``icd-bench data get`` fetches."""
        for row in caption_rows(self.instructions, REQUIRED):
            if isinstance(row, Row):
                yield row.text("file_name")


def _sample(root: Path, row: Row) -> Sample:
    prompts = [caption(row, "old_caption"), caption(row, "edited_caption")]
    published = row.text("blended_words")
    try:
        words = read_blend_words(published)
    except ValueError as error:
        raise BadSample(row.where, "blended_words", str(error)) from error
    name = row.text("file_name")
    image = find_picture(root / PHOTOS, name, row.where, "file_name")
    content = [image.digest, *prompts, words.source, words.target]
    return Sample(
        id=Path(name).stem,
        source_prompt=prompts[0],
        target_prompt=prompts[1],
        digest=sha256(json.dumps(["coco-edit", 1, *content]).encode()).hexdigest(),
        read_image=image.read_image,
        blend_words=words,
        metadata={"image": name, "row": row.where, "blend_words_published": published},
    )
